//! Real tokens of Google's attestation service against Google's real root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use attestation::{
    Anchors, Certificate, Check, Expectation, Token, Verifier, VerifyError, decode_unverified,
};
use rustls_pki_types::UnixTime;

mod vectors;

const PRODUCTION: &str = "prod_tdx_2025-09.pki.jwt";
const PRODUCTION_IAT: u64 = 1_757_060_250;
const DEBUG: &str = "debug_sev_2025-06.pki.jwt";
const DEBUG_IAT: u64 = 1_750_688_551;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn token(name: &str) -> Option<Token> {
    let bytes = vectors::read(name)?;
    Some(Token::new(String::from_utf8(bytes).unwrap().trim_end()).unwrap())
}

fn google() -> Verifier {
    Verifier::new(Anchors::google(), Expectation::default())
}

#[test]
fn both_real_tokens_verify_ten_seconds_after_they_were_issued() {
    for (name, iat, hardware) in
        [(PRODUCTION, PRODUCTION_IAT, "GCP_INTEL_TDX"), (DEBUG, DEBUG_IAT, "GCP_AMD_SEV")]
    {
        let Some(token) = token(name) else { return };
        let verified = google().verify(&token, at(iat + 10)).unwrap();
        assert_eq!(verified.claims().issued_at, iat);
        assert_eq!(verified.claims().hardware_model.as_deref(), Some(hardware));
        assert_eq!(verified.claims().software_name.as_deref(), Some("CONFIDENTIAL_SPACE"));

        let report = google().report(&token, at(iat + 10));
        assert!(report.verdict().is_ok());
        assert!(report.checks().iter().all(|outcome| outcome.ok == Some(true) && !outcome.got.is_empty()));
        assert_eq!(report.certificates()[2].as_ref().unwrap().name, "Confidential Space Root CA");
    }
}

#[test]
fn the_claims_of_the_production_token_are_read_as_they_are() {
    let Some(token) = token(PRODUCTION) else { return };
    let verified = google().verify(&token, at(PRODUCTION_IAT + 10)).unwrap();
    let claims = verified.claims();
    assert_eq!(claims.audience, ["z08381475938604996746"]);
    assert_eq!(claims.nonces, ["75a91c8dbe289f190d5e70ab1cb70c93cc14d7243f0ef3ff5326a622ead220a6"]);
    assert_eq!(claims.expires_at, PRODUCTION_IAT + 3600);
    assert_eq!(claims.debug_status.as_deref(), Some("disabled-since-boot"));
    assert_eq!(claims.support_attributes, ["LATEST", "STABLE", "USABLE"]);
    assert_eq!(
        claims.image_digest.as_deref(),
        Some("sha256:e2e5e3672f416ac9ca71aa639abf86db0b713729a48c125a925af6c808b20b5d")
    );
    assert_eq!(claims.project_id.as_deref(), Some("oak-examples-477357"));
    assert_eq!(claims.service_accounts, ["724467010559-compute@developer.gserviceaccount.com"]);
}

#[test]
fn times_outside_the_tokens_own_are_refused_by_name() {
    let iat = PRODUCTION_IAT;
    let not_after = 1_762_145_666;
    let rows = [
        // At each limit and one second beyond it.
        (iat - 60, Ok(())),
        (iat - 61, Err(VerifyError::NotYetValid { ahead: 61, leeway: 60 })),
        (iat + 360, Ok(())),
        (iat + 361, Err(VerifyError::TooOld { age: 361, wanted: 360 })),
        (iat + 3600 + 59, Err(VerifyError::TooOld { age: 3659, wanted: 360 })),
        (iat + 3600 + 60, Err(VerifyError::Expired { ago: 60, leeway: 60 })),
        (not_after, Err(VerifyError::Expired { ago: not_after - iat - 3600, leeway: 60 })),
        (not_after + 1, Err(VerifyError::CertificateExpired { certificate: Certificate::Leaf, not_after })),
    ];
    let Some(token) = token(PRODUCTION) else { return };
    for (now, wanted) in rows {
        let got = google().verify(&token, at(now)).map(drop);
        assert_eq!(got, wanted, "at iat {:+}", now as i64 - iat as i64);
    }
}

#[test]
fn an_altered_signature_is_refused_and_no_claim_is_looked_at() {
    let Some(token) = token("debug_sev_2025-06_badsig.pki.jwt") else {
        return;
    };
    assert_eq!(google().verify(&token, at(DEBUG_IAT + 10)).map(drop), Err(VerifyError::Signature));
    let report = google().report(&token, at(DEBUG_IAT + 10));
    assert!(report.claims().is_none());
    for outcome in report.checks() {
        let wanted = match outcome.check {
            before if before < Check::Signature => Some(true),
            Check::Signature => Some(false),
            _ => None,
        };
        assert_eq!(outcome.ok, wanted, "{}", outcome.check);
    }
}

#[test]
fn an_oidc_token_is_refused_because_it_brings_no_certificates() {
    let Some(token) = token("cvm_oidc_2024-05.jwt") else {
        return;
    };
    assert_eq!(google().verify(&token, at(1_715_968_107)).map(drop), Err(VerifyError::NoX5c));
    assert_eq!(decode_unverified(&token).unwrap().claims["swname"], "GCE");
}

#[test]
fn googles_root_as_published_is_the_pinned_one() {
    let Some(pem) = vectors::read("confidential_space_root.pem") else {
        return;
    };
    let published = Anchors::from_pem(&pem).unwrap();
    assert_eq!(published.fingerprints(), Anchors::google().fingerprints());

    let Some(token) = token(PRODUCTION) else { return };
    let verifier = Verifier::new(published, Expectation::default());
    assert!(verifier.verify(&token, at(PRODUCTION_IAT + 10)).is_ok());
}
