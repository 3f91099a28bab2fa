//! Target `claims`: any bytes as claims under a good signature, judged again by a plain reading of the JSON.
#![allow(dead_code, unreachable_pub)]

use attestation::{Check, GOOGLE_ISSUER};
use mock_launcher::claims::to_json;
use serde_json::{Value, json};

use super::forge::{FORGE, NOW, good_claims, judge};

const LEEWAY: u64 = 60;
const MAX_AGE: u64 = 300;
const MAX_LIFETIME: u64 = 3600;

/// Asserts what holds of any bytes, and says whether they were accepted.
pub fn check(data: &[u8]) -> bool {
    let verdict = judge(&FORGE.sign_claims(data));
    let read: Option<Value> = serde_json::from_slice(data).ok();
    match &verdict {
        Ok(verified) => {
            let read = read.expect("accepted claims are JSON");
            assert_eq!(Some(verified.claims_json()), read.as_object());
            assert!(issuer_and_times_hold(&read), "accepted: {read}");
            assert_eq!(verified.claims().issuer, GOOGLE_ISSUER);
        }
        Err(error) if error.check() > Check::Claims => {
            assert!(!issuer_and_times_hold(&read.expect("judged claims are JSON")), "{error}");
        }
        // Empty, or too long for a token.
        Err(error) => assert!(
            matches!(error.check(), Check::Claims | Check::Size) || data.is_empty(),
            "the signature was good: {error}"
        ),
    }
    verdict.is_ok()
}

/// The rules of issuer and times, written a second time.
fn issuer_and_times_hold(claims: &Value) -> bool {
    let time = |name: &str| claims[name].as_u64();
    let (Some(iat), Some(nbf), Some(exp)) = (time("iat"), time("nbf"), time("exp")) else { return false };
    let (iat, nbf, exp, now) = (i128::from(iat), i128::from(nbf), i128::from(exp), i128::from(NOW));
    let [leeway, age, lifetime] = [LEEWAY, MAX_AGE, MAX_LIFETIME].map(i128::from);
    claims["iss"] == GOOGLE_ISSUER
        && nbf <= now + leeway
        // A sum that does not fit into 64 bits is taken for the largest that does.
        && now < (exp + leeway).min(u64::MAX.into())
        && iat <= now + leeway
        && now - iat <= age + leeway
        && (1..=lifetime).contains(&(exp - iat))
}

/// Claims to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let good = good_claims();
    let changed = |patch: Value| {
        let mut claims = good.clone();
        mock_launcher::claims::merge(&mut claims, &patch);
        to_json(&claims)
    };
    let least = json!({"iss": GOOGLE_ISSUER, "aud": "uwear", "iat": NOW, "nbf": NOW, "exp": NOW + 3600});
    [
        ("good", to_json(&good)),
        ("least", to_json(&least)),
        ("twice", br#"{"iss":"a","iss":"b"}"#.to_vec()),
        ("arrays", changed(json!({"aud": ["uwear"], "eat_nonce": ["a", "b"]}))),
        ("old", changed(json!({"iat": NOW - 361}))),
        ("text-times", changed(json!({"iat": NOW.to_string(), "exp": 1.5, "nbf": -1}))),
        ("debug", changed(json!({"dbgstat": "enabled", "submods": {"confidential_space": null}}))),
        ("escapes", changed(json!({"iss": "\u{202e}\u{1b}[2J", "swname": "\u{0}"}))),
        ("session", changed(json!({"session": {"nonce": "x"}}))),
        ("enormous", changed(json!({"iat": u64::MAX, "exp": u64::MAX, "nbf": u64::MAX}))),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
