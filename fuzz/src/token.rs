//! Target `token`: no bytes but those that were signed verify.
//!
//! A text that begins with `{` is taken for a JOSE header, which is put before the good claims and signed by the leaf's
//! key; `"X5C"` in it stands for the good chain. Any other text is a token as it is.
#![allow(dead_code, unreachable_pub)]

use attestation::Check;
use serde_json::Value;

use super::forge::{FORGE, judge};

/// What stands for the good chain in a header.
pub const X5C: &str = "\"X5C\"";

/// Asserts what holds of any bytes, and says whether they were accepted.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if text.starts_with('{') { check_header(text) } else { check_token(text) }
}

/// Only the genuine token verifies.
pub fn check_token(text: &str) -> bool {
    let verdict = judge(text);
    assert_eq!(verdict.is_ok(), text == FORGE.genuine, "{:?}", verdict.err());
    verdict.is_ok()
}

/// A header that is signed by the right key: it must still say what it has to, and bring the good chain.
pub fn check_header(text: &str) -> bool {
    let header = text.replace(X5C, &FORGE.x5c_json());
    let verdict = judge(&FORGE.sign_header(header.as_bytes()));
    let acceptable = serde_json::from_str(&header).is_ok_and(|header: Value| {
        let x5c: Value = serde_json::from_str(&FORGE.x5c_json()).unwrap();
        header["alg"] == "RS256" && header.get("crit").is_none() && header["x5c"] == x5c
    });
    match &verdict {
        Ok(_) => assert!(acceptable, "accepted: {header}"),
        // What the simple reading takes and ours does not: names that occur twice, for example.
        Err(error) if acceptable => assert!(error.check() <= Check::Header, "{error}"),
        Err(error) => assert!(error.check() < Check::Signature, "{error}"),
    }
    verdict.is_ok()
}

/// Texts to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let chain = FORGE.x5c_json();
    let headers = [
        r#"{"alg":"RS256","typ":"JWT","x5c":"X5C"}"#,
        r#"{"alg":"RS256","kid":"k","jku":"https://x.invalid","x5u":"u","jwk":{"kty":"RSA","n":"AQ","e":"AQAB"},"x5c":"X5C"}"#,
        r#"{"alg":"none","x5c":"X5C"}"#,
        r#"{"alg":"RS256","crit":["b64"],"b64":false,"x5c":"X5C"}"#,
        r#"{"alg":"RS256","alg":"RS256","x5c":"X5C"}"#,
        r#"{"\u0061lg":"RS256","x5c":"X5C","x":[{"a":[1,2.5e3,null,true]}]}"#,
        r#"{"alg":"RS256","x5c":["AA==","AA==","AA=="]}"#,
        r#"{"alg":"RS256","x5c":[1,null,{}]}"#,
        r#"{"alg":"RS256","x5c":[]}"#,
    ];
    let mut seeds: Vec<(String, Vec<u8>)> = headers
        .iter()
        .enumerate()
        .map(|(at, header)| (format!("header-{at}"), header.as_bytes().to_vec()))
        .collect();
    seeds.push(("genuine".to_owned(), FORGE.genuine.clone().into_bytes()));
    seeds.push(("two-segments".to_owned(), FORGE.genuine.rsplit_once('.').unwrap().0.as_bytes().to_vec()));
    seeds.push(("small".to_owned(), b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_vec()));
    seeds.push(("header-written-out".to_owned(), seeds_header(&chain)));
    seeds
}

fn seeds_header(chain: &str) -> Vec<u8> {
    format!(r#"{{"alg":"RS256","x5c":{chain}}}"#).into_bytes()
}
