//! Runs every case in `cases/` (see its README) through the policies that ship.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use policy::cases::{Case, CaseResult, CasesError, Mismatch, Shipped, Suite};
use policy::{Baseline, Outcome, Policy, PolicySource};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn base() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("base.json")).unwrap()).unwrap()
}

fn default_policy() -> Policy {
    Policy::compile(PolicySource::Default, Baseline::parse(policy::DEFAULT_BASELINE).unwrap()).unwrap()
}

#[test]
fn every_case_comes_out_as_wanted() {
    let suite = Suite::read(&folder()).unwrap();
    let results = suite.run(None).unwrap();
    assert!(results.len() >= 200, "wanted at least 200 cases, got {}", results.len());
    let wrong: Vec<&CaseResult> = results.iter().filter(|result| !result.passed()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_of_each_policy_has_a_case_in_which_it_alone_fails_and_one_in_which_it_holds() {
    let suite = Suite::read(&folder()).unwrap();
    for (shipped, source, baseline) in [
        (Shipped::Default, PolicySource::Default, policy::DEFAULT_BASELINE),
        (Shipped::Codelab, PolicySource::Codelab, policy::CODELAB_BASELINE),
        (Shipped::Client, PolicySource::Client, policy::CLIENT_BASELINE),
    ] {
        let policy = Policy::compile(source, Baseline::parse(baseline).unwrap()).unwrap();
        let of_policy: Vec<&Case> =
            suite.cases().iter().filter(|case| case.policy() == Some(shipped)).collect();
        assert!(of_policy.iter().any(|case| case.failing_rules().next().is_none()));
        for rule in policy.rule_names().filter(|rule| *rule != "allow") {
            let alone = |case: &&Case| case.failing_rules().eq([rule]);
            assert!(of_policy.iter().any(alone), "{shipped:?}: {rule}");
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
    let policy = default_policy();
    let case = json!({"note": "", "want": {"allow": false, "rules": {}}}).to_string();
    for (pointer, rules) in &claims {
        for value in &values {
            let mut claims = base();
            *claims.pointer_mut(pointer).unwrap() = value.clone();
            let evaluation = Case::parse("", &claims, &case).unwrap().evaluate(&policy).unwrap();
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

/// A case like this one, with one thing replaced.
fn case(replaced: &str, by: &str) -> Result<Case, CasesError> {
    let text = r#"{"note": "n", "input": {"aud": "other"}, "data": {},
        "want": {"allow": false, "rules": {"audience_verified": false}, "checks": {"session_audience": false}}}"#;
    assert!(text.contains(replaced), "{replaced}");
    Case::parse("mine", &base(), &text.replacen(replaced, by, 1))
}

#[test]
fn a_case_says_each_thing_that_comes_out_differently() {
    let policy = default_policy();
    assert!(case("", "").unwrap().run(&policy).unwrap().passed());
    let rows = [
        (r#""allow": false"#, r#""allow": true"#, ("allow", "true", "false")),
        (r#""allow": false"#, r#""allow": "undefined""#, ("allow", "undefined", "false")),
        (r#""audience_verified": false"#, "", ("audience_verified", "true", "false")),
        (
            r#""audience_verified": false"#,
            r#""audience_verified": "error""#,
            ("audience_verified", "error", "false"),
        ),
        (
            r#""audience_verified": false"#,
            r#""audience_verified": false, "hw_verified": false"#,
            ("hw_verified", "false", "true"),
        ),
        (r#""session_audience": false"#, "", ("session_audience", "true", "false")),
    ];
    for (replaced, by, (name, wanted, got)) in rows {
        let result = case(replaced, by).unwrap().run(&policy).unwrap();
        let mismatch = Mismatch { name: name.to_owned(), wanted: wanted.to_owned(), got: got.to_owned() };
        assert_eq!(result.mismatches, [mismatch], "{by}");
    }
}

#[test]
fn a_misspelt_case_is_refused_and_never_passes() {
    let policy = default_policy();
    let rows = [
        (r#""note""#, r#""notes""#, "mine: unknown field `notes`"),
        (r#""want""#, r#""wants""#, "mine: unknown field `wants`"),
        (r#""allow": false"#, r#""allow": "no""#, "mine: data did not match"),
        (r#""data": {}"#, r#""session": {"nonse": ""}"#, "mine: session: unknown field `nonse`"),
        (r#""data": {}"#, r#""policy": "defualt""#, "mine: unknown variant `defualt`"),
        (r#"{"aud": "other"}"#, "[]", "mine: wanted an object of claims"),
        ("}}", "}", "mine: EOF while parsing"),
        (
            "audience_verified",
            "audience_verifed",
            "mine: wanted a rule or check of the policy, got audience_verifed",
        ),
        (
            "session_audience",
            "session_adience",
            "mine: wanted a rule or check of the policy, got session_adience",
        ),
        (
            r#""data": {}"#,
            r#""data": {"allowed_aud": []}"#,
            "mine: baseline allowed_aud: wanted a non-empty list",
        ),
        (r#""data": {}"#, r#""data": {"allowed_aud": null}"#, "mine: baseline: the policy reads allowed_aud"),
        (r#""data": {}"#, r#""data": 1"#, "mine: baseline: wanted a JSON object"),
    ];
    for (replaced, by, wanted) in rows {
        let error = case(replaced, by).and_then(|case| case.run(&policy)).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "wanted {wanted:?}, got {error:?}");
    }
}

#[test]
fn a_folder_without_cases_or_with_one_for_no_policy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = || Suite::read(folder.path());
    assert!(matches!(read().unwrap_err(), CasesError::None { .. }));
    assert!(matches!(Suite::read(&folder.path().join("absent")).unwrap_err(), CasesError::Read { .. }));

    // Without base.json a case brings all its claims.
    std::fs::write(
        folder.path().join("empty.json"),
        r#"{"note": "no claims", "want": {"allow": "undefined", "rules": {},
            "checks": {"session_nonce": false, "session_audience": false}}}"#,
    )
    .unwrap();
    let suite = read().unwrap();
    let error = suite.run(None).unwrap_err().to_string();
    assert_eq!(error, "empty: it names no policy, and none was given to test");
    let mine = PolicySource::Custom {
        name: "mine.rego".to_owned(),
        text: "package confidential_space\nimport rego.v1\nallow if input.secboot".to_owned(),
    };
    let mine = Policy::compile(mine, Baseline::parse("{}").unwrap()).unwrap();
    assert!(suite.run(Some(&mine)).unwrap()[0].passed());
}
