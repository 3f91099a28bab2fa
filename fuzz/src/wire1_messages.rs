//! Target `wire1_messages`: any text as each message of wire version 1.
#![allow(dead_code, unreachable_pub)]

use attestation::v1::{
    Attestation, ClientAttestation, End, Evidence, Hello, MessageError, Receipt, SignedReceipt,
};
use serde_json::Value;

use super::shown::assert_printable;

const VECTORS: &str = include_str!("../../docs/vectors/wire.json");

/// Asserts what holds of any bytes, and says whether they are one of the messages.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let accepted = [
        check_message(text, |text| Hello::parse(text).map(|message| message.to_json())),
        check_message(text, |text| Attestation::parse(text).map(|message| message.to_json())),
        check_message(text, |text| ClientAttestation::parse(text).map(|message| message.to_json())),
        check_message(text, |text| End::parse(text).map(|message| message.to_json())),
        check_message(text, |text| Receipt::parse(text).map(|message| message.to_json())),
        check_message(text, |text| SignedReceipt::parse(text).map(|message| message.to_json())),
        check_message(text, |text| Evidence::parse(text).map(|message| message.to_json())),
    ];
    let accepted = accepted.into_iter().filter(|accepted| *accepted).count();
    assert!(accepted <= 1, "no text is two messages");
    accepted == 1
}

/// What is accepted says the same as a plain reading of the JSON, and is written and read again without a change.
fn check_message(text: &str, parse: impl Fn(&str) -> Result<String, MessageError>) -> bool {
    let plain = |text: &str| serde_json::from_str::<Value>(text).expect("what is accepted is JSON");
    match parse(text) {
        Ok(written) => {
            assert_eq!(plain(&written), plain(text));
            assert!(written.len() <= text.len(), "no message grows beyond its limit on the way");
            assert_eq!(parse(&written), Ok(written));
            true
        }
        Err(error) => {
            assert_printable(&error.to_string());
            assert_printable(&format!("{error:?}"));
            false
        }
    }
}

/// The messages of the test vectors, good and bad.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut seeds = Vec::new();
    for (name, rows) in vectors["messages"].as_object().unwrap() {
        let texts = rows["accepted"].as_array().unwrap().iter();
        let texts = texts.chain(rows["refused"].as_array().unwrap().iter().map(|row| &row["text"]));
        for (number, text) in texts.enumerate() {
            seeds.push((format!("{name}-{number}"), text.as_str().unwrap().as_bytes().to_vec()));
        }
    }
    for name in ["receipt", "message"] {
        seeds.push((name.to_owned(), vectors["receipt"][name].as_str().unwrap().as_bytes().to_vec()));
    }
    seeds
}
