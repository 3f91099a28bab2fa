//! Evidence: the genuine one is valid years later without any secret, and whatever is changed in it fails at its own step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/evidence.rs"]
mod evidence;
#[path = "../../fuzz/src/forge.rs"]
mod forge;
#[path = "../../fuzz/src/shown.rs"]
mod shown;

use std::time::Duration;

use attestation::v1::{CommitmentKey, Contents, Evidence, EvidenceCheck, EvidenceReport, Leaf};
use attestation::{Anchors, Expectation, Role, Verifier};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use evidence::{
    CLIENT_NONCE, KEPT, PHI, RESULT, SERVER_NONCE, assert_report, commitment_key, token, transcript,
};
use forge::{FORGE, NOW, now};

fn parse(evidence: &Value) -> Evidence {
    Evidence::parse(&evidence.to_string()).unwrap()
}

fn verify(evidence: &Value) -> EvidenceReport {
    let report = parse(evidence).verify(&FORGE.verifier, now());
    assert_report(&report);
    report
}

/// The steps that failed.
fn failed(report: &EvidenceReport) -> Vec<EvidenceCheck> {
    let failed = report.checks().iter().filter(|outcome| outcome.ok == Some(false));
    failed.map(|outcome| outcome.check).collect()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The nonce of a batch in which a session is alone.
fn alone(leaf: Leaf) -> String {
    attestation::v1::Batch::seal(vec![leaf]).unwrap().nonce().as_str().to_owned()
}

#[test]
fn genuine_evidence_is_valid_ten_years_later() {
    for later in [0, 60, 10 * 365 * 86_400] {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW + later));
        let report = parse(&KEPT.evidence).verify(&FORGE.verifier, now);
        assert_report(&report);
        assert!(report.valid(), "{:?}", failed(&report));
        assert_eq!(report.receipt(), Some(&KEPT.receipt));
        assert_eq!(report.nonce().as_str(), KEPT.nonce);
        let verified = report.into_verified().unwrap();
        assert_eq!(verified.claims().nonces, [&*KEPT.nonce]);
    }
}

#[test]
fn what_was_written_is_read_and_written_the_same() {
    let evidence = parse(&KEPT.evidence);
    assert_eq!(serde_json::from_str::<Value>(&evidence.to_json()).unwrap(), KEPT.evidence);
    assert_eq!((evidence.verified_at(), evidence.nonce().as_str()), (now(), &*KEPT.nonce));
}

#[test]
fn whatever_is_changed_fails_at_its_own_step() {
    use EvidenceCheck::{Dated, Key, Nonce, Receipt, Session, Signature, Token, TokenDigest};
    let path = KEPT.evidence["proof"].as_array().unwrap();
    let token_of = |edit: &dyn Fn(&mut String)| {
        let mut text = KEPT.evidence["token"].as_str().unwrap().to_owned();
        edit(&mut text);
        text
    };
    let other_key = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let other_key = b64(other_key.public_key().as_der().unwrap().as_ref());
    let client = alone(transcript(Role::Client, &KEPT.spki).leaf());
    let server = alone(transcript(Role::Server, &KEPT.spki).leaf());
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let p384 = p384.public_key().as_der().unwrap().as_ref().to_vec();
    let p384_nonce = alone(transcript(Role::Server, &p384).leaf());
    let said = KEPT.receipt.to_json();
    let another = b64([9; 32]);
    let says = |key: &str| {
        let mut receipt: Value = serde_json::from_str(&said).unwrap();
        receipt[key] = another.clone().into();
        KEPT.signed(&receipt.to_string())
    };
    let rows = [
        ("dated in the future", KEPT.changed(json!({"verified_at": NOW + 61})), Dated),
        ("dated before the token was made", KEPT.changed(json!({"verified_at": NOW - 61})), Token),
        ("dated at the beginning of time", KEPT.changed(json!({"verified_at": 0})), Token),
        ("a token altered", KEPT.changed(json!({"token": token_of(&|text| { text.pop(); })})), Token),
        ("no token", KEPT.changed(json!({"token": ""})), Token),
        ("a token of another session", KEPT.changed(json!({"token": FORGE.genuine})), Nonce),
        ("a token without a nonce", KEPT.changed(json!({"token": token(&[])})), Nonce),
        ("a token with two nonces", KEPT.changed(json!({"token": token(&[&KEPT.nonce, &KEPT.nonce])})), Nonce),
        ("a token for the other role", KEPT.changed(json!({"token": token(&[&client]), "index": 0, "size": 1, "proof": []})), Nonce),
        ("another index", KEPT.changed(json!({"index": 0, "proof": [path[0], path[0]]})), Nonce),
        ("another size", KEPT.changed(json!({"size": 5, "index": 4})), Nonce),
        ("another sibling", KEPT.changed(json!({"proof": [another]})), Nonce),
        ("another exporter", KEPT.changed(json!({"exporter": another})), Nonce),
        ("another client nonce", KEPT.changed(json!({"client_nonce": another})), Nonce),
        ("another server nonce", KEPT.changed(json!({"server_nonce": another})), Nonce),
        ("the nonces exchanged", KEPT.changed(json!({"client_nonce": b64(SERVER_NONCE), "server_nonce": b64(CLIENT_NONCE)})), Nonce),
        ("another key", KEPT.changed(json!({"spki": other_key})), Nonce),
        ("no key", KEPT.changed(json!({"spki": ""})), Nonce),
        (
            "a key that signs no receipts",
            KEPT.changed(json!({"spki": b64(&p384), "token": token(&[&p384_nonce]), "index": 0, "size": 1, "proof": []})),
            Key,
        ),
        ("no signature", KEPT.changed(json!({"signature": ""})), Signature),
        ("a receipt altered", KEPT.changed(json!({"receipt": said.replace("recommended", "codelab")})), Signature),
        ("something else that was signed", KEPT.signed("{}"), Receipt),
        ("a receipt for another session", says("transcript"), Session),
        ("a receipt for another token", says("token"), TokenDigest),
        // Valid in all but that the receipt was given for another token of the same session.
        ("another token", KEPT.changed(json!({"token": token(&[&server]), "index": 0, "size": 1, "proof": []})), TokenDigest),
    ];
    for (name, changed, wanted) in rows {
        let report = verify(&changed);
        assert_eq!(failed(&report), [wanted], "{name}");
        assert!(report.into_verified().is_none(), "{name}");
    }
}

#[test]
fn another_root_or_issuer_vouches_for_nothing() {
    let google = Verifier::new(Anchors::google(), Expectation::default());
    let report = parse(&KEPT.evidence).verify(&google, now());
    assert_report(&report);
    assert_eq!(failed(&report), [EvidenceCheck::Token]);
    assert!(report.token().verdict().is_err());
    assert!(report.receipt().is_none(), "what nobody vouches for is not shown as the image's word");
}

#[test]
fn phi_and_result_are_compared_only_where_they_are_given() {
    use EvidenceCheck::{Phi, Result};
    let (key, other) = (commitment_key(), CommitmentKey::from_bytes(Zeroizing::new([8; 32])));
    let rows = [
        ("both", &key, Some(PHI), Some(RESULT), [Some(true), Some(true)]),
        ("PHI alone", &key, Some(PHI), None, [Some(true), None]),
        ("result alone", &key, None, Some(RESULT), [None, Some(true)]),
        ("neither", &key, None, None, [None, None]),
        ("other PHI", &key, Some(b"{}".as_slice()), Some(RESULT), [Some(false), Some(true)]),
        ("no PHI", &key, Some(b"".as_slice()), None, [Some(false), None]),
        ("other result", &key, Some(PHI), Some(PHI), [Some(true), Some(false)]),
        ("another key", &other, Some(PHI), Some(RESULT), [Some(false), Some(false)]),
    ];
    for (name, key, phi, result, wanted) in rows {
        let contents = Contents::of(key, phi, result);
        let report = parse(&KEPT.evidence).verify_with_contents(&FORGE.verifier, now(), &contents);
        assert_report(&report);
        let got = [Phi, Result]
            .map(|check| report.checks().iter().find(|outcome| outcome.check == check).unwrap().ok);
        assert_eq!(got, wanted, "{name}");
        assert_eq!(report.valid(), !wanted.contains(&Some(false)), "{name}");
        let shown = format!("{report:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn one_of_several_ways_in_which_contents_may_have_crossed_is_enough() {
    let (as_sent, other) = (
        Contents::of(&commitment_key(), Some(PHI), None),
        Contents::of(&commitment_key(), Some(b"{}"), None),
    );
    let rows = [([&other, &as_sent], true), ([&as_sent, &other], true), ([&other, &other], false)];
    for (ways, valid) in rows {
        let phi = ways.into_iter().flat_map(|way| way.phi.clone()).collect();
        let contents = Contents { phi, result: Vec::new() };
        let report = parse(&KEPT.evidence).verify_with_contents(&FORGE.verifier, now(), &contents);
        assert_eq!(report.valid(), valid);
    }
}

#[test]
fn contents_say_nothing_where_the_receipt_itself_is_not_to_be_believed() {
    let contents = Contents::of(&commitment_key(), Some(PHI), Some(RESULT));
    let forged = parse(&KEPT.changed(json!({"signature": ""})));
    let report = forged.verify_with_contents(&FORGE.verifier, now(), &contents);
    assert_report(&report);
    assert_eq!(failed(&report), [EvidenceCheck::Signature]);
    assert!(!report.valid());
}

#[test]
fn every_step_can_fail_and_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = EvidenceCheck::ALL.iter().map(|check| check.name()).collect();
    assert_eq!(names.len(), EvidenceCheck::ALL.len());
    assert!(EvidenceCheck::ALL.is_sorted());
}
