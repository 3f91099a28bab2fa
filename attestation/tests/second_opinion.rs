//! jsonwebtoken's whole `decode` and the rsa crate see every signature as our RS256 path does.
//!
//! jsonwebtoken reads header and claims itself; the rsa crate shares no code with what ships.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod catalogue;
mod vectors;

use std::sync::LazyLock;

use attestation::{Check, verify_rs256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::signature::Verifier as _;
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use catalogue::Attack;

const NOW: u64 = 1_750_688_561;

static ATTACKS: LazyLock<Vec<Attack>> = LazyLock::new(|| catalogue::attacks(NOW));

/// Three verdicts on one signature.
#[derive(Debug, PartialEq)]
struct Opinions {
    ours: bool,
    rsa: bool,
    /// `None` where it did not come to look at the signature: it refused the header first.
    jsonwebtoken: Option<bool>,
}

impl Opinions {
    fn all(verdict: bool) -> Self {
        Self { ours: verdict, rsa: verdict, jsonwebtoken: Some(verdict) }
    }

    /// All the same, for this row of the catalogue.
    fn all_of_row(name: &str, verdict: bool) -> Self {
        // jsonwebtoken wants `kid` to be a string; to us it is nothing.
        let jsonwebtoken = (!name.contains("kid of no string")).then_some(verdict);
        Self { jsonwebtoken, ..Self::all(verdict) }
    }
}

/// `None` for a token that has no leaf with an RSA key that could be read.
fn opinions(token: &str) -> Option<Opinions> {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
    let input = format!("{header}.{payload}");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let leaf = STANDARD.decode(header.get("x5c")?.get(0)?.as_str()?).ok()?;
    let leaf = Certificate::from_der(&leaf).ok()?;
    let key = leaf.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    // An elliptic key or no key: nothing to verify RS256 with.
    pkcs1::RsaPublicKeyRef::try_from(key).ok()?;
    Some(Opinions {
        ours: verify_rs256(signature, input.as_bytes(), key).is_ok(),
        rsa: according_to_rsa(signature, &input, key).is_some(),
        jsonwebtoken: according_to_jsonwebtoken(token, key),
    })
}

fn according_to_rsa(signature: &str, input: &str, key: &[u8]) -> Option<()> {
    let key = rsa::RsaPublicKey::from_pkcs1_der(key).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = rsa::pkcs1v15::Signature::try_from(&*signature).ok()?;
    rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(key).verify(input.as_bytes(), &signature).ok()
}

fn according_to_jsonwebtoken(token: &str, key: &[u8]) -> Option<bool> {
    if jsonwebtoken::decode_header(token).ok()?.alg != Algorithm::RS256 {
        return None;
    }
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Value>(token, &DecodingKey::from_rsa_der(key), &validation) {
        Ok(_) => Some(true),
        Err(error) => match error.kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidRsaKey(_) => Some(false),
            // The signature comes first and was good; then the claims could not be read.
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => Some(true),
            // Of the signature, or else of the claims behind a good one.
            ErrorKind::Base64(_) => {
                let (_, signature) = token.rsplit_once('.')?;
                Some(URL_SAFE_NO_PAD.decode(signature).is_ok())
            }
            other => panic!("jsonwebtoken says {other:?}"),
        },
    }
}

#[test]
fn three_libraries_agree_on_the_signature_of_every_forged_token() {
    let mut compared = 0;
    for attack in &*ATTACKS {
        let Some(found) = opinions(&attack.token) else { continue };
        compared += 1;
        match attack.wanted.check() {
            // Keys that one library takes and another does not: none of them gets as far as a signature.
            Check::LeafKey => {}
            Check::Signature => {
                assert_eq!(found, Opinions::all_of_row(&attack.name, false), "{}", attack.name)
            }
            later if later > Check::Signature => {
                assert_eq!(found, Opinions::all_of_row(&attack.name, true), "{}", attack.name);
            }
            _ => {
                assert_eq!(found.ours, found.rsa, "{}: {found:?}", attack.name);
                assert!(
                    found.jsonwebtoken.is_none_or(|verdict| verdict == found.ours),
                    "{}: {found:?}",
                    attack.name
                );
            }
        }
    }
    assert!(compared > 300, "only {compared} tokens were compared");
}

#[test]
fn three_libraries_agree_on_every_genuine_token() {
    for row in catalogue::genuine(NOW) {
        let wanted = Opinions::all_of_row(&row.name, true);
        assert_eq!(opinions(&row.token), Some(wanted), "{}", row.name);
    }
}

#[test]
fn an_rsa_1024_key_is_taken_by_the_rsa_crate_and_not_by_ours() {
    let tiny = ATTACKS.iter().find(|attack| attack.name == "a leaf with an RSA-1024 key").unwrap();
    let found = opinions(&tiny.token).unwrap();
    assert_eq!(found, Opinions { ours: false, rsa: true, jsonwebtoken: Some(false) });
}

#[test]
fn three_libraries_agree_on_googles_tokens() {
    for (name, verdict) in [
        ("prod_tdx_2025-09.pki.jwt", true),
        ("debug_sev_2025-06.pki.jwt", true),
        ("debug_sev_2025-06_badsig.pki.jwt", false),
    ] {
        let Some(token) = vectors::read(name) else { return };
        let token = String::from_utf8(token).unwrap();
        assert_eq!(opinions(token.trim_end()), Some(Opinions::all(verdict)), "{name}");
    }
}
