//! Runs every case in `cases/` (see its README) through the policies that ship.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use attestation::Nonce;
use policy::{Baseline, Evaluation, FactsForReading, Outcome, Policy, PolicySource, Role};
use rustls_pki_types::UnixTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[allow(dead_code, reason = "for readers; it has to be there")]
    note: String,
    policy: Shipped,
    #[serde(default = "empty")]
    input: Value,
    #[serde(default = "empty")]
    data: Value,
    #[serde(default = "empty")]
    session: Value,
    want: Want,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Shipped {
    Default,
    Codelab,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Want {
    allow: bool,
    rules: BTreeMap<String, bool>,
    #[serde(default)]
    checks: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    nonce: String,
    audience: String,
    wire: u8,
    now: u64,
}

fn empty() -> Value {
    json!({})
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn evaluate(&self, base: &Value) -> Evaluation {
        let (source, baseline) = match self.policy {
            Shipped::Default => (PolicySource::Default, policy::DEFAULT_BASELINE),
            Shipped::Codelab => (PolicySource::Codelab, policy::CODELAB_BASELINE),
        };
        let baseline = merged(&serde_json::from_str(baseline).unwrap(), &self.data);
        let policy = compiled(source, baseline.to_string());
        let usual = json!({
            "nonce": "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=",
            "audience": "uwear",
            "wire": 0,
            "now": 1_757_060_260,
        });
        let session: Session = serde_json::from_value(merged(&usual, &self.session)).unwrap();
        let facts = FactsForReading {
            nonce: Some(Nonce::from_text(session.nonce)),
            audience: session.audience,
            wire: session.wire,
            role: Role::Server,
            now: UnixTime::since_unix_epoch(Duration::from_secs(session.now)),
        };
        policy.evaluate(&object(merged(base, &self.input)), &facts)
    }
}

/// Most cases share one baseline, and compiling is what takes time.
fn compiled(source: PolicySource, baseline: String) -> Policy {
    static COMPILED: Mutex<BTreeMap<(String, String), Policy>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap();
    let policy = compiled
        .entry((source.name(), baseline.clone()))
        .or_insert_with(|| Policy::compile(source, Baseline::parse(&baseline).unwrap()).unwrap());
    policy.clone()
}

/// JSON merge patch, RFC 7396 §2.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            let member = merged(members.get(name).unwrap_or(&Value::Null), value);
            members.insert(name.clone(), member);
        }
    }
    Value::Object(members)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("wanted an object, got {other}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn base() -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join("base.json")).unwrap()).unwrap()
}

fn cases() -> Vec<(String, Case)> {
    let mut cases: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| path.file_stem().unwrap() != "base")
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), Case::read(&path)))
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[test]
fn every_case_comes_out_as_wanted() {
    let base = base();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 100, "wanted at least 100 cases, got {}", cases.len());
    for (name, case) in cases {
        let evaluation = case.evaluate(&base);
        let wanted = |of: &BTreeMap<String, bool>, name: &str| match of.get(name) {
            Some(false) => Outcome::False,
            _ => Outcome::True,
        };
        let mut unknown: BTreeSet<&str> = case.want.rules.keys().map(String::as_str).collect();
        unknown.extend(case.want.checks.keys().map(String::as_str));
        for rule in evaluation.rules() {
            unknown.remove(rule.name.as_str());
            let wanted = match rule.name.as_str() {
                "allow" if !case.want.allow => Outcome::False,
                name => wanted(&case.want.rules, name),
            };
            if rule.outcome != wanted {
                wrong.push(format!("{name}: {} wanted {wanted}, got {}", rule.name, rule.outcome));
            }
        }
        for check in evaluation.checks() {
            unknown.remove(check.name.as_str());
            let wanted = wanted(&case.want.checks, &check.name);
            if check.outcome != wanted {
                wrong.push(format!("{name}: {} wanted {wanted}, got {}", check.name, check.outcome));
            }
        }
        assert!(unknown.is_empty(), "{name}: no such rules: {unknown:?}");
        let accepted = case.want.allow && case.want.checks.is_empty();
        if evaluation.would_allow() != accepted {
            wrong.push(format!("{name}: wanted accepted {accepted}, got {}", evaluation.would_allow()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_of_both_policies_has_a_case_in_which_it_alone_fails_and_one_in_which_it_holds() {
    let cases = cases();
    for (shipped, source, baseline) in [
        (Shipped::Default, PolicySource::Default, policy::DEFAULT_BASELINE),
        (Shipped::Codelab, PolicySource::Codelab, policy::CODELAB_BASELINE),
    ] {
        let policy = Policy::compile(source, Baseline::parse(baseline).unwrap()).unwrap();
        let of_policy: Vec<_> = cases.iter().filter(|(_, case)| case.policy == shipped).collect();
        assert!(of_policy.iter().any(|(_, case)| case.want.rules.is_empty() && case.want.allow));
        for rule in policy.rule_names().filter(|rule| *rule != "allow") {
            let alone = |case: &Case| !case.want.allow && case.want.rules.keys().eq([rule]);
            assert!(of_policy.iter().any(|(_, case)| alone(case)), "{shipped:?}: {rule}");
        }
    }
}

/// Every claim that the default policy reads, with a value of every JSON type in its place.
#[test]
fn a_claim_of_a_wrong_type_or_none_makes_its_rules_false_and_never_an_error() {
    let claims = [
        ("/hwmodel", vec!["hw_verified", "memory_encryption_verified"]),
        ("/submods/container/image_digest", vec!["image_digest_verified"]),
        ("/aud", vec!["audience_verified"]),
        ("/eat_nonce", vec!["nonce_verified"]),
        ("/iss", vec!["issuer_verified"]),
        ("/secboot", vec!["secboot_verified"]),
        ("/swname", vec!["sw_name_verified"]),
        ("/dbgstat", vec!["debug_status_verified"]),
        ("/submods/confidential_space/support_attributes", vec!["support_attributes_verified"]),
        ("/submods/gce/project_id", vec!["project_verified"]),
        ("/google_service_accounts", vec!["service_account_verified"]),
        ("/iat", vec!["freshness_verified"]),
        (
            "/submods/container",
            vec!["image_digest_verified", "env_override_verified", "cmd_override_verified"],
        ),
        ("/submods/confidential_space", vec!["support_attributes_verified"]),
        ("/submods/gce", vec!["project_verified"]),
        (
            "/submods",
            vec![
                "image_digest_verified",
                "support_attributes_verified",
                "project_verified",
                "env_override_verified",
                "cmd_override_verified",
            ],
        ),
    ];
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(""),
        json!("any"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"any": true, "reason": "mine"}),
    ];
    for (pointer, rules) in &claims {
        for value in &values {
            let mut claims = base();
            *claims.pointer_mut(pointer).unwrap() = value.clone();
            let case: Case = serde_json::from_value(json!({
                "note": "", "policy": "default", "want": {"allow": false, "rules": {}},
            }))
            .unwrap();
            let evaluation = case.evaluate(&claims);
            assert!(!evaluation.would_allow(), "{pointer}: {value}");
            for rule in evaluation.rules() {
                // A container of which nothing is said but that it is one has no overrides.
                let bare = *pointer == "/submods/container"
                    && value.is_object()
                    && rule.name.ends_with("override_verified");
                let fails = rule.name == "allow" || rules.contains(&rule.name.as_str()) && !bare;
                let wanted = if fails { Outcome::False } else { Outcome::True };
                assert_eq!(rule.outcome, wanted, "{pointer}: {value}: {}", rule.name);
            }
        }
    }
}

#[test]
fn the_merge_patch_is_that_of_its_rfc() {
    // Rows from RFC 7396 appendix A.
    let rows = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    for (target, patch, wanted) in rows {
        assert_eq!(merged(&target, &patch), wanted);
    }
}
