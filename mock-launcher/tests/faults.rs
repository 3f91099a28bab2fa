//! Each fault is the one thing that is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Mock, NONCE, Token, body, rsa_says_signed};
use mock_launcher::{Fault, Pki};
use serde_json::json;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

async fn token_with(fault: Fault) -> Token {
    Mock::start(|mock| mock.fault(fault)).await.token().await
}

fn signed_by_its_leaf(token: &Token) -> bool {
    rsa_says_signed(&token.x5c()[0], token.signing_input.as_bytes(), &token.signature)
}

fn root() -> Vec<u8> {
    Pki::shared_for_tests().unwrap().root().to_vec()
}

#[tokio::test]
async fn without_a_fault_everything_is_right() {
    let token = Mock::start(|mock| mock).await.token().await;
    assert!(signed_by_its_leaf(&token));
    assert_eq!(token.x5c().len(), 3);
    assert_eq!(token.x5c()[2], root());
    assert_eq!(token.claims["eat_nonce"], NONCE);
    assert_eq!(token.claims["aud"], "uwear");
    let age = now() - token.claims["iat"].as_i64().unwrap();
    assert!((0..60).contains(&age));
}

#[tokio::test]
async fn an_expired_token_is_over_and_otherwise_right() {
    let token = token_with(Fault::Expired).await;
    assert!(token.claims["exp"].as_i64().unwrap() < now());
    assert_eq!(token.claims["exp"].as_i64().unwrap() - token.claims["iat"].as_i64().unwrap(), 3600);
    assert!(signed_by_its_leaf(&token));
}

#[tokio::test]
async fn a_token_that_is_not_yet_valid_starts_later() {
    let token = token_with(Fault::NotYetValid).await;
    assert!(token.claims["nbf"].as_i64().unwrap() > now() + 3000);
    assert_eq!(token.claims["iat"], token.claims["nbf"]);
}

#[tokio::test]
async fn a_wrong_nonce_is_as_long_as_the_right_one() {
    let token = token_with(Fault::WrongNonce).await;
    let nonce = token.claims["eat_nonce"].as_str().unwrap();
    assert!(nonce != NONCE && nonce.len() == NONCE.len());
}

#[tokio::test]
async fn a_wrong_key_breaks_the_signature_alone() {
    let token = token_with(Fault::WrongKey).await;
    assert!(!signed_by_its_leaf(&token));
    assert_eq!(token.x5c()[2], root());
    assert_eq!(token.header["alg"], "RS256");
}

#[tokio::test]
async fn no_x5c_is_still_signed_as_rs256() {
    let token = token_with(Fault::NoX5c).await;
    assert_eq!(token.header.get("x5c"), None);
    assert_eq!(token.header["alg"], "RS256");
}

#[tokio::test]
async fn an_extra_certificate_is_a_fourth_one() {
    let token = token_with(Fault::ExtraCertificate).await;
    assert_eq!(token.x5c().len(), 4);
    assert!(signed_by_its_leaf(&token));
}

#[tokio::test]
async fn a_foreign_root_has_the_same_name_and_another_key() {
    use x509_cert::der::Decode as _;

    let token = token_with(Fault::ForeignRoot).await;
    assert!(signed_by_its_leaf(&token));
    let [foreign, own] = [&token.x5c()[2], &root()].map(|der| x509_cert::Certificate::from_der(der).unwrap());
    assert_eq!(foreign.tbs_certificate().subject(), own.tbs_certificate().subject());
    assert_ne!(
        foreign.tbs_certificate().subject_public_key_info(),
        own.tbs_certificate().subject_public_key_info()
    );
}

#[tokio::test]
async fn a_debug_image_says_so_in_two_claims() {
    let token = token_with(Fault::DebugImage).await;
    assert_eq!(token.claims["dbgstat"], "enabled");
    assert_eq!(
        token.claims["submods"]["confidential_space"],
        json!({ "monitoring_enabled": { "memory": false } })
    );
}

#[tokio::test]
async fn a_500_has_the_services_words_and_counts_as_no_token() {
    let mock = Mock::start(|mock| mock.fault(Fault::Http500)).await;
    let answer = mock.post(&body("uwear", &[NONCE], "PKI")).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with("failed to retrieve custom attestation service token: calling "));
    assert_eq!(mock.running.issued(), 0);

    mock.running.set_fault(None);
    mock.token().await;
    assert_eq!(mock.running.issued(), 1);
}

#[tokio::test]
async fn a_used_up_quota_is_a_500_with_the_services_words() {
    let mock = Mock::start(|mock| mock.fault(Fault::Quota)).await;
    let answer = mock.post(&body("uwear", &[NONCE], "PKI")).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains(": googleapi: Error 429: Quota exceeded for quota metric "),
        "{}",
        answer.body
    );
    assert_eq!(mock.running.issued(), 0);
}

#[tokio::test]
async fn a_fault_for_some_requests_is_over_after_them() {
    let mock = Mock::start(|mock| mock).await;
    mock.running.set_fault_for(2, Fault::Http500);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(mock.post(&body("uwear", &[NONCE], "PKI")).await.status);
    }
    assert_eq!(statuses, [500, 500, 200, 200]);

    mock.running.set_fault_for(9, Fault::Http500);
    mock.running.set_fault(None);
    mock.token().await;
}

#[tokio::test]
async fn a_hanging_mock_does_not_answer_and_does_not_block_the_next() {
    let mock = Mock::start(|mock| mock.fault(Fault::Hang).serialize(true)).await;
    let request = body("uwear", &[NONCE], "PKI");
    let hanging = mock.post(&request);
    assert!(tokio::time::timeout(Duration::from_millis(200), hanging).await.is_err());
    mock.running.set_fault(None);
    mock.token().await;
}

#[tokio::test]
async fn a_cut_body_ends_in_the_middle_of_the_token() {
    let mock = Mock::start(|mock| mock.fault(Fault::CutBody)).await;
    let answer = mock.post(&body("uwear", &[NONCE], "PKI")).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.whole);
    assert!((4_000..7_000).contains(&answer.body.len()), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn overrides_reach_every_claim_and_null_removes() {
    let overrides = json!({
        "aud": "anotherCompany.com",
        "hwmodel": "GCP_INTEL_TDX",
        "secboot": null,
        "submods": { "container": { "image_digest": "sha256:00", "env_override": { "A": "b" } } },
    });
    let token = Mock::start(|mock| mock.claims(overrides)).await.token().await;
    assert_eq!(token.claims["aud"], "anotherCompany.com");
    assert_eq!(token.claims["hwmodel"], "GCP_INTEL_TDX");
    assert_eq!(token.claims.get("secboot"), None);
    assert_eq!(token.claims["submods"]["container"]["image_digest"], "sha256:00");
    assert_eq!(token.claims["submods"]["container"]["env_override"]["A"], "b");
    assert_eq!(token.claims["submods"]["container"]["restart_policy"], "Never");
    assert_eq!(token.claims["eat_nonce"], NONCE);
}
