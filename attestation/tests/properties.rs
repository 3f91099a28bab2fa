//! What holds of every token, tried on thousands: good ones changed in every way that a forger could think of.
//!
//! The invariants are those of the fuzz targets `token`, `x5c` and `claims`, whose files are included here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/claims.rs"]
mod claims;
#[path = "../../fuzz/src/forge.rs"]
mod forge;
#[path = "../../fuzz/src/shown.rs"]
mod shown;
#[path = "../../fuzz/src/token.rs"]
mod token;
#[path = "../../fuzz/src/x5c.rs"]
mod x5c;

use attestation::{Check, Token, VerifyError};
use mock_launcher::claims::{merge, to_json};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use forge::{FORGE, NOW, good_claims, judge, sign};

/// One change of a text or of bytes.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A piece of it comes again elsewhere.
    Copy(Index, Index, usize),
    Cut(Index),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Self::Copy(from, to, count) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len() + 1));
                let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => (index(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => (index(), select(vec!["=", ".", "+", "/", " ", "\n", "\0", "A", "{", "\"", ","]))
            .prop_map(|(at, piece)| Edit::Insert(at, piece.into())),
        2 => (index(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (index(), index(), 1..200_usize).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
        1 => index().prop_map(Edit::Cut),
    ]
}

fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    edits.iter().for_each(|edit| edit.apply(&mut bytes));
    bytes
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 1..4)
}

/// Any JSON that is not deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-500_i64..4000).prop_map(|seconds| json!(i64::try_from(NOW).unwrap() + seconds)),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["RS256", "none", "HS256", "uwear", attestation::GOOGLE_ISSUER]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z0-9]{1,5}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn claim_name() -> impl Strategy<Value = &'static str> {
    select(vec![
        "iss",
        "aud",
        "iat",
        "nbf",
        "exp",
        "sub",
        "eat_nonce",
        "hwmodel",
        "secboot",
        "swname",
        "swversion",
        "dbgstat",
        "submods",
        "google_service_accounts",
        "session",
        "oemid",
        "x",
    ])
}

fn header_name() -> impl Strategy<Value = &'static str> {
    select(vec!["alg", "x5c", "crit", "typ", "kid", "jku", "x5u", "jwk", "b64", "cty", "ALG", "x"])
}

/// The names of the inputs that the fuzzing starts from and that are accepted.
fn accepted(seeds: Vec<(String, Vec<u8>)>, check: impl Fn(&[u8]) -> bool) -> Vec<String> {
    seeds.into_iter().filter(|(_, seed)| check(seed)).map(|(name, _)| name).collect()
}

#[test]
fn every_seed_of_the_fuzzing_is_judged_as_it_should_be() {
    assert_eq!(
        accepted(token::seeds(), token::check),
        ["header-0", "header-1", "header-5", "genuine", "header-written-out"]
    );
    assert_eq!(
        accepted(x5c::seeds(), x5c::check),
        ["good", "leaf", "leaf-odd-name", "intermediate", "anchor"]
    );
    assert_eq!(accepted(claims::seeds(), claims::check), ["good", "least", "arrays", "debug", "session"]);
}

#[test]
fn a_certificate_that_cannot_be_shown_does_not_give_its_place_in_the_report_to_the_next() {
    let leaf = x5c::signed(&x5c::leaf_that_cannot_be_shown(), &FORGE.intermediate_key);
    let [_, intermediate, root] = <[Vec<u8>; 3]>::try_from(FORGE.chain.x5c().to_vec()).unwrap();
    let token = Token::new(FORGE.sign_x5c(vec![leaf, intermediate, root])).unwrap();
    let report = FORGE.verifier.report(&token, forge::now());
    assert!(report.verdict().is_ok());
    let got = |check: Check| &report.checks().iter().find(|outcome| outcome.check == check).unwrap().got;
    let chain = got(Check::Chain);
    assert!(chain.starts_with("one that cannot be shown; Mock Confidential Space Intermediate"), "{chain}");
    assert_eq!(*got(Check::RootPinned), format!("sha256 {}", FORGE.verifier.anchors().fingerprints()[0]));
    assert!(got(Check::RootValidity).starts_with("Mock Confidential Space Root"));
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2048))]

#[test]
    fn no_text_verifies(text in any::<String>()) {
        token::check(text.as_bytes());
    }

    #[test]
    fn no_edited_token_verifies(edits in edits()) {
        token::check_token(&String::from_utf8_lossy(&edited(FORGE.genuine.as_bytes(), &edits)));
    }

    #[test]
    fn no_edited_root_can_be_pinned(edits in edits()) {
        x5c::check(&[b"A", &edited(FORGE.chain.root(), &edits)[..]].concat());
    }

    #[test]
    fn nothing_foreign_is_shown_that_misleads(text in any::<String>()) {
        shown::assert_printable(&attestation::printable(&text));
    }
}

// Each of these signs anew, which takes milliseconds in a debug build.
proptest! {
    #![proptest_config(config(704))]

    #[test]
    fn a_header_that_is_signed_as_it_is_must_still_say_what_it_has_to(name in header_name(), value in any_json(), edits in prop::collection::vec(edit(), 0..2)) {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "x5c": "X5C"});
        header[name] = value;
        let header = edited(header.to_string().as_bytes(), &edits);
        token::check_header(&String::from_utf8_lossy(&header));
    }

    #[test]
    fn no_edited_certificate_verifies(leaf in edits(), intermediate in prop::collection::vec(edit(), 0..2)) {
        let chain = FORGE.chain.x5c();
        x5c::check(&x5c::as_they_are(&edited(&chain[0], &leaf), &edited(&chain[1], &intermediate)));
    }

    #[test]
    fn an_edited_certificate_that_is_signed_anew_verifies_only_if_it_still_may(which in 0..3_usize, above in select(b"LIA".to_vec()), edits in edits()) {
        let content = edited(&x5c::contents()[which], &edits);
        x5c::check(&[&[above], &content[..]].concat());
    }

    #[test]
    fn changed_claims_under_a_good_signature_are_judged_as_a_plain_reading_judges_them(name in claim_name(), value in any_json()) {
        let mut claims = good_claims();
        merge(&mut claims, &json!({ name: value }));
        claims::check(&to_json(&claims));
    }

    #[test]
    fn edited_claims_under_a_good_signature_are_judged_as_a_plain_reading_judges_them(edits in edits()) {
        claims::check(&edited(&to_json(&good_claims()), &edits));
    }

    #[test]
    fn times_are_judged_as_a_plain_reading_judges_them(iat in -400_i64..100, nbf in -400_i64..100, life in -100_i64..3700) {
        let at = |offset: i64| i64::try_from(NOW).unwrap() + offset;
        let mut claims = good_claims();
        merge(&mut claims, &json!({"iat": at(iat), "nbf": at(nbf), "exp": at(iat) + life}));
        claims::check(&to_json(&claims));
    }
}

// And these have less to vary.
proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn no_token_of_swapped_or_repeated_segments_verifies(order in prop::collection::vec(0..3_usize, 0..5)) {
        let segments: Vec<&str> = FORGE.genuine.split('.').collect();
        let text: Vec<&str> = order.iter().map(|at| segments[*at]).collect();
        token::check_token(&text.join("."));
    }

    #[test]
    fn no_other_order_of_certificates_verifies(order in prop::collection::vec(0..3_usize, 0..5)) {
        let x5c: Vec<Vec<u8>> = order.iter().map(|at| FORGE.chain.x5c()[*at].clone()).collect();
        let verdict = judge(&FORGE.sign_x5c(x5c));
        prop_assert_eq!(verdict.is_ok(), order == [0, 1, 2]);
    }

    #[test]
    fn what_a_foreign_key_signs_is_refused_at_the_signature_whatever_it_says(name in claim_name(), value in any_json()) {
        let mut claims = good_claims();
        merge(&mut claims, &json!({ name: value }));
        let token = sign(FORGE.header.as_bytes(), &to_json(&claims), &FORGE.foreign_key);
        prop_assert_eq!(judge(&token).err(), Some(VerifyError::Signature));
    }

    #[test]
    fn a_signature_of_one_token_does_not_serve_another(name in claim_name(), value in any_json()) {
        let mut claims = good_claims();
        merge(&mut claims, &json!({ name: value }));
        let other = FORGE.sign_claims(&to_json(&claims));
        let (input, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = FORGE.genuine.rsplit_once('.').unwrap();
        let verdict = judge(&format!("{input}.{signature}"));
        prop_assert_eq!(verdict.err().map(|error| error.check()), (other != FORGE.genuine).then_some(Check::Signature));
    }
}
