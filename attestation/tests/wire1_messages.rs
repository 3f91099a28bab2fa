//! The messages of wire version 1: what is not exactly the message is refused, and the error says what it was and
//! quotes no value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attestation::Token;
use attestation::message::{MAX_TOKEN_BYTES, TokenTooLarge};
use attestation::v1::{
    Attestation, ClientAttestation, Commitment, End, Evidence, Hello, HelloNonce, InclusionProof,
    MAX_ATTESTATION_BYTES, MAX_EVIDENCE_BYTES, MAX_HELLO_BYTES, MAX_RECEIPT_BYTES, MessageError, ProofError,
    Receipt, SignedReceipt,
};
use serde_json::{Value, json};

/// Base64 of 32 bytes.
const B32: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl";

/// A message, how it is read (and written again), and how long it may be.
struct Message {
    name: &'static str,
    good: Value,
    parse: fn(&str) -> Result<String, MessageError>,
    limit: usize,
}

fn messages() -> Vec<Message> {
    let proven = json!({"token": TOKEN, "index": 2, "size": 3, "proof": [B32]});
    let receipt = json!({"transcript": B32, "token": B32, "phi": B32, "result": B32, "rules": "recommended", "program": "usleep 0.1.0", "time": 1_750_688_561});
    let signed = json!({"receipt": receipt.to_string(), "signature": "MAA="});
    vec![
        Message {
            name: "hello",
            good: json!({"v": 1, "client_nonce": B32, "attest": true}),
            parse: |text| Hello::parse(text).map(|message| message.to_json()),
            limit: MAX_HELLO_BYTES,
        },
        Message {
            name: "attestation",
            good: with(&proven, json!({"server_nonce": B32, "attest": false})),
            parse: |text| Attestation::parse(text).map(|message| message.to_json()),
            limit: MAX_ATTESTATION_BYTES,
        },
        Message {
            name: "client attestation",
            good: proven.clone(),
            parse: |text| ClientAttestation::parse(text).map(|message| message.to_json()),
            limit: MAX_ATTESTATION_BYTES,
        },
        Message {
            name: "end",
            good: json!({"end": true, "messages": 3}),
            parse: |text| End::parse(text).map(|message| message.to_json()),
            limit: MAX_HELLO_BYTES,
        },
        Message {
            name: "receipt",
            good: receipt,
            parse: |text| Receipt::parse(text).map(|message| message.to_json()),
            limit: MAX_RECEIPT_BYTES,
        },
        Message {
            name: "signed receipt",
            good: signed.clone(),
            parse: |text| SignedReceipt::parse(text).map(|message| message.to_json()),
            limit: MAX_RECEIPT_BYTES,
        },
        Message {
            name: "evidence",
            good: with(
                &with(&proven, signed),
                json!({"v": 1, "verified_at": 5, "exporter": B32, "spki": "", "client_nonce": B32, "server_nonce": B32}),
            ),
            parse: |text| Evidence::parse(text).map(|message| message.to_json()),
            limit: MAX_EVIDENCE_BYTES,
        },
    ]
}

fn with(object: &Value, patch: Value) -> Value {
    let mut object = object.clone();
    for (key, value) in patch.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

/// The keys of a message by the type of their values.
fn keys<'a>(message: &'a Message, holds: impl Fn(&Value) -> bool + 'a) -> impl Iterator<Item = &'static str> {
    const KEYS: [&str; 22] = [
        "v",
        "client_nonce",
        "attest",
        "server_nonce",
        "token",
        "index",
        "size",
        "proof",
        "end",
        "messages",
        "transcript",
        "phi",
        "result",
        "rules",
        "program",
        "time",
        "receipt",
        "signature",
        "verified_at",
        "exporter",
        "spki",
        "x",
    ];
    KEYS.into_iter().filter(move |key| message.good.get(key).is_some_and(&holds))
}

/// The text of a message in which the value of `key` is written as `raw`.
fn raw(message: &Message, key: &str, raw: &str) -> String {
    let members = message.good.as_object().unwrap().iter();
    let members: Vec<String> = members
        .map(|(name, value)| {
            let value = if name == key { raw.to_owned() } else { value.to_string() };
            format!("{}:{value}", json!(name))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn what_is_written_is_what_is_read_whatever_the_order_and_the_white_space() {
    for message in messages() {
        let parse = message.parse;
        let text = message.good.to_string();
        let canonical = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", message.name));
        assert_eq!(serde_json::from_str::<Value>(&canonical).unwrap(), message.good, "{}", message.name);
        assert_eq!(parse(&canonical).as_ref(), Ok(&canonical));

        let spaced = text.replace("\":", "\" :\t").replacen('{', " \r\n{ ", 1);
        if message.name == "signed receipt" || message.name == "evidence" {
            // White space inside the receipt is part of what was signed.
            continue;
        }
        assert_eq!(parse(&spaced).as_ref(), Ok(&canonical), "{spaced}");
        let reversed: Vec<String> = message
            .good
            .as_object()
            .unwrap()
            .iter()
            .rev()
            .map(|(key, value)| format!("{}:{value}", json!(key)))
            .collect();
        assert_eq!(parse(&format!("{{{}}}", reversed.join(","))).as_ref(), Ok(&canonical));
    }
}

#[test]
fn every_key_must_be_there_once_and_no_other() {
    for message in messages() {
        let (name, parse) = (message.name, message.parse);
        for key in keys(&message, |_| true) {
            let mut without = message.good.clone();
            without.as_object_mut().unwrap().remove(key);
            assert_eq!(parse(&without.to_string()), Err(MessageError::MissingKey { message: name, key }));

            let twice = format!("{{{}:{},{}", json!(key), message.good[key], &message.good.to_string()[1..]);
            let key = key.to_owned();
            assert_eq!(parse(&twice), Err(MessageError::DuplicateKey { message: name, key: key.clone() }));
            let escaped = format!("\"\\u{:04x}{}\"", key.as_bytes()[0], &key[1..]);
            let twice = twice.replacen(&json!(key).to_string(), &escaped, 1);
            assert_eq!(
                parse(&twice),
                Err(MessageError::DuplicateKey { message: name, key: key.clone() }),
                "{twice}"
            );

            let mut upper = message.good.clone();
            let value = upper.as_object_mut().unwrap().remove(&*key).unwrap();
            upper[key.to_uppercase()] = value;
            assert!(parse(&upper.to_string()).is_err(), "{upper}");
        }
        for (key, shown) in [("x", "x"), ("", ""), ("V ", "V "), ("\u{202e}\u{1b}", "\\u{202e}\\u{1b}")] {
            let more = with(&message.good, json!({ key: 1 }));
            let key = shown.to_owned();
            assert_eq!(parse(&more.to_string()), Err(MessageError::UnknownKey { message: name, key }));
        }
    }
}

#[test]
fn numbers_are_whole_and_written_so() {
    let rows = [
        ("1.0", "a number with a fraction or an exponent"),
        ("1e0", "a number with a fraction or an exponent"),
        ("1E+2", "a number with a fraction or an exponent"),
        ("-1", "a negative number"),
        ("-0", "a number with a fraction or an exponent"),
        ("18446744073709551616", "a number with a fraction or an exponent"),
        ("\"1\"", "a string"),
        ("true", "a boolean"),
        ("null", "null"),
        ("[1]", "an array"),
        ("{}", "an object"),
    ];
    let mut tried = 0;
    for message in messages() {
        for key in keys(&message, Value::is_u64) {
            for (written, got) in rows {
                let wanted = "a whole number of 0 or more";
                let error = MessageError::WrongType { message: message.name, key, wanted, got };
                assert_eq!((message.parse)(&raw(&message, key, written)), Err(error), "{key} {written}");
            }
            for no_json in ["01", "+1", ".5", "1.", "0x1", "NaN", "1_000", ""] {
                let error = (message.parse)(&raw(&message, key, no_json)).unwrap_err();
                assert!(matches!(error, MessageError::Json { .. }), "{key} {no_json}: {error}");
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 11);
}

#[test]
fn booleans_are_booleans() {
    let mut tried = 0;
    for message in messages() {
        for key in keys(&message, Value::is_boolean) {
            for (written, got) in
                [("1", "a number"), ("\"true\"", "a string"), ("null", "null"), ("[]", "an array")]
            {
                let error = MessageError::WrongType { message: message.name, key, wanted: "a boolean", got };
                assert_eq!((message.parse)(&raw(&message, key, written)), Err(error));
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 3);
    assert_eq!(End::parse(r#"{"end":false,"messages":3}"#), Err(MessageError::NoEnd));
}

#[test]
fn hashes_and_nonces_are_32_bytes_in_padded_standard_base64() {
    let length = |got| move |message, key| MessageError::Length { message, key, wanted: 32, got };
    let encoding = |message, key| MessageError::Encoding { message, key };
    let wrong_type =
        |got| move |message, key| MessageError::WrongType { message, key, wanted: "a string", got };
    type Wanted = Box<dyn Fn(&'static str, &'static str) -> MessageError>;
    let url_alphabet = format!("\"{}8=\"", "_".repeat(42));
    let bits_left_over = format!("\"{}B=\"", "A".repeat(42));
    let rows: Vec<(&str, &str, Wanted)> = vec![
        ("empty", "\"\"", Box::new(length(0))),
        ("no padding", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", Box::new(length(43))),
        ("33 bytes", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", Box::new(length(44))),
        ("31 bytes", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\"", Box::new(length(44))),
        ("too much padding", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\"", Box::new(length(45))),
        ("the alphabet of URLs", &url_alphabet, Box::new(encoding)),
        ("bits left over", &bits_left_over, Box::new(encoding)),
        ("no base64", "\"!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", Box::new(encoding)),
        ("white space in it", "\"AAAAAAAAAAAAAAAAAAAA\\nAAAAAAAAAAAAAAAAAAAAAA=\"", Box::new(encoding)),
        ("hex", "\"0000000000000000000000000000000000000000000000000000000000000000\"", Box::new(length(64))),
        ("no text", "7", Box::new(wrong_type("a number"))),
        ("nothing", "null", Box::new(wrong_type("null"))),
    ];
    let mut tried = 0;
    for message in messages() {
        for key in keys(&message, |value| *value == B32) {
            for (name, written, wanted) in &rows {
                let error = wanted(message.name, key);
                assert_eq!((message.parse)(&raw(&message, key, written)), Err(error), "{key}: {name}");
            }
            tried += 1;
        }
        for key in keys(&message, Value::is_array) {
            for (name, written, wanted) in rows.iter().filter(|(_, written, _)| written.starts_with('"')) {
                let error = wanted(message.name, key);
                assert_eq!(
                    (message.parse)(&raw(&message, key, &format!("[{written}]"))),
                    Err(error),
                    "{key}: {name}"
                );
            }
            tried += 1;
        }
        for key in keys(&message, |value| *value == "MAA=") {
            for written in ["\"MAA\"", "\"MAB=\"", "\"_AA=\"", "\" MAA=\"", "\"MAA=\\n\"", "\"=\""] {
                let error = MessageError::Encoding { message: message.name, key };
                assert_eq!((message.parse)(&raw(&message, key, written)), Err(error), "{written}");
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 14);
}

#[test]
fn proofs_are_judged_by_place_and_length_before_a_hash_is_decoded() {
    let rows = [
        (json!({"index": 0, "size": 0, "proof": ["?"]}), ProofError::Size { got: 0 }),
        (json!({"index": 0, "size": 4097, "proof": ["?"]}), ProofError::Size { got: 4097 }),
        (json!({"index": 0, "size": u64::MAX, "proof": ["?"]}), ProofError::Size { got: u64::MAX }),
        (json!({"index": 0, "size": 1_u64 << 32 | 1, "proof": ["?"]}), ProofError::Size { got: 1 << 32 | 1 }),
        (json!({"index": 3, "size": 3, "proof": ["?"]}), ProofError::Index { got: 3, size: 3 }),
        (
            json!({"index": 1_u64 << 32, "size": 3, "proof": ["?"]}),
            ProofError::Index { got: 1 << 32, size: 3 },
        ),
        (json!({"index": u64::MAX, "size": 3, "proof": ["?"]}), ProofError::Index { got: u64::MAX, size: 3 }),
        (json!({"index": 0, "size": 1, "proof": ["?"]}), ProofError::Length { wanted: 0, got: 1 }),
        (json!({"index": 0, "size": 2, "proof": []}), ProofError::Length { wanted: 1, got: 0 }),
        (
            json!({"index": 0, "size": 4096, "proof": vec!["?"; 13]}),
            ProofError::Length { wanted: 12, got: 13 },
        ),
        (json!({"index": 2, "size": 3, "proof": [[], []]}), ProofError::Length { wanted: 1, got: 2 }),
    ];
    for message in messages().into_iter().filter(|message| message.good.get("proof").is_some()) {
        for (place, error) in &rows {
            let text = with(&message.good, place.clone()).to_string();
            let wanted = MessageError::Proof { message: message.name, error: *error };
            assert_eq!((message.parse)(&text), Err(wanted), "{place}");
        }
        for (written, wanted, got) in [
            ("\"\"", "an array", "a string"),
            ("{}", "an array", "an object"),
            ("[1]", "an array of strings", "a number"),
            ("[[]]", "an array of strings", "an array"),
        ] {
            let error = MessageError::WrongType { message: message.name, key: "proof", wanted, got };
            assert_eq!((message.parse)(&raw(&message, "proof", written)), Err(error));
        }
    }
}

#[test]
fn what_is_no_json_object_or_goes_on_after_it_is_refused() {
    for message in messages() {
        let good = message.good.to_string();
        let values: Vec<&Value> = message.good.as_object().unwrap().values().collect();
        let texts = [
            String::new(),
            "null".to_owned(),
            json!([message.good]).to_string(),
            // serde would take a struct from an array.
            json!(values).to_string(),
            json!(good).to_string(),
            format!("{good}{good}"),
            format!("{good}x"),
            format!("{good}\0"),
            format!("\u{feff}{good}"),
            good[..good.len() - 1].to_owned(),
            good.replacen('{', "{,", 1),
            format!("{},}}", &good[..good.len() - 1]),
            format!("// {good}"),
            good.replace('"', "'"),
            format!("{{\"x\":{{\"a\":1,\"a\":2}},{}", &good[1..]),
            format!("{{\"x\":{}", "[".repeat(message.limit / 2)),
        ];
        for text in texts {
            let error = (message.parse)(&text).unwrap_err();
            assert!(matches!(error, MessageError::Json { .. }), "{}: {text:.80}: {error}", message.name);
        }
    }
}

#[test]
fn messages_are_taken_at_the_limit_and_refused_unparsed_one_over() {
    for message in messages() {
        let good = message.good.to_string();
        let at_limit = format!("{good}{}", " ".repeat(message.limit - good.len()));
        assert!((message.parse)(&at_limit).is_ok(), "{}", message.name);
        let got = message.limit + 1;
        let over = MessageError::TooLarge { message: message.name, limit: message.limit, got };
        assert_eq!((message.parse)(&format!("{at_limit} ")), Err(over.clone()));
        assert_eq!((message.parse)(&"[".repeat(got)), Err(over));
    }
}

#[test]
fn a_token_at_its_limit_fits_into_the_message_and_one_over_is_refused() {
    let path = vec![[7; 32]; 12];
    let largest = Attestation {
        server_nonce: HelloNonce::from_bytes([7; 32]),
        token: Token::new("x".repeat(MAX_TOKEN_BYTES)).unwrap(),
        proof: InclusionProof::new(0, 4096, path).unwrap(),
        attest: false,
    };
    assert!(largest.to_json().len() <= MAX_ATTESTATION_BYTES);
    assert_eq!(Attestation::parse(&largest.to_json()), Ok(largest));

    for message in messages().into_iter().filter(|message| message.good["token"] == TOKEN) {
        let got = MAX_TOKEN_BYTES + 1;
        let over = with(&message.good, json!({"token": "x".repeat(got)})).to_string();
        let error = MessageError::Token { message: message.name, error: TokenTooLarge { got } };
        assert_eq!((message.parse)(&over), Err(error));
    }
}

#[test]
fn another_version_is_told_apart_from_a_broken_message() {
    for message in messages().into_iter().filter(|message| message.good.get("v").is_some()) {
        for got in [0, 2, u64::MAX] {
            let error = MessageError::Version { message: message.name, got };
            // What else another version has is not ours to judge.
            assert_eq!((message.parse)(&json!({"v": got, "x": null}).to_string()), Err(error));
        }
    }
}

#[test]
fn errors_quote_no_value_and_nothing_that_misleads() {
    let canary = "canary\u{202e}\u{1b}[2J";
    for message in messages() {
        for key in keys(&message, |_| true) {
            for value in [json!(canary), json!([canary]), json!({ canary: canary }), json!([[canary]])] {
                let Err(error) = (message.parse)(&with(&message.good, json!({ key: value })).to_string())
                else {
                    continue;
                };
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("canary") && !shown.contains(['\u{202e}', '\u{1b}']), "{shown}");
            }
        }
        let error = (message.parse)(&with(&message.good, json!({ canary: 1 })).to_string()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(['\u{202e}', '\u{1b}']));
    }
}

#[test]
fn debug_shows_neither_tokens_nor_what_was_exported() {
    let evidence = messages().pop().unwrap();
    let evidence = Evidence::parse(&evidence.good.to_string()).unwrap();
    let shown = format!("{evidence:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains("exporter"), "{shown}");
    assert_eq!(
        format!("{:?}", Commitment::from_bytes([0x1b; 32])),
        format!("Commitment({})", "1b".repeat(32))
    );
}
