//! Target `policy_input`: any JSON as the claims that the rules see, and as a baseline.
//!
//! The default policy is written a second time here, in Rust, and must come to the same.
#![allow(dead_code, unreachable_pub)]

use std::sync::LazyLock;

use attestation::Nonce;
use mock_launcher::claims::to_json;
use policy::{
    Baseline, DEFAULT_BASELINE, Evaluation, FactsForReading, Outcome, Policy, PolicySource, Role,
    SessionFacts,
};
use serde_json::{Map, Value, json};

use super::forge::{FORGE, NONCE, NOW, good_claims, judge, now};
use super::shown::assert_printable;

static DEFAULT: LazyLock<Policy> = LazyLock::new(|| {
    Policy::compile(PolicySource::Default, Baseline::parse(DEFAULT_BASELINE).unwrap()).unwrap()
});

static CODELAB: LazyLock<Policy> = LazyLock::new(|| {
    Policy::compile(PolicySource::Codelab, Baseline::parse(policy::CODELAB_BASELINE).unwrap()).unwrap()
});

/// The keys of the default policy that must be a non-empty list or an explicit waiver.
const LISTS: [&str; 10] = [
    "allowed_submods_container_image_digest",
    "allowed_hwmodel",
    "allowed_aud",
    "allowed_issuer",
    "allowed_secboot",
    "allowed_sw_name",
    "allowed_dbgstat",
    "required_support_attributes",
    "allowed_project_id",
    "allowed_service_account",
];

fn facts() -> SessionFacts {
    SessionFacts {
        nonce: Nonce::from_text(NONCE),
        audience: "uwear".to_owned(),
        wire: 0,
        role: Role::Server,
        now: now(),
    }
}

/// Asserts what holds of any bytes, and says whether they were allowed, or compiled.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if text.contains("allowed_hwmodel") {
        return check_baseline(text);
    }
    attestation::json::object_with_unique_names(data).is_ok_and(|claims| check_claims(&claims))
}

/// Any claims: the default policy allows what it should and nothing else, and a decision is the same as a reading.
pub fn check_claims(claims: &Map<String, Value>) -> bool {
    let reading = DEFAULT.evaluate(claims, &FactsForReading::from(facts()));
    assert_consistent(&reading);
    assert_eq!(reading.would_allow(), should_allow(claims), "{:?}", reading.rules());

    let codelab = CODELAB.evaluate(claims, &FactsForReading::from(facts()));
    if codelab.would_allow() {
        assert!(codelab.checks().iter().all(|check| check.outcome == Outcome::True));
    }

    let unknown_nonce = FactsForReading { nonce: None, ..FactsForReading::from(facts()) };
    let offline = DEFAULT.evaluate(claims, &unknown_nonce);
    assert!(!reading.would_allow() || offline.would_allow(), "known nonces only ever refuse more");

    let token = FORGE.sign_claims(&to_json(&Value::Object(claims.clone())));
    if let Ok(verified) = judge(&token) {
        let decision = DEFAULT.decide(&verified, &facts());
        // As the token has them: a fraction that is written and read again may differ in its last place.
        let reading = DEFAULT.evaluate(verified.claims_json(), &FactsForReading::from(facts()));
        assert_eq!(decision.allowed(), reading.would_allow());
        assert_eq!(decision.checks(), reading.checks());
        assert_eq!(decision.rules(), reading.rules());
        assert_eq!(decision.explain(), reading.explain());
        assert_eq!(decision.into_allowance().is_ok(), reading.would_allow());
    }
    reading.would_allow()
}

/// `allow` is true only if every rule beside it is, and whatever is shown can be shown.
fn assert_consistent(reading: &Evaluation) {
    let (allow, others) = reading.rules().split_first().unwrap();
    assert_eq!(allow.name, "allow");
    let all_true = others.iter().all(|rule| rule.outcome == Outcome::True);
    assert_eq!(allow.outcome == Outcome::True, all_true, "{:?}", reading.rules());
    if reading.would_allow() {
        assert!(all_true && reading.checks().iter().all(|check| check.outcome == Outcome::True));
    }
    for rule in reading.explain() {
        assert_printable(&rule.outcome.to_string());
        for read in rule.found.iter().chain(&rule.wanted) {
            assert_printable(&read.path);
            assert_printable(&read.value.to_string());
        }
    }
}

/// The default policy with the shipped baseline, and the session's own checks, in Rust.
fn should_allow(claims: &Map<String, Value>) -> bool {
    let baseline: Value = serde_json::from_str(DEFAULT_BASELINE).unwrap();
    let listed = |key: &str, value: &Value| baseline[key].as_array().unwrap().contains(value);
    let only = |name: &str| match claims.get(name) {
        Some(Value::Array(items)) if items.len() == 1 && items[0].is_string() => items[0].clone(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let claim = |pointer: &str| {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let path = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        claims.get(first).and_then(|value| value.pointer(&path)).cloned().unwrap_or(Value::Null)
    };
    let container = claim("submods/container");
    let not_overridden = |name: &str, none: Value| {
        container.is_object() && (container.get(name).is_none_or(Value::is_null) || container[name] == none)
    };
    let attributes = claim("submods/confidential_space/support_attributes");
    let attribute = |name: &str| attributes.as_array().is_some_and(|all| all.contains(&json!(name)));
    let accounts = claim("google_service_accounts");
    let fresh = claim("iat").as_f64().is_some_and(|iat| {
        let age = NOW as f64 - iat;
        iat.fract() == 0.0 && (-60.0..=360.0).contains(&age)
    });
    !claims.contains_key("session")
        && only("eat_nonce") == NONCE
        && only("aud") == "uwear"
        && listed("allowed_hwmodel", &claim("hwmodel"))
        && listed("allowed_submods_container_image_digest", &claim("submods/container/image_digest"))
        && listed("allowed_issuer", &claim("iss"))
        && claim("secboot") == true
        && listed("allowed_sw_name", &claim("swname"))
        && listed("allowed_dbgstat", &claim("dbgstat"))
        && attribute("STABLE")
        && !attribute("EXPERIMENTAL")
        && listed("allowed_project_id", &claim("submods/gce/project_id"))
        && accounts.as_array().is_some_and(|all| all.iter().any(|one| listed("allowed_service_account", one)))
        && not_overridden("env_override", json!({}))
        && not_overridden("cmd_override", json!([]))
        && fresh
}

/// Any text as a baseline: what compiles leaves no list open by accident.
pub fn check_baseline(text: &str) -> bool {
    let baseline = match Baseline::parse(text) {
        Ok(baseline) => baseline,
        Err(error) => {
            assert_printable(&error.to_string());
            return false;
        }
    };
    let policy = match Policy::compile(PolicySource::Default, baseline) {
        Ok(policy) => policy,
        Err(error) => {
            assert_printable(&error.to_string());
            return false;
        }
    };
    let read: Value = serde_json::from_str(text).unwrap();
    for key in LISTS {
        let list = &read[key];
        let waived =
            list["any"] == true && list["reason"].as_str().is_some_and(|reason| !reason.trim().is_empty());
        assert!(waived || list.as_array().is_some_and(|list| !list.is_empty()), "{key} is {list}");
    }
    let nothing = policy.evaluate(&Map::new(), &FactsForReading::from(facts()));
    assert!(!nothing.would_allow(), "claims that are not there pass");
    true
}

/// Claims and baselines to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let changed = |patch: Value| {
        let mut claims = good_claims();
        mock_launcher::claims::merge(&mut claims, &patch);
        to_json(&claims)
    };
    let container = |patch: Value| changed(json!({"submods": {"container": patch}}));
    [
        ("good", to_json(&good_claims())),
        ("arrays", changed(json!({"aud": ["uwear"], "eat_nonce": [NONCE]}))),
        ("debug", changed(json!({"dbgstat": "enabled"}))),
        ("shielded", changed(json!({"hwmodel": "GCP_SHIELDED_VM"}))),
        ("env", container(json!({"env_override": {"A": "b"}}))),
        ("empty-overrides", container(json!({"env_override": {}, "cmd_override": []}))),
        ("cmd", container(json!({"cmd_override": ["sh"]}))),
        ("fraction", changed(json!({"iat": 1_750_688_561.5}))),
        ("whole-fraction", changed(json!({"iat": 1_750_688_561.0}))),
        ("session", changed(json!({"session": {"nonce": "x"}}))),
        ("experimental", changed(json!({"submods": {"confidential_space": {"support_attributes": ["STABLE", "EXPERIMENTAL"]}}}))),
        ("empty", b"{}".to_vec()),
        ("baseline", DEFAULT_BASELINE.as_bytes().to_vec()),
        ("waiver", DEFAULT_BASELINE.replace("[\n    \"uwear\"\n  ]", r#"{"any": true, "reason": "x"}"#).into_bytes()),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
