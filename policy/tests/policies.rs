//! Policies and baselines of the owner's own: what is refused and how, what denies, what is explained.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use attestation::Nonce;
use policy::{
    Baseline, BaselineError, Evaluation, FactsForReading, MAX_BASELINE_BYTES, Outcome, Policy, PolicyError,
    PolicySource, Role, Shown,
};
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

fn custom(rules: &str) -> PolicySource {
    PolicySource::Custom {
        name: "mine.rego".to_owned(),
        text: format!("package confidential_space\nimport rego.v1\n{rules}\n"),
    }
}

fn compile(rules: &str, baseline: &Value) -> Result<Policy, PolicyError> {
    Policy::compile(custom(rules), Baseline::parse(&baseline.to_string()).unwrap())
}

fn facts() -> FactsForReading {
    FactsForReading {
        nonce: Some(Nonce::from_text(NONCE)),
        audience: "uwear".to_owned(),
        wire: 1,
        role: Role::Client,
        now: UnixTime::since_unix_epoch(Duration::from_secs(1_757_060_260)),
    }
}

fn evaluate(rules: &str, baseline: &Value, claims: &Value) -> Evaluation {
    let mut all = json!({"aud": "uwear", "eat_nonce": NONCE});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let policy = compile(rules, baseline).unwrap();
    policy.evaluate(all.as_object().unwrap(), &facts())
}

fn outcome(evaluation: &Evaluation, name: &str) -> Outcome {
    let rule = evaluation.rules().iter().find(|rule| rule.name == name);
    rule.unwrap_or_else(|| panic!("no rule {name}")).outcome.clone()
}

fn shipped(source: PolicySource, change: impl FnOnce(&mut Value)) -> Result<Policy, PolicyError> {
    let text = match source {
        PolicySource::Codelab => policy::CODELAB_BASELINE,
        PolicySource::Client => policy::CLIENT_BASELINE,
        _ => policy::DEFAULT_BASELINE,
    };
    let mut baseline = serde_json::from_str(text).unwrap();
    change(&mut baseline);
    Policy::compile(source, Baseline::parse(&baseline.to_string()).unwrap())
}

#[test]
fn the_rules_that_ship_are_these_in_this_order() {
    let names = |source| {
        let policy = shipped(source, |_| {}).unwrap();
        policy.rule_names().map(str::to_owned).collect::<Vec<_>>()
    };
    let codelab = [
        "allow",
        "hw_verified",
        "image_digest_verified",
        "audience_verified",
        "nonce_verified",
        "issuer_verified",
        "secboot_verified",
        "sw_name_verified",
    ];
    assert_eq!(names(PolicySource::Codelab), codelab);
    let beyond = [
        "debug_status_verified",
        "support_attributes_verified",
        "memory_encryption_verified",
        "project_verified",
        "service_account_verified",
        "env_override_verified",
        "cmd_override_verified",
        "freshness_verified",
    ];
    assert_eq!(names(PolicySource::Default), [&codelab[..], &beyond[..]].concat());
}

#[test]
fn a_policy_that_cannot_be_used_says_where_and_why() {
    let rows = [
        ("allow if {", "policy mine.rego, line 4, column 1: expecting expression"),
        (
            "allow if true\nok if -input.y == 1",
            "line 4, column 7: unary - can only be used with numeric literals",
        ),
        ("allow if unknown(input.x)", "policy mine.rego, line 3, column 10: "),
        ("allow if foo\nfoo if bar", "policy mine.rego, line 4, column 8: "),
        ("ok if true", "policy mine.rego: wanted a boolean rule `allow`, got none"),
        ("allow(x) if x", "wanted a boolean rule `allow`, got none"),
        ("allow contains 1", "wanted a boolean rule `allow`, got none"),
        ("allow if a\na if b\nb if a", "in no circle and no long chain, got a -> b -> a; rename"),
        ("allow if f(1)\nf(x) if f(x + 1)", "in no circle and no long chain, got f -> f; rename"),
        (
            "allow if data.confidential_space.allow",
            "in no circle and no long chain, got allow -> allow; rename",
        ),
        (
            "allow if data.confidential_space[input.aud]",
            "in no circle and no long chain, got allow -> allow; rename",
        ),
        (
            "allow if x\nx := y\ny := [1 | z.q]\nz.q if not x",
            "in no circle and no long chain, got x -> y -> z -> x; rename",
        ),
    ];
    for (rules, wanted) in rows {
        let error = compile(rules, &json!({}))
            .map_or_else(|error| error.to_string(), |policy| panic!("{rules:?} compiles: {policy:?}"));
        assert!(error.contains(wanted), "{rules:?}: wanted {wanted:?}, got {error:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
    let other = PolicySource::Custom {
        name: "other.rego".to_owned(),
        text: "package somewhere_else\nallow := true".to_owned(),
    };
    assert_eq!(
        Policy::compile(other, Baseline::parse("{}").unwrap()).unwrap_err(),
        PolicyError::Package { name: "other.rego".to_owned(), got: "somewhere_else".to_owned() }
    );
}

#[test]
fn a_policy_reaches_neither_network_nor_files_nor_environment_nor_clock() {
    for call in [
        r#"http.send({"method": "get", "url": "http://127.0.0.1/"})"#,
        "opa.runtime()",
        r#"net.lookup_ip_addr("localhost")"#,
        r#"io.jwt.decode("x")"#,
        "time.now_ns()",
        r#"uuid.rfc4122("x")"#,
    ] {
        let error = compile(&format!("allow if {call}"), &json!({})).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{call}: {error}");
        assert!(
            error.to_lowercase().contains("unknown function") || error.contains("could not find function"),
            "{call}: {error}"
        );
    }
}

#[test]
fn a_function_that_can_exhaust_memory_or_panic_is_refused_wherever_it_is_called() {
    let calls = [
        ("numbers.range", "numbers.range(1, 1000000000000)"),
        ("numbers.range_step", "numbers.range_step(1, 2, 0)"),
        ("bits.lsh", "bits.lsh(1, 4294967295)"),
        ("sprintf", r#"sprintf("%4294967295d", [1])"#),
        ("strings.count", r#"strings.count(input.aud, "")"#),
        ("units.parse", r#"units.parse("1e999999999")"#),
        ("units.parse_bytes", r#"units.parse_bytes("1e999999999k")"#),
        ("to_number", r#"to_number(input.aud)"#),
        ("json.unmarshal", "json.unmarshal(input.aud)"),
        ("json.is_valid", "json.is_valid(input.aud)"),
        ("numbers.range", r#"numbers["range"](1, 2)"#),
    ];
    // A call stands for CALL; lines are counted from the package's.
    let places = [
        ("allow if CALL", 3, 10),
        ("allow if not CALL", 3, 14),
        ("allow := count([CALL]) == 1", 3, 17),
        ("allow if true\nunused := {\"a\": CALL}", 4, 17),
        ("allow if true\nf(x) := CALL if x", 4, 9),
        ("allow if true\ns contains CALL", 4, 12),
        ("allow if true\no[k] := 1 if k := CALL", 4, 19),
        ("allow if true\nf(x) if x\nelse := CALL", 5, 9),
        ("allow if every x in [1] { x == CALL }", 3, 32),
        ("allow if some x in CALL", 3, 20),
        ("allow if count({x | x := CALL}) == 1", 3, 26),
        ("allow if object.get(input, [\"a\"], CALL) == 1", 3, 35),
        ("allow if input.aud with input.aud as CALL", 3, 38),
        ("allow if input.list[CALL]", 3, 21),
    ];
    for (function, call) in calls {
        for (rules, wanted_line, wanted_column) in places {
            let rules = rules.replace("CALL", call);
            match compile(&rules, &json!({})) {
                Err(PolicyError::RefusedCall { name, line, column, function: got, .. }) => assert_eq!(
                    (name.as_str(), line, column, got),
                    ("mine.rego", wanted_line, wanted_column, function),
                    "{rules}"
                ),
                other => panic!("{rules}: {other:?}"),
            }
        }
    }
    let error = compile("allow if sprintf(\"%d\", [1])", &json!({})).unwrap_err().to_string();
    assert_eq!(
        error,
        "policy mine.rego, line 3, column 10: wanted no call of sprintf, got one: it takes memory by the widths in its format; use concat"
    );
    let under_another_name = compile("allow if count([1]) == 1 with count as sprintf", &json!({}));
    assert!(matches!(under_another_name, Err(PolicyError::RefusedCall { function: "sprintf", .. })));
    // What only looks like one is none.
    let rules = "allow if { input.sprintf == \"sprintf(1)\"\n # sprintf(1)\n bits.rsh(4, 1) == 2 }";
    assert_eq!(
        outcome(&evaluate(rules, &json!({}), &json!({"sprintf": "sprintf(1)"})), "allow"),
        Outcome::True
    );
}

#[test]
fn a_number_too_large_for_json_is_refused_and_not_written_out() {
    let error = compile("allow if input.x < 1e999999999", &json!({})).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn chains_as_long_as_the_limits_allow_compile_on_a_small_stack() {
    // 150 operators and 250 indexes, one inside the other.
    let rules = format!("allow if true\nf(x) if x <= {}x{}", "1 +\n".repeat(150), "[\n0]".repeat(250));
    assert!(compile(&rules, &json!({})).is_ok());
}

#[test]
fn a_chain_of_rules_is_followed_to_the_limit_and_refused_one_over() {
    let chain = |rules: usize| {
        let links: Vec<_> = (2..rules).map(|n| format!("r{n} if r{}", n + 1)).collect();
        format!("allow if r2\n{}\nr{rules} if true", links.join("\n"))
    };
    let evaluation = evaluate(&chain(16), &json!({}), &json!({}));
    assert!(evaluation.would_allow());
    let error = compile(&chain(17), &json!({})).unwrap_err();
    assert!(matches!(error, PolicyError::EndlessChain { chain, .. } if chain == "allow"));
}

#[test]
fn what_is_undefined_not_boolean_or_too_long_denies() {
    let rows = [
        ("allow if input.missing", Outcome::Undefined),
        ("default allow := false\nallow if input.missing", Outcome::False),
        ("allow := 1", Outcome::Error("wanted a boolean, got another value".to_owned())),
        ("allow := \"true\"", Outcome::Error("wanted a boolean, got another value".to_owned())),
        ("allow := {true}", Outcome::Error("wanted a boolean, got another value".to_owned())),
        ("allow if input.aud / 0 == 1", Outcome::Undefined),
        ("allow := false", Outcome::False),
        ("allow := true", Outcome::True),
    ];
    for (rules, wanted) in rows {
        let evaluation = evaluate(rules, &json!({}), &json!({}));
        assert_eq!(outcome(&evaluation, "allow"), wanted, "{rules}");
        assert_eq!(evaluation.would_allow(), wanted == Outcome::True, "{rules}");
    }
}

#[test]
fn a_rule_that_runs_away_is_stopped_and_the_others_still_run() {
    let rules = "allow if true\nendless if {\n some a in input.many\n some b in input.many\n a * b < 0\n}\nfine if true";
    let many = json!({"many": (1..=1000).collect::<Vec<_>>()});
    let evaluation = evaluate(rules, &json!({}), &many);
    assert!(
        matches!(outcome(&evaluation, "endless"), Outcome::Error(reason) if reason.contains("instruction limit"))
    );
    assert_eq!(outcome(&evaluation, "fine"), Outcome::True);
    let runs_away = rules.replace("allow if true\nendless", "allow");
    assert!(!evaluate(&runs_away, &json!({}), &many).would_allow());
}

#[test]
fn whatever_the_policy_says_nonce_and_audience_must_be_the_sessions_own() {
    let rows = [
        (json!({}), vec![]),
        (json!({"eat_nonce": [NONCE], "aud": ["uwear"]}), vec![]),
        (json!({"eat_nonce": "other"}), vec!["session_nonce"]),
        (json!({"eat_nonce": [NONCE, NONCE]}), vec!["session_nonce"]),
        (json!({"eat_nonce": null}), vec!["session_nonce"]),
        (json!({"aud": ["uwear", "uwear"]}), vec!["session_audience"]),
        (json!({"aud": "Uwear"}), vec!["session_audience"]),
        (json!({"session": {}}), vec!["session_claim_absent"]),
        (json!({"session": null}), vec!["session_claim_absent"]),
    ];
    for (claims, wanted) in rows {
        let evaluation = evaluate("allow := true", &json!({}), &claims);
        let failed: Vec<_> = evaluation
            .checks()
            .iter()
            .filter(|check| check.outcome != Outcome::True)
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!(failed, wanted, "{claims}");
        assert_eq!(evaluation.would_allow(), wanted.is_empty(), "{claims}");
    }
}

#[test]
fn rules_see_the_sessions_facts_and_not_the_tokens_claim_of_that_name() {
    let rules = "allow if input.session == {\"nonce\": input.eat_nonce, \"wire\": 1, \"role\": \"client\", \"now\": 1757060260}";
    assert_eq!(outcome(&evaluate(rules, &json!({}), &json!({})), "allow"), Outcome::True);
    let forged = evaluate(rules, &json!({}), &json!({"session": {"nonce": "mine"}}));
    assert_eq!(outcome(&forged, "allow"), Outcome::True);
    assert!(!forged.would_allow());
}

#[test]
fn without_a_nonce_the_rules_that_read_it_are_reported_as_not_checked() {
    let policy = shipped(PolicySource::Default, |_| {}).unwrap();
    let mut claims: Value = serde_json::from_str(include_str!("../cases/base.json")).unwrap();
    let facts = FactsForReading { nonce: None, ..facts() };
    let evaluation = policy.evaluate(claims.as_object().unwrap(), &facts);
    assert!(evaluation.would_allow());
    assert_eq!(outcome(&evaluation, "nonce_verified"), Outcome::NotChecked);
    assert_eq!(evaluation.checks()[0].outcome, Outcome::NotChecked);
    assert_eq!(outcome(&evaluation, "hw_verified"), Outcome::True);

    claims["eat_nonce"] = json!(["one", "two"]);
    let evaluation = policy.evaluate(claims.as_object().unwrap(), &facts);
    assert_eq!(outcome(&evaluation, "nonce_verified"), Outcome::False);
    assert!(!evaluation.would_allow());
}

#[test]
fn shown_are_boolean_rules_and_no_helpers() {
    let rules = "ok if input.a\nallow if ok\nsum := 1 + 2\nlist := [1]\nsame := input.a == 1\nf(x) if x\nset contains 1\nby_default := input.b\ndefault by_default := false\nno_default := input.b\nnested.inner := true\nelsewhere := true if input.a else := false";
    let policy = compile(rules, &json!({})).unwrap();
    assert_eq!(policy.rule_names().collect::<Vec<_>>(), ["allow", "ok", "same", "by_default", "elsewhere"]);
}

#[test]
fn a_rule_is_explained_by_what_it_reads_however_it_is_written() {
    let rows = [
        ("input.a.b == data.k", "a.b", "k"),
        ("input[\"a\"][\"b\"] == data[\"k\"]", "a.b", "k"),
        ("object.get(input.a, \"b\", null) == data.k", "a.b", "k"),
        ("object.get(input, [\"a\", \"b\"], data.k)", "a.b", "k"),
        ("helper", "a.b", "k"),
        ("data.confidential_space.helper", "a.b", "k"),
        ("same(input.a.b)", "a.b", "k"),
        ("not input.a.b in data.k", "a.b", "k"),
        ("some x in input.a.b\n x == data.k", "a.b", "k"),
        ("every x in input.a.b {\n x == data.k\n}", "a.b", "k"),
        ("count([x | some x in input.a.b; x == data.k]) > 0", "a.b", "k"),
        ("{x: 1 | some x in input.a.b} == data.k", "a.b", "k"),
        ("input.a.b[_] == data.k[0]", "a.b", "k"),
        ("imported.b == k", "a.b", "k"),
        ("input.a.b == data.k\n data.k.any == true", "a.b", "k"),
        ("x := input.a\n x.b == data.k", "a.b", "k"),
        ("some x in [input.a]\n x.b == data.k\n input.a.b", "a.b", "k"),
        ("some x in data.k\n x == input.a.b", "a.b", "k"),
        ("count([1 | some x in input.a; x.b]) > 0\n count([1 | some x in data.k; x.b]) > 0", "a.b", "k"),
    ];
    for (body, found, wanted) in rows {
        let rules = format!(
            "import input.a as imported\nimport data.k\ndefault rule := false\nrule if {{\n {body}\n}}\nhelper := x if {{\n x := input.a.b == data.k\n}}\nsame(x) if x == data.k\nallow if rule"
        );
        let evaluation = evaluate(&rules, &json!({"k": ["v"]}), &json!({"a": {"b": "v"}}));
        let explained = evaluation.explain();
        let rule = explained.iter().find(|explained| explained.name == "rule").unwrap();
        let paths = |reads: &[policy::Read]| reads.iter().map(|read| read.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&rule.found), [found], "{body}");
        assert_eq!(paths(&rule.wanted), [wanted], "{body}");
        assert_eq!(rule.found[0].value, Shown::One("v".to_owned()), "{body}");
        // `allow` leaves to its rules what its rules read.
        let allow = explained.iter().find(|explained| explained.name == "allow").unwrap();
        assert_eq!((paths(&allow.found), paths(&allow.wanted)), (vec![], vec![]), "{body}");
    }
}

#[test]
fn explanations_are_printable_and_short() {
    let many: Vec<_> = (0..20).map(|n| format!("v{n}")).collect();
    let rows = [
        (json!("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b"),
        (json!(many), "v0, v1, v2, v3, v4, v5, v6, v7 and 12 more"),
        (json!([]), "none"),
        (json!({"NAME": "secret", "OTHER": "secret"}), "NAME, OTHER"),
        (json!([["secret"], {"k": "secret"}]), "a list, an object"),
        (json!({"any": true, "reason": "secret"}), "any, reason"),
        (json!(null), "null"),
        (json!(1.5), "1.5"),
    ];
    for (value, wanted) in rows {
        let evaluation = evaluate("allow if input.a == 1", &json!({}), &json!({"a": value}));
        let explained = evaluation.explain();
        let allow = explained.iter().find(|explained| explained.name == "allow").unwrap();
        assert_eq!(allow.found[0].value.to_string(), wanted);
    }
    // Of a list of objects what each has.
    let list = json!([{"b": "one\u{7}", "c": "secret"}, {"c": "secret"}, "secret", {"b": ["secret"]}]);
    let rules = "allow if {\n some x in input.a\n x.b == 1 }";
    let evaluation = evaluate(rules, &json!({}), &json!({"a": list}));
    let explained = evaluation.explain();
    let found = &explained.last().unwrap().found;
    let found: Vec<_> = found.iter().map(|read| format!("{} {}", read.path, read.value)).collect();
    assert_eq!(found, ["a.b one\\u{7}, a list"]);
    // What nests in the baseline is the owner's own.
    let rules = "allow if { some x in data.k\n x.y == input.a }";
    let evaluation = evaluate(rules, &json!({"k": [{"y": "v"}, 1]}), &json!({"a": 1}));
    assert_eq!(evaluation.explain().last().unwrap().wanted[0].value.to_string(), "{\"y\":\"v\"}, 1");
    let evaluation = evaluate("allow if input.a.b == 1", &json!({}), &json!({"a": "x".repeat(10_000)}));
    let explained = evaluation.explain();
    assert_eq!(explained.last().unwrap().found[0].value, Shown::Absent);
    assert!(!format!("{evaluation:?}").contains("xxx"));
}

#[test]
fn a_waiver_is_shown_by_the_policy_and_in_explanations() {
    let policy = shipped(PolicySource::Default, |baseline| {
        baseline["allowed_project_id"] = json!({"any": true, "reason": "a demonstration\u{7}"});
    })
    .unwrap();
    let waivers: Vec<_> = policy.waivers().iter().map(|w| (w.key.as_str(), w.reason.as_str())).collect();
    assert_eq!(waivers, [("allowed_project_id", "a demonstration\\u{7}")]);
    let claims: Value = serde_json::from_str(include_str!("../cases/base.json")).unwrap();
    let explained = policy.evaluate(claims.as_object().unwrap(), &facts()).explain();
    let project = explained.iter().find(|explained| explained.name == "project_verified").unwrap();
    assert_eq!(project.wanted[0].value.to_string(), "anything (a demonstration\\u{7})");
}

#[test]
fn a_baseline_that_is_no_object_or_names_a_key_twice_is_refused() {
    for (text, wanted) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[]", "wanted an object, got an array"),
        ("{\"a\": 1,}", "trailing comma at line 1 column 9"),
        ("{\"a\": 1, \"a\": 1}", "duplicate name a at line 1 column 12"),
        ("{\"a\": {\"b\": 1, \"b\": 1}}", "duplicate name b at line 1 column 18"),
        ("{} x", "trailing characters at line 1 column 4"),
    ] {
        let error = Baseline::parse(text).unwrap_err();
        assert!(matches!(&error, BaselineError::Json { message } if message == wanted), "{text}: {error}");
    }
    let at_limit = format!("{{}}{}", " ".repeat(MAX_BASELINE_BYTES - 2));
    assert!(Baseline::parse(&at_limit).is_ok());
    let got = MAX_BASELINE_BYTES + 1;
    assert_eq!(Baseline::parse(&format!("{at_limit} ")), Err(BaselineError::TooLarge { got }));
}

#[test]
fn a_baseline_that_does_not_fit_the_default_policy_is_refused_key_by_key() {
    type Change = fn(&mut Value);
    let rows: [(Change, &str); 22] = [
        (
            |b| b["allowed_hwmodel"] = json!([]),
            "allowed_hwmodel: wanted a non-empty list, or {\"any\": true, \"reason\": \"…\"} to allow anything on purpose, got an empty list",
        ),
        (
            |b| b["required_support_attributes"] = json!([]),
            "required_support_attributes: wanted a non-empty list",
        ),
        (
            |b| b["allowed_aud"] = json!("uwear"),
            "allowed_aud: wanted a non-empty list, or {\"any\": true, \"reason\": \"…\"} to allow anything on purpose, got a string",
        ),
        (|b| b["allowed_aud"] = json!(null), "got null"),
        (|b| b["allowed_aud"] = json!({}), "got an object"),
        (|b| b["allowed_aud"] = json!([""]), "allowed_aud[0]: wanted a value, got an empty string"),
        (|b| b["allowed_aud"] = json!(["uwear", null]), "allowed_aud[1]: wanted a value, got null"),
        (|b| b["allowed_aud"] = json!({"any": true}), "allowed_aud: wanted exactly"),
        (|b| b["allowed_aud"] = json!({"any": true, "reason": " "}), "allowed_aud: wanted exactly"),
        (|b| b["allowed_aud"] = json!({"any": "true", "reason": "x"}), "allowed_aud: wanted exactly"),
        (|b| b["allowed_aud"] = json!({"any": false, "reason": "x"}), "allowed_aud: wanted exactly"),
        (
            |b| b["allowed_aud"] = json!({"any": true, "reason": "x", "more": 1}),
            "allowed_aud: wanted exactly",
        ),
        (
            |b| b["allowed_secboot"] = json!(["true"]),
            "allowed_secboot[0]: wanted true or false, got a string",
        ),
        (|b| b["allow_cmd_override"] = json!("no"), "allow_cmd_override: wanted true or false, got a string"),
        (|b| b["allow_cmd_override"] = json!([]), "allow_cmd_override: wanted true or false, got an array"),
        (
            |b| b["allowed_env_override"] = json!(false),
            "allowed_env_override: wanted a list of names, empty for none",
        ),
        (
            |b| b["allowed_submods_container_image_digest"] = json!(["sha256:ABC"]),
            "allowed_submods_container_image_digest[0]: wanted \"sha256:\" and 64 lower-case hexadecimal digits, got sha256:ABC",
        ),
        (
            |b| b["allowed_submods_container_image_digest"] = json!([7]),
            "allowed_submods_container_image_digest[0]: ",
        ),
        (|b| b["allowed_zone"] = json!(["us-west1-b"]), "no rule reads allowed_zone"),
        (|b| b["confidential_space"] = json!({}), "baseline confidential_space: wanted another name"),
        (|b| b["image_digest_notes"] = json!({"sha256:x": {}}), "image_digest_notes: wanted \"sha256:\""),
        (
            |b| b["image_digest_notes"] = json!([]),
            "image_digest_notes: wanted an object of notes by digest, got an array",
        ),
    ];
    for (change, wanted) in rows {
        let error = shipped(PolicySource::Default, change).unwrap_err();
        assert!(matches!(error, PolicyError::Baseline(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(wanted), "wanted {wanted:?}, got {error:?}");
    }
}

#[test]
fn every_key_that_a_policy_reads_has_to_be_there() {
    for (source, text) in [
        (PolicySource::Default, policy::DEFAULT_BASELINE),
        (PolicySource::Codelab, policy::CODELAB_BASELINE),
        (PolicySource::Client, policy::CLIENT_BASELINE),
    ] {
        let keys: Value = serde_json::from_str(text).unwrap();
        for key in keys.as_object().unwrap().keys().filter(|key| *key != "image_digest_notes") {
            let error = shipped(source.clone(), |baseline| {
                baseline.as_object_mut().unwrap().remove(key);
            })
            .unwrap_err()
            .to_string();
            assert!(error.contains(&format!("the policy reads {key}, which is missing")), "{error}");
        }
    }
    // Also in functions that nothing calls, and however the key is written.
    for rules in
        ["f(x) if x in data.mine", "x if data[\"mine\"][_] == 1", "y := object.get(data, \"mine\", [])"]
    {
        let error = compile(&format!("allow := true\n{rules}"), &json!({})).unwrap_err();
        assert!(error.to_string().contains("the policy reads mine"), "{rules}: {error}");
    }
}

#[test]
fn the_codelabs_baseline_loads_as_it_is_and_its_lists_may_not_be_empty() {
    type Change = fn(&mut Value);
    let rows: [(Change, bool); 5] = [
        (|_| {}, true),
        // The codelab's text before its placeholder is filled in.
        (|b| b["allowed_submods_container_image_digest"] = json!(["sha256:<USLEEP_IMAGE_DIGEST>"]), true),
        (|b| b["more"] = json!(1), true),
        (|b| b["allowed_hwmodel"] = json!([]), false),
        (|b| b["allowed_hwmodel"] = json!({"any": true, "reason": "x"}), false),
    ];
    for (change, loads) in rows {
        assert_eq!(shipped(PolicySource::Codelab, change).is_ok(), loads);
    }
}

#[test]
fn a_policy_of_the_owners_own_may_have_keys_of_its_own_but_no_empty_lists() {
    let rows = [
        ("data.threshold > 1", json!({"threshold": 2}), Ok(())),
        ("data.threshold > 1", json!({"threshold": 2, "comment": []}), Ok(())),
        ("input.x in data.zones", json!({"zones": []}), Err("zones: wanted a non-empty list")),
        (
            "input.x in data.allowed_zone",
            json!({"allowed_zone": "a"}),
            Err("allowed_zone: wanted a non-empty list"),
        ),
        ("input.x in data.allowed_env_override", json!({"allowed_env_override": []}), Ok(())),
        (
            "input.x in data.allowed_submods_container_image_digest",
            json!({"allowed_submods_container_image_digest": ["latest"]}),
            Err("64 lower-case"),
        ),
    ];
    for (body, baseline, wanted) in rows {
        let compiled = compile(&format!("allow if {body}"), &baseline).map(|_| ());
        match (compiled, wanted) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(wanted)) if error.to_string().contains(wanted) => {}
            (got, wanted) => panic!("{body}: wanted {wanted:?}, got {got:?}"),
        }
    }
}

#[test]
fn digests_name_the_exact_texts_and_notes_are_shown() {
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
    let digest = "sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e";
    assert!(baseline.digest_note(digest).unwrap().label.unwrap().contains("mock launcher"));
    assert_eq!(baseline.digest_note("sha256:other"), None);
    let empty = Baseline::parse("{}").unwrap();
    // SHA-256 of the two bytes `{}`.
    assert_eq!(empty.sha256(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    let policy = Policy::compile(custom("allow := true"), empty).unwrap();
    assert_eq!(policy.policy_sha256().len(), 64);
    assert_ne!(
        policy.policy_sha256(),
        Policy::compile(custom("allow := true "), Baseline::parse("{}").unwrap()).unwrap().policy_sha256()
    );
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Policy>();
}
