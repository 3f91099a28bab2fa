//! Claims that are signed by the leaf and still not acceptable: no JSON object, wrong types, missing.

use attestation::{GOOGLE_ISSUER, VerifyError};
use serde_json::{Value, json};

use super::{Attack, Forge, Genuine, times};

pub fn attacks(forge: &Forge) -> Vec<Attack> {
    let groups =
        [no_json_object(forge), names_twice(forge), types(forge), missing(forge), times::rows(forge)];
    groups
        .into_iter()
        .flatten()
        .map(|Row { name, token, mut wanted }| {
            let also = wanted.split_off(1);
            Attack { also, ..forge.attack("claims", &name, token, wanted.remove(0)) }
        })
        .collect()
}

pub struct Row {
    pub name: String,
    pub token: String,
    /// All errors, in the order of the checks.
    pub wanted: Vec<VerifyError>,
}

pub fn row(name: &str, token: String, wanted: VerifyError) -> Row {
    Row { name: name.to_owned(), token, wanted: vec![wanted] }
}

fn not_json(text: &str) -> VerifyError {
    VerifyError::ClaimsJson(text.to_owned())
}

fn no_json_object(forge: &Forge) -> Vec<Row> {
    let good = String::from_utf8(forge.claims_json()).unwrap();
    let end = good.len();
    let with = |member: &str| format!("{{{member},{}", &good[1..]);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let no_object = |got: &str| format!("wanted an object, got {got}");
    let mut not_utf8 = with(r#""x":"?""#).into_bytes();
    not_utf8[6] = 0xff;

    let rows: Vec<(&str, Vec<u8>, String)> = vec![
        ("claims that are an array", format!("[{good}]").into(), no_object("an array")),
        ("claims that are a string", b"\"claims\"".into(), no_object("a string")),
        ("claims that are a number", b"1".into(), no_object("a whole number")),
        ("claims that are null", b"null".into(), no_object("null")),
        ("claims of white space", b" ".into(), "EOF while parsing a value at line 1 column 1".to_owned()),
        ("claims that are no JSON", b"claims".into(), "expected value at line 1 column 1".to_owned()),
        (
            "claims cut short",
            good[..end - 1].into(),
            format!("EOF while parsing an object at line 1 column {}", end - 1),
        ),
        (
            "a byte behind the claims",
            format!("{good}x").into(),
            format!("trailing characters at line 1 column {}", end + 1),
        ),
        (
            "two claims sets",
            format!("{good}{good}").into(),
            format!("trailing characters at line 1 column {}", end + 1),
        ),
        (
            "a NUL behind the claims",
            format!("{good}\0").into(),
            format!("trailing characters at line 1 column {}", end + 1),
        ),
        (
            "byte order mark in the claims",
            format!("\u{feff}{good}").into(),
            "expected value at line 1 column 1".to_owned(),
        ),
        ("claims that are not UTF-8", not_utf8, "invalid unicode code point at line 1 column 7".to_owned()),
        (
            "half a surrogate pair in a claim",
            with(r#""x":"\ud800""#).into(),
            "unexpected end of hex escape at line 1 column 13".to_owned(),
        ),
        (
            "claims nested 200 deep",
            with(&format!(r#""x":{}"#, deep(200))).into(),
            "recursion limit exceeded at line 1 column 132".to_owned(),
        ),
        (
            "claims nested 20 000 deep",
            with(&format!(r#""x":{}"#, deep(20_000))).into(),
            "recursion limit exceeded at line 1 column 132".to_owned(),
        ),
        (
            "a number that no double holds",
            with(r#""x":1e999"#).into(),
            "number out of range at line 1 column 10".to_owned(),
        ),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, claims, wanted)| row(name, forge.with_raw_claims(claims), not_json(&wanted))).collect()
}

fn names_twice(forge: &Forge) -> Vec<Row> {
    let good = String::from_utf8(forge.claims_json()).unwrap();
    let rows = [
        ("aud", r#""aud":"somebody else""#),
        ("iss", r#""iss":"https://attacker.invalid""#),
        ("exp", r#""exp":9999999999"#),
        ("eat_nonce", r#""eat_nonce":"another""#),
        ("submods", r#""submods":{}"#),
        ("swname", r#""swname":"CONFIDENTIAL_SPACE""#),
    ];
    let mut all = Vec::new();
    for (name, member) in rows {
        let claims = format!("{{{member},{}", &good[1..]);
        // The name is complaint enough: what is said is where it ends.
        let second = claims.rfind(&format!("\"{name}\":")).unwrap();
        let wanted = not_json(&format!("duplicate name {name} at line 1 column {}", second + name.len() + 2));
        all.push(row(&format!("claim {name} twice"), forge.with_raw_claims(claims), wanted));
    }
    for (name, at, inside) in [
        ("image_digest", r#""image_digest":"#, r#""image_digest":"sha256:other","image_digest":"#),
        (
            "support_attributes",
            r#""support_attributes":"#,
            r#""support_attributes":["STABLE"],"support_attributes":"#,
        ),
        ("project_id", r#""project_id":"#, r#""project_id":"other","\u0070roject_id":"#),
    ] {
        let claims = good.replacen(at, inside, 1);
        let end = claims.find(inside).unwrap() + inside.len() - 1;
        let wanted = not_json(&format!("duplicate name {name} at line 1 column {end}"));
        all.push(row(&format!("claim {name} twice inside submods"), forge.with_raw_claims(claims), wanted));
    }
    all
}

fn types(forge: &Forge) -> Vec<Row> {
    let text = "a string";
    let texts = "a string or an array of strings";
    let seconds = "whole seconds since 1970";
    let now = forge.now;
    let mut rows = Vec::new();
    let mut add = |path: &str, value: Value, wanted: &'static str, got: &'static str| {
        let mut patch = value.clone();
        for name in path.rsplit('.') {
            patch = json!({ name: patch });
        }
        let shown: String = value.to_string().chars().take(40).collect();
        let wanted = VerifyError::ClaimType { claim: path.to_owned(), wanted, got };
        rows.push(row(&format!("{path} is {shown}"), forge.with_claims(&patch), wanted));
    };
    let number = "a whole number";
    let odd_number = "a negative or fractional number";
    for path in [
        "iss",
        "swname",
        "hwmodel",
        "dbgstat",
        "submods.container.image_digest",
        "submods.container.image_reference",
        "submods.gce.project_id",
        "submods.gce.zone",
    ] {
        add(path, json!(1), text, number);
        add(path, json!([GOOGLE_ISSUER]), text, "an array");
        add(path, json!({ "value": "x" }), text, "an object");
        add(path, json!(true), text, "a boolean");
    }
    for path in [
        "aud",
        "eat_nonce",
        "swversion",
        "google_service_accounts",
        "submods.confidential_space.support_attributes",
    ] {
        add(path, json!(1), texts, number);
        add(path, json!({ "0": "uwear" }), texts, "an object");
        add(path, json!(["uwear", 1]), texts, number);
        add(path, json!([null]), texts, "null");
        add(path, json!([["uwear"]]), texts, "an array");
        add(path, json!(false), texts, "a boolean");
    }
    for path in ["iat", "nbf", "exp"] {
        add(path, json!(now.to_string()), seconds, text);
        add(path, json!(now as f64 + 0.5), seconds, odd_number);
        add(path, json!(now as f64), seconds, odd_number);
        add(path, json!(-1), seconds, odd_number);
        add(path, json!(i64::MIN), seconds, odd_number);
        add(path, json!(1e300), seconds, odd_number);
        add(path, json!([now]), seconds, "an array");
        add(path, json!(true), seconds, "a boolean");
        add(path, json!("2025-06-23T14:22:31Z"), seconds, text);
    }
    for path in ["submods", "submods.container", "submods.confidential_space", "submods.gce"] {
        add(path, json!([]), "an object", "an array");
        add(path, json!("x"), "an object", text);
    }
    // One more than fits, and the zero with a sign: both are no whole number to a JSON parser.
    let good = String::from_utf8(forge.claims_json()).unwrap();
    for number in ["18446744073709551616", "-0", "1e3", "1750688551.0"] {
        let claims = good.replacen(&format!("\"nbf\":{now}"), &format!("\"nbf\":{number}"), 1);
        let wanted = VerifyError::ClaimType { claim: "nbf".to_owned(), wanted: seconds, got: odd_number };
        rows.push(row(&format!("nbf is {number}, literally"), forge.with_raw_claims(claims), wanted));
    }
    rows
}

fn missing(forge: &Forge) -> Vec<Row> {
    let good = String::from_utf8(forge.claims_json()).unwrap();
    let wanted = |name: &str| VerifyError::MissingClaim { claim: name.to_owned() };
    let mut rows = Vec::new();
    for name in ["iss", "aud", "iat", "nbf", "exp"] {
        rows.push(row(&format!("{name} missing"), forge.with_claims(&json!({ name: null })), wanted(name)));
        let other = name.to_uppercase();
        let renamed = good.replacen(&format!("\"{name}\":"), &format!("\"{other}\":"), 1);
        rows.push(row(&format!("{name} named {other}"), forge.with_raw_claims(renamed), wanted(name)));
        // The member moves into another name, and a null takes its place.
        let null = good.replacen(&format!("\"{name}\":"), &format!("\"{name}\":null,\"x\":"), 1);
        rows.push(row(&format!("{name} null"), forge.with_raw_claims(null), wanted(name)));
    }
    rows.push(row("aud is an empty array", forge.with_claims(&json!({ "aud": [] })), wanted("aud")));
    rows.push(row("no claims at all", forge.with_raw_claims("{}"), wanted("aud")));
    rows
}

/// Claims at the limits, and what is allowed to be absent.
pub fn genuine(forge: &Forge) -> Vec<Genuine> {
    let now = forge.now;
    let rows = [
        ("a lifetime of 3600 s", json!({ "exp": now + 3600 })),
        ("a lifetime of one second", json!({ "exp": now + 1 })),
        ("exp 59 s ago", json!({ "iat": now - 100, "nbf": now - 100, "exp": now - 59 })),
        ("nbf 60 s ahead", json!({ "nbf": now + 60 })),
        ("nbf 1970", json!({ "nbf": 0 })),
        ("iat 60 s ahead", json!({ "iat": now + 60, "exp": now + 3660 })),
        ("iat 360 s ago", json!({ "iat": now - 360, "nbf": now - 360, "exp": now - 360 + 3600 })),
        ("aud in an array", json!({ "aud": ["uwear"] })),
        ("aud for several", json!({ "aud": ["uwear", "another"] })),
        ("no nonce", json!({ "eat_nonce": null })),
        ("several nonces", json!({ "eat_nonce": ["first", "second"] })),
        ("a claim nobody knows", json!({ "x": { "y": [1, 2.5, -3, null, true] } })),
        (
            "a debug image",
            json!({
                "dbgstat": "enabled",
                "submods": { "confidential_space": { "support_attributes": null } },
            }),
        ),
    ];
    rows.into_iter().map(|(name, patch)| forge.genuine(name, forge.with_claims(&patch))).collect()
}

/// Tokens of Google's neighbouring products, which have the same issuer and may have the same root.
///
/// They verify: they are Google's word. That they speak of no Confidential Space is for the policy to see,
/// by `swname` and the missing submodules.
pub fn neighbours(forge: &Forge) -> Vec<Genuine> {
    let gone = || json!({ "container": null, "confidential_space": null });
    let mut machine = forge.genuine(
        "a token of a Confidential VM",
        forge.with_claims(&json!({
            "swname": "GCE",
            "swversion": null,
            "secboot": false,
            "dbgstat": "enabled",
            "eat_profile": "https://cloud.google.com/confidential-computing/confidential-vm/docs/token-claims",
            "google_service_accounts": null,
            "submods": gone(),
        })),
    );
    machine.software_name = Some("GCE");
    let mut cluster = forge.genuine(
        "a token of a Confidential GKE node, as far as it is known",
        forge.with_claims(&json!({ "swname": null, "swversion": null, "submods": gone() })),
    );
    cluster.software_name = None;
    vec![machine, cluster]
}
