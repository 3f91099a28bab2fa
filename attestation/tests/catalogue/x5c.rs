//! Attacks on `x5c` (RFC 7515 §4.1.6): three strings of standard base64 of DER, and nothing else.

use attestation::VerifyError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use mock_launcher::rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use super::header::{Row, row, with_unused_bits};
use super::{Forge, pem};

pub fn rows(forge: &Forge) -> Vec<Row> {
    [types(forge), contents(forge)].into_iter().flatten().collect()
}

fn types(forge: &Forge) -> Vec<Row> {
    let with = |x5c: Value| forge.with_header(&json!({ "x5c": x5c }));
    let [leaf, intermediate, root]: [String; 3] = forge.x5c().try_into().unwrap();
    let good = forge.mint.header().to_string();
    let null = format!("{}null}}", &good[..good.find("[").unwrap()]);
    let kind = |got| VerifyError::X5cType { got };
    let count = |got| VerifyError::X5cCount { got };
    let mut rows = vec![
        row("x5c missing, as in OIDC tokens", forge.with_header(&json!({ "x5c": null })), VerifyError::NoX5c),
        row(
            "x5c named X5C",
            forge.with_header(&json!({ "x5c": null, "X5C": forge.x5c() })),
            VerifyError::NoX5c,
        ),
        row("x5c is a string", with(json!(leaf)), kind("a string")),
        row("x5c is an object", with(json!({ "0": leaf, "1": intermediate, "2": root })), kind("an object")),
        row("x5c is a number", with(json!(3)), kind("a number")),
        row("x5c is a boolean", with(json!(true)), kind("a boolean")),
        row("x5c is null", forge.with_raw_header(null), kind("null")),
        row("x5c of no certificates", with(json!([])), count(0)),
        row("x5c of the leaf alone", with(json!([leaf])), count(1)),
        row("x5c without the root", with(json!([leaf, intermediate])), count(2)),
        row("x5c with the root twice", with(json!([leaf, intermediate, root, root])), count(4)),
        row(
            "x5c with the intermediate twice",
            with(json!([leaf, intermediate, intermediate, root])),
            count(4),
        ),
        row("x5c of 100 entries", with(json!(vec!["MA=="; 100])), count(100)),
        row("x5c of 40 000 entries", with(json!(vec![0; 40_000])), count(40_000)),
        row(
            "x5c of three chains",
            with(json!([[leaf], [intermediate], [root]])),
            VerifyError::X5cEntryType { index: 0, got: "an array" },
        ),
    ];
    for index in 0..3 {
        for (value, got) in [
            (json!(7), "a number"),
            (json!(null), "null"),
            (json!(true), "a boolean"),
            (json!({ "x5c": leaf }), "an object"),
        ] {
            let mut x5c = [&leaf, &intermediate, &root].map(|entry| json!(entry));
            x5c[index] = value;
            let name = format!("x5c[{index}] is {got}");
            rows.push((name, with(json!(x5c)), VerifyError::X5cEntryType { index, got }));
        }
    }
    rows
}

fn contents(forge: &Forge) -> Vec<Row> {
    // Certificates of 3n + 1 bytes, so that their base64 ends in padding and unused bits.
    let mut spec = forge.spec();
    let lengthen = |name: &mut String| name.push('x');
    while spec.issue().unwrap().root().len() % 3 != 1 {
        lengthen(&mut spec.root.common_name);
    }
    while spec.issue().unwrap().x5c()[1].len() % 3 != 1 {
        lengthen(&mut spec.intermediates[0].common_name);
    }
    while spec.issue().unwrap().x5c()[0].len() % 3 != 1 {
        lengthen(&mut spec.leaf.common_name);
    }
    let chain = spec.issue().unwrap();

    let mut rows = Vec::new();
    for index in 0..3 {
        let der = &chain.x5c()[index];
        let base64 = STANDARD.encode(der);
        let unpadded = base64.trim_end_matches('=');
        let mut add = |what: &str, entry: String, wanted: VerifyError| {
            let mut x5c: Vec<_> = chain.x5c().iter().map(|der| STANDARD.encode(der)).collect();
            x5c[index] = entry;
            rows.push((format!("x5c[{index}] {what}"), forge.with_header(&json!({ "x5c": x5c })), wanted));
        };
        let not_base64 = || VerifyError::X5cEncoding { index };
        let not_der = || VerifyError::X5cDer { index };
        add("in base64url", URL_SAFE.encode(der), not_base64());
        add("without padding", unpadded.to_owned(), not_base64());
        add("with half the padding", format!("{unpadded}="), not_base64());
        add("with padding too much", format!("{base64}="), not_base64());
        add("with bits set that decode to nothing", standard_with_unused_bits(unpadded), not_base64());
        add("in PEM", pem("CERTIFICATE", der), not_base64());
        add("with line breaks", base64.replacen('A', "\nA", 1), not_base64());
        add("with white space before it", format!(" {base64}"), not_base64());
        add("with a line break behind it", format!("{base64}\n"), not_base64());
        add("as a data URL", format!("data:application/pkix-cert;base64,{base64}"), not_base64());
        add("empty", String::new(), not_der());
        add("with a byte behind it", STANDARD.encode([&der[..], &[0]].concat()), not_der());
        add("twice in one entry", STANDARD.encode([&der[..], der].concat()), not_der());
        add("cut short", STANDARD.encode(&der[..der.len() - 1]), not_der());
        add("of indefinite length", STANDARD.encode([&[0x30, 0x80], &der[4..], &[0, 0]].concat()), not_der());
        add(
            "that is a key instead",
            STANDARD.encode(forge.attacker.key_pair().subject_public_key_info()),
            not_der(),
        );
        add("that is text", STANDARD.encode("-----BEGIN CERTIFICATE-----"), not_der());
    }
    rows
}

fn standard_with_unused_bits(unpadded: &str) -> String {
    format!("{}==", with_unused_bits(&unpadded.replace('+', "-").replace('/', "_")))
        .replace('-', "+")
        .replace('_', "/")
}
