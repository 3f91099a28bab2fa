//! What holds whatever a peer sends, tried on thousands of sessions over loopback: no PHI without a good token for this
//! very session, no panic, and an end when the peer ends.
//!
//! The invariants are those of the fuzz target `session_messages`, whose file is included here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/forge.rs"]
mod forge;
#[path = "../../fuzz/src/session_messages.rs"]
mod session_messages;
#[path = "../../fuzz/src/shown.rs"]
mod shown;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use session_messages::{
    ANOTHER_AUDIENCE, ANOTHER_SESSION, HONEST, NO_TOKEN, RAW, SERVER, THIS_SESSION, check, frame, seeds,
};

/// A frame, mostly one that could be right.
fn any_frame(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..130),
        2 => "\\{[a-z\":,{}]{0,20}".prop_map(String::into_bytes),
        1 => (0..6000_usize).prop_map(|length| vec![b'{'; length]),
        1 => Just(forge::FORGE.genuine.clone().into_bytes()),
        1 => (any::<u16>(), "[a-z-]{0,20}").prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat()),
    ];
    let mask = any::<[u8; 4]>();
    (first, payload, mask)
        .prop_map(move |(first, payload, mask)| frame(first, &payload, masked.then_some(mask)))
}

fn frames(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any_frame(masked), 0..4).prop_map(|frames| frames.concat())
}

#[test]
fn every_seed_of_the_fuzzing_ends_as_it_should() {
    let accepted = seeds().into_iter().filter(|(_, seed)| check(seed)).map(|(name, _)| name);
    assert_eq!(
        accepted.collect::<Vec<_>>(),
        [
            "client-result",
            "client-close-after-token",
            "client-large",
            "server-phi",
            "server-not-phi",
            "server-pieces"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_frames_make_a_client_release_without_a_token_for_this_session(
        before in select(vec![0, ANOTHER_SESSION, ANOTHER_AUDIENCE]),
        frames in frames(false),
    ) {
        check(&[&[before], &frames[..]].concat());
    }

    #[test]
    fn no_frames_after_a_good_token_get_more_than_the_one_message_of_phi(in_turn in any::<bool>(), frames in frames(false)) {
        check(&[&[if in_turn { HONEST } else { THIS_SESSION }], &frames[..]].concat());
    }

    #[test]
    fn no_frames_get_more_out_of_a_server_than_a_token_and_one_result(no_token in any::<bool>(), frames in frames(true)) {
        check(&[&[if no_token { SERVER | NO_TOKEN } else { SERVER }], &frames[..]].concat());
    }

    #[test]
    fn no_bytes_in_place_of_http_harm_either_end(end in select(vec![0, SERVER]), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&[&[RAW | end], &bytes[..]].concat());
    }

    #[test]
    fn a_changed_seed_ends_as_it_should(seed in any::<Index>(), at in any::<Index>(), cut in 0..5_usize, put in prop::collection::vec(any::<u8>(), 0..5)) {
        let seeds = seeds();
        let mut bytes = seed.get(&seeds).1.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), put);
        check(&bytes);
    }
}
