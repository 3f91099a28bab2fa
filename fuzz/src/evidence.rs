//! Target `evidence`: any text as the evidence of a session. Only what says the same as the genuine evidence is valid.
#![allow(dead_code, unreachable_pub)]

use std::sync::LazyLock;

use attestation::v1::{
    Batch, CommitmentKey, Contents, Evidence, EvidenceCheck, EvidenceReport, HelloNonce, Leaf, Receipt,
    SessionBinding, SignedReceipt, Transcript,
};
use attestation::{Role, Token};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mock_launcher::claims::{merge, to_json};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::forge::{FORGE, NOW, good_claims, now};
use super::shown::assert_printable;

/// What the session was about. Made up.
pub const PHI: &[u8] = br#"{"name":"canary-name","age":29}"#;
pub const RESULT: &[u8] = br#"{"sentence":"canary-result"}"#;

const EXPORTER: [u8; 32] = [0xe0; 32];
pub const CLIENT_NONCE: [u8; 32] = [0xc1; 32];
pub const SERVER_NONCE: [u8; 32] = [0x5e; 32];

/// One session and what it left.
pub struct Kept {
    key: EcdsaKeyPair,
    /// The key of the handshake's certificate.
    pub spki: Vec<u8>,
    /// The nonce of the batch that it was in.
    pub nonce: String,
    pub receipt: Receipt,
    /// The evidence as JSON, to be changed.
    pub evidence: Value,
}

pub static KEPT: LazyLock<Kept> = LazyLock::new(Kept::new);

impl Kept {
    fn new() -> Self {
        // The published key, so that every run has the same and the seeds of one are evidence in another.
        let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/wire.json")).unwrap();
        let published = |name: &str| bytes(vectors["receipt"][name].as_str().unwrap());
        let spki = published("spki");
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &published("private_key"),
            &spki[spki.len() - 65..],
        )
        .unwrap();
        let transcript = transcript(Role::Server, &spki);
        let leaves = vec![Leaf::from_bytes([1; 32]), Leaf::from_bytes([2; 32]), transcript.leaf()];
        let batch = Batch::seal(leaves).unwrap();
        let nonce = batch.nonce().as_str().to_owned();
        let token = Token::new(token(&[&nonce])).unwrap();
        let (mut phi, mut result) = (commitment_key().commit_phi(), commitment_key().commit_result());
        phi.update(PHI);
        result.update(RESULT);
        let receipt = Receipt {
            transcript: transcript.sha256(),
            token: token.digest(),
            phi: phi.finish(),
            result: result.finish(),
            rules: "recommended".to_owned(),
            program: "usleep 0.1.0".to_owned(),
            time: NOW + 2,
        };
        let signed = SignedReceipt::sign(&receipt, |bytes| Ok::<_, ()>(sign(&key, bytes))).unwrap();
        let proof = batch.proof(2).unwrap();
        let evidence = Evidence::new(&transcript, &spki, token, proof, signed, now());
        let evidence = serde_json::from_str(&evidence.to_json()).unwrap();
        Self { key, spki, nonce, receipt, evidence }
    }

    /// The evidence with some members changed.
    pub fn changed(&self, patch: Value) -> Value {
        let mut evidence = self.evidence.clone();
        for (key, value) in patch.as_object().unwrap() {
            evidence[key] = value.clone();
        }
        evidence
    }

    /// The evidence with another text in place of the receipt's, signed as it is.
    pub fn signed(&self, text: &str) -> Value {
        let signature = sign(&self.key, format!("attested-sleep/1 receipt\0{text}").as_bytes());
        self.changed(json!({"receipt": text, "signature": STANDARD.encode(signature)}))
    }
}

fn sign(key: &EcdsaKeyPair, bytes: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
}

/// Asserts what holds of any bytes, and says whether they are valid evidence.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let evidence = match Evidence::parse(text) {
        Ok(evidence) => evidence,
        Err(error) => {
            assert_printable(&error.to_string());
            return false;
        }
    };
    let report = evidence.verify(&FORGE.verifier, now());
    assert_report(&report);
    let contents = Contents::of(&commitment_key(), Some(PHI), Some(RESULT));
    let with_contents = evidence.verify_with_contents(&FORGE.verifier, now(), &contents);
    assert_report(&with_contents);
    assert_eq!(report.checks()[..8], with_contents.checks()[..8]);
    assert_eq!(report.valid(), with_contents.valid(), "a valid receipt is for this PHI and this result");

    let valid = report.valid();
    if valid {
        let mut said: Value = serde_json::from_str(text).unwrap();
        // Some minutes more or less, and the other of the two signatures that ECDSA makes of one.
        for key in ["verified_at", "signature"] {
            said[key] = KEPT.evidence[key].clone();
        }
        assert!(said == KEPT.evidence, "evidence of another session");
        assert_eq!(report.receipt(), Some(&KEPT.receipt));
    }
    assert_eq!(report.into_verified().is_some(), valid);
    valid
}

/// The steps come in order, none runs after one that ends the pass, and nothing that is shown misleads.
pub fn assert_report(report: &EvidenceReport) {
    assert!(report.checks().iter().map(|outcome| outcome.check).eq(EvidenceCheck::ALL));
    let failed = report.checks().iter().find(|outcome| outcome.ok == Some(false)).map(|found| found.check);
    for outcome in report.checks() {
        assert_printable(&outcome.wanted);
        assert_printable(&outcome.got);
        let given = !matches!(outcome.check, EvidenceCheck::Phi | EvidenceCheck::Result);
        let after = failed.is_some_and(|failed| failed <= EvidenceCheck::Receipt && failed < outcome.check);
        assert!(!after || outcome.ok.is_none(), "{} ran after {failed:?}", outcome.check);
        assert!(after || !given || outcome.ok.is_some(), "{} did not run", outcome.check);
        assert_eq!(outcome.ok.is_none(), outcome.got.is_empty(), "{}", outcome.check);
    }
    assert_eq!(report.valid(), failed.is_none());
    assert!(report.receipt().is_some() || !report.valid());
}

/// Evidence to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let receipt = KEPT.receipt.to_json();
    [
        ("genuine", KEPT.evidence.clone()),
        ("later", KEPT.changed(json!({"verified_at": NOW + 30}))),
        ("future", KEPT.changed(json!({"verified_at": NOW + 61}))),
        ("old", KEPT.changed(json!({"verified_at": NOW - 61}))),
        ("another-token", KEPT.changed(json!({"token": FORGE.genuine}))),
        ("another-place", KEPT.changed(json!({"size": 4}))),
        ("another-key", KEPT.changed(json!({"spki": STANDARD.encode([&KEPT.spki[..90], &[0]].concat())}))),
        ("signed-anew", KEPT.signed(&receipt)),
        ("another-receipt", KEPT.signed(&receipt.replace("\"token\":\"", "\"token\":\"AAAA"))),
        ("no-receipt", KEPT.signed("{}")),
    ]
    .map(|(name, evidence)| (name.to_owned(), evidence.to_string().into_bytes()))
    .into()
}

pub fn commitment_key() -> CommitmentKey {
    CommitmentKey::from_bytes(Zeroizing::new([7; 32]))
}

/// The session's transcript, or what it would be with another key or the client as the attester.
pub fn transcript(role: Role, spki: &[u8]) -> Transcript {
    let export = |buffer: &mut [u8; 32], _: &[u8], _: Option<&[u8]>| {
        *buffer = EXPORTER;
        Ok::<(), ()>(())
    };
    let binding = SessionBinding::of_session(export, spki).unwrap();
    binding.transcript(role, &HelloNonce::from_bytes(CLIENT_NONCE), &HelloNonce::from_bytes(SERVER_NONCE))
}

/// An authentic token with these nonces.
pub fn token(nonces: &[&str]) -> String {
    let mut claims = good_claims();
    merge(&mut claims, &json!({ "eat_nonce": nonces }));
    FORGE.sign_claims(&to_json(&claims))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()).collect()
}
