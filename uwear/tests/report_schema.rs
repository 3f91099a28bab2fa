//! The reports of `--format json` are what `docs/report.schema.json` says they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use support::honest::Honest;
use support::{Owner, Uwear, shipped_baseline, tokens};
use tokio::net::TcpSocket;

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn verify(owner: &Owner, token: &str) -> Uwear {
    owner.file("token.jwt", token);
    let called = owner.uwear().args(["verify", "token.jwt", "--nonce", NONCE]);
    called.option("--root", tokens::root_file()).option("--baseline", shipped_baseline()).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_verify_are_as_the_schema_says() {
    let rows = [
        ("accepted", tokens::token(NONCE, &json!({})), 0),
        ("another issuer", tokens::token(NONCE, &json!({"iss": "x"})), 4),
        ("no certificates", tokens::oidc_token(NONCE), 4),
        ("no token", "garbage".to_owned(), 4),
        ("a debug image", tokens::token(NONCE, &json!({"dbgstat": "enabled"})), 5),
        ("claims of odd types", tokens::token(NONCE, &json!({"submods": {"gce": [1]}})), 4),
        ("another audience", tokens::token(NONCE, &json!({"aud": ["a\u{202e}", "b"]})), 5),
    ];
    for (name, token, exit) in rows {
        let report = verify(&Owner::new(), &token).ends().await.with_code(exit).json();
        assert_eq!(faults(&report), Vec::<String>::new(), "{name}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_release_are_as_the_schema_says() {
    let usleep = Honest::start().await;
    let owner = Owner::new();
    let released = owner.release(usleep.address).json().print_result().ends().await.with_code(0).json();
    assert_eq!(faults(&released), Vec::<String>::new(), "{released:#}");
    assert!(released["result"].is_object() && released["wire"].is_number(), "{released:#}");

    let recorded = owner.release(usleep.address).args(["--audit-log", "audit.jsonl"]).json();
    let recorded = recorded.ends().await.with_code(0).json();
    assert_eq!(faults(&recorded), Vec::<String>::new(), "{recorded:#}");
    assert!(recorded["audit"].is_object(), "{recorded:#}");

    let another = owner.release(usleep.address).args(["--audience", "another"]).json();
    let refused = another.ends().await.with_code(5).json();
    assert_eq!(faults(&refused), Vec::<String>::new(), "{refused:#}");
    usleep.received().await;

    // A port that is taken and on which nobody listens.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unreached = owner.release(taken.local_addr().unwrap()).json().ends().await.with_code(3).json();
    assert_eq!(faults(&unreached), Vec::<String>::new(), "{unreached:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_lists_every_property_and_every_check_that_there_is() {
    let report = verify(&Owner::new(), &tokens::token(NONCE, &json!({}))).ends().await.json();
    let names = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let schema = schema();
    let mut listed = names(&schema["properties"]);
    assert!(listed.remove("result"));
    assert_eq!(names(&report), listed);
    let checks: Vec<&Value> = report["checks"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    let listed = schema["$defs"]["check"]["properties"]["name"]["enum"].as_array().unwrap();
    assert_eq!(checks, listed.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_does_not_say_is_a_fault() {
    let report = verify(&Owner::new(), &tokens::token(NONCE, &json!({}))).ends().await.json();
    let changed = |pointer: &str, value: Value| {
        let mut report = report.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        report
    };
    let mut more = report.clone();
    more["phi"] = json!(1);
    let mut less = report.clone();
    less.as_object_mut().unwrap().remove("open");
    let rows = [
        (more, "/phi: not in the schema"),
        (less, "/open: missing"),
        (changed("/outcome", json!("fine")), "/outcome: not one of those listed"),
        (changed("/exit_code", json!(7)), "/exit_code: above the maximum"),
        (changed("/exit_code", json!(-1)), "/exit_code: below the minimum"),
        (changed("/released", Value::Null), "/released: of another type"),
        (changed("/token_sha256", json!("AB")), "/token_sha256: none of the choices"),
        (changed("/policy/sha256", json!("AB")), "/policy/sha256: not of the pattern"),
        (changed("/checks/0/name", json!("sise")), "/checks/0/name: not one of those listed"),
        (changed("/checks/0/ok", json!("true")), "/checks/0/ok: of another type"),
        (changed("/warnings", json!([1])), "/warnings/0: of another type"),
    ];
    for (report, wanted) in rows {
        assert_eq!(faults(&report), [wanted]);
    }
}

/// What is wrong with a report. Only the keywords of our schema are known; another one stops the test, so that nothing
/// in the schema goes unchecked.
fn faults(report: &Value) -> Vec<String> {
    let root = schema();
    let mut faults = Vec::new();
    judge(&root, &root, report, "", &mut faults);
    faults
}

fn judge(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let mut fault = |what: &str| faults.push(format!("{at}: {what}"));
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let target = root.pointer(wanted.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                judge(root, target, value, at, faults);
            }
            "anyOf" => {
                let fits = |choice: &Value| {
                    let mut inner = Vec::new();
                    judge(root, choice, value, at, &mut inner);
                    inner.is_empty()
                };
                if !wanted.as_array().unwrap().iter().any(fits) {
                    fault("none of the choices");
                }
            }
            "type" => {
                let types = wanted.as_array().map_or_else(|| vec![wanted], |types| types.iter().collect());
                if !types.iter().any(|name| is_of(value, name.as_str().unwrap())) {
                    fault("of another type");
                }
            }
            "enum" => {
                if !wanted.as_array().unwrap().contains(value) {
                    fault("not one of those listed");
                }
            }
            "minimum" => {
                if value.as_i64() < wanted.as_i64() {
                    fault("below the minimum");
                }
            }
            "maximum" => {
                if value.as_i64() > wanted.as_i64() {
                    fault("above the maximum");
                }
            }
            "pattern" => {
                assert_eq!(wanted, "^[0-9a-f]{64}$", "a pattern that is not known here");
                let of_pattern = |text: &str| {
                    text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                };
                if !value.as_str().is_some_and(of_pattern) {
                    fault("not of the pattern");
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        faults.push(format!("{at}/{}: missing", name.as_str().unwrap()));
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(wanted, &json!(false));
                for name in value.as_object().into_iter().flat_map(|members| members.keys()) {
                    if schema["properties"].get(name).is_none() {
                        faults.push(format!("{at}/{name}: not in the schema"));
                    }
                }
            }
            "properties" => {
                for (name, inner) in wanted.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        judge(root, inner, member, &format!("{at}/{name}"), faults);
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(root, wanted, item, &format!("{at}/{index}"), faults);
                }
            }
            other => panic!("the schema has a keyword that is not known here: {other}"),
        }
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no type of JSON Schema: {other}"),
    }
}
