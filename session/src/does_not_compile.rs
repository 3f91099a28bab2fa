//! What must not compile, as documentation tests, which are quick: each file in `tests/compile_fail/` breaks one promise
//! of the types. That it fails for the reason that is meant is the business of `tests/compile_fail.rs`, which compares
//! the compiler's words but has to build every dependency again, and so runs in `.ci/run`.

macro_rules! does_not_compile {
    ($($name:ident)+) => {$(
        #[doc = concat!(
            "```compile_fail\n",
            include_str!(concat!("../tests/compile_fail/", stringify!($name), ".rs")),
            "```"
        )]
        pub mod $name {}
    )+};
}

does_not_compile! {
    a_nonce_of_the_callers_choice
    a_stage_cloned_or_defaulted
    a_stage_made_by_hand
    a_stage_used_twice
    a_token_of_the_callers_choice
    a_verified_token_cloned_or_defaulted
    a_verified_token_made_by_hand
    an_admission_made_by_hand
    an_allowance_cloned_or_defaulted
    an_allowance_from_reading
    an_allowance_given_twice
    an_allowance_made_by_hand
    decide_without_a_token
    phi_before_the_client_is_approved
    release_after_a_refused_proof
    release_after_a_refusal
    release_without_a_decision
    release_without_a_token
    the_server_answers_only_what_it_received
}
