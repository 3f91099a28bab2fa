//! What holds of any answer of a launcher, tried on thousands: the invariants of the fuzz target `launcher_answers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/launcher_answers.rs"]
mod launcher_answers;
#[path = "../../fuzz/src/shown.rs"]
mod shown;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use launcher_answers::check;

/// Pieces of HTTP/1.1, which put together at random are nearly an answer.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces = select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 500 x\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 101 x\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "content-length: 5\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: upgrade\r\nupgrade: x\r\n",
        "x: y\r\n",
        "\r\n",
        "5\r\nabcde\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "eyJhbGciOiJSUzI1NiIsIng1YyI6WyJBQT09Il19.e30.AAAA",
    ]);
    prop_oneof![
        8 => pieces.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

/// A 200 with this body, which came whole.
fn answer(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn every_seed_of_the_fuzzing_is_judged_as_it_should_be() {
    let accepted =
        launcher_answers::seeds().into_iter().filter(|(_, seed)| check(seed)).map(|(name, _)| name);
    assert_eq!(accepted.collect::<Vec<_>>(), ["token", "until-the-end", "chunks", "continue", "http-1.0"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_taken_for_a_token_that_are_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn nothing_that_is_nearly_http_is_taken_for_a_token_that_is_none(pieces in prop::collection::vec(piece(), 0..10)) {
        check(&pieces.concat());
    }

    #[test]
    fn no_body_is_taken_for_a_token_that_is_none(header in ".{0,40}", payload in "[A-Za-z0-9_-]{0,9}", rest in "[.=a-z\n]{0,3}") {
        let header = URL_SAFE_NO_PAD.encode(header);
        check(&answer(format!("{header}.{payload}.AAAA{rest}").as_bytes()));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","x5c":["{payload}"]}}"#));
        check(&answer(format!("{header}.{payload}.AAAA{rest}").as_bytes()));
    }

    #[test]
    fn a_changed_answer_is_an_answer_or_an_error(seed in any::<Index>(), at in any::<Index>(), cut in 0..5_usize, put in piece()) {
        let seeds = launcher_answers::seeds();
        let mut bytes = seed.get(&seeds).1.clone();
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..(at + cut).min(bytes.len()), put);
        check(&bytes);
    }
}
