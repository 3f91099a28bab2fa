//! Attacks on the signature: by the wrong key, over other bytes, with another padding.

use attestation::VerifyError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mock_launcher::rcgen::PublicKeyData as _;
use mock_launcher::{Algorithm, Key, TokenKey, assemble, sign_compact, signing_input};
use serde_json::{Value, json};

use super::odd_keys::{self, OddKey};
use super::{Attack, Forge, segments};

pub fn attacks(forge: &Forge) -> Vec<Attack> {
    let rows = [altered(forge), wrong_keys(forge), wrong_paddings(forge)];
    let rows = rows.into_iter().flatten();
    rows.map(|(name, token)| forge.attack("signature", name, token, VerifyError::Signature)).collect()
}

type Row = (&'static str, String);

fn altered(forge: &Forge) -> Vec<Row> {
    let token = forge.token();
    let [header, payload, signature] = segments(&token);
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let input = format!("{header}.{payload}");
    let with_signature = |bytes: &[u8]| assemble(&input, bytes);

    let other_header = forge.with_header(&json!({ "kid": "other" }));
    let other_claims = forge.with_claims(&json!({ "aud": "somebody else" }));
    let [other_header_alone, _, signature_of_other_header] = segments(&other_header);
    let [_, other_payload, signature_of_other_claims] = segments(&other_claims);
    // Equal to the signature modulo the modulus, which it must be smaller than.
    let modulus = OddKey::of(forge.chain.leaf_key()).modulus();
    let (own_input, plus_modulus) = (0..4096)
        .find_map(|attempt| {
            let token = forge.with_claims(&json!({ "jti": attempt }));
            let [header, payload, signature] = segments(&token);
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            Some((format!("{header}.{payload}"), odd_keys::plus_modulus(&signature, &modulus)?))
        })
        .unwrap();
    let minus_one: Vec<u8> = modulus.iter().copied().take(255).chain([modulus[255] - 1]).collect();
    vec![
        ("a bit changed in the header", with_bit_changed_in_kid(&token)),
        ("a bit changed in the claims", with_bit_changed(&token, header.len() + payload.len() / 2)),
        ("a bit changed in the signature", with_bit_changed(&token, token.len() - 20)),
        ("other claims under a genuine signature", format!("{header}.{other_payload}.{signature}")),
        ("another header under a genuine signature", format!("{other_header_alone}.{payload}.{signature}")),
        ("the signature of another token", format!("{input}.{signature_of_other_claims}")),
        (
            "the signature of a token with other key parameters",
            format!("{input}.{signature_of_other_header}"),
        ),
        ("claims without a signed header in front", format!("{header}.{header}.{signature}")),
        ("a signature of one byte", with_signature(&[0])),
        ("a signature without its last byte", with_signature(&bytes[..255])),
        ("a signature without its first byte", with_signature(&bytes[1..])),
        ("a signature after a zero byte", with_signature(&[&[0], &bytes[..]].concat())),
        ("a signature before a zero byte", with_signature(&[&bytes[..], &[0]].concat())),
        ("a signature twice", with_signature(&[&bytes[..], &bytes[..]].concat())),
        ("a signature of zeros", with_signature(&[0; 256])),
        ("a signature of ones", with_signature(&[0xff; 256])),
        ("the signature 1", with_signature(&[&[0; 255][..], &[1]].concat())),
        ("the modulus as signature", with_signature(&modulus)),
        ("the modulus less one as signature", with_signature(&minus_one)),
        ("a signature plus the modulus", assemble(&own_input, &plus_modulus)),
    ]
}

/// The lowest bit of the first letter from there on that stays a letter.
fn with_bit_changed(token: &str, from: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let stays_a_letter = |byte: u8| byte.is_ascii_alphabetic() && (byte ^ 1).is_ascii_alphabetic();
    let at = (from..).find(|at| stays_a_letter(bytes[*at])).unwrap();
    bytes[at] ^= 1;
    String::from_utf8(bytes).unwrap()
}

/// A bit that leaves the header good JSON with the same certificates.
fn with_bit_changed_in_kid(token: &str) -> String {
    let header = |token: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segments(token)[0]).ok()?).ok()
    };
    let good = header(token).unwrap();
    let differs_in_kid = |changed: &String| {
        header(changed).is_some_and(|changed| {
            changed["kid"] != good["kid"] && changed["alg"] == good["alg"] && changed["x5c"] == good["x5c"]
        })
    };
    (0..).map(|from| with_bit_changed(token, from)).find(differs_in_kid).unwrap()
}

fn wrong_keys(forge: &Forge) -> Vec<Row> {
    let spec = forge.spec();
    let by = |key: &Key| {
        let mint = forge.mint.clone().signed_by(key.token_key().unwrap());
        mint.token_with(&json!({ "alg": "RS256" }), &forge.claims()).unwrap()
    };
    let leaf = forge.chain.leaf_key();
    let hmac = TokenKey::hmac(&leaf.key_pair().subject_public_key_info(), Algorithm::HS256);
    vec![
        ("signed by the intermediate's key", by(&spec.intermediates[0].key)),
        ("signed by the root's key", by(&spec.root.key)),
        ("signed by the key of OIDC tokens", by(forge.pki.oidc_key())),
        ("signed by a key of no certificate", by(&forge.attacker)),
        ("RS256 in the header, HMAC with the leaf's public key", signed(forge, &hmac)),
    ]
}

fn wrong_paddings(forge: &Forge) -> Vec<Row> {
    let with = |algorithm| signed(forge, &forge.leaf_key.clone().with_algorithm(algorithm));
    let input = signing_input(forge.mint.header().to_string().as_bytes(), &forge.claims_json());
    let leaf = OddKey::of(forge.chain.leaf_key());
    let hash = odd_keys::sha256(input.as_bytes());
    // `DigestInfo` of SHA-256 without the NULL after the object identifier.
    let without_null = [0x30, 0x2f, 0x30, 0x0b, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 4, 0x20];
    let padded = |prefix: &[u8], rest: &[u8]| assemble(&input, &leaf.padded(prefix, rest));
    vec![
        ("RS256 in the header, PS256 in the signature", with(Algorithm::PS256)),
        ("RS256 in the header, RS384 in the signature", with(Algorithm::RS384)),
        ("RS256 in the header, RS512 in the signature", with(Algorithm::RS512)),
        ("a signature with SHA-1", padded(odd_keys::SHA1_INFO, &odd_keys::sha1(input.as_bytes()))),
        ("a signature that does not name its hash", padded(&[], &hash)),
        ("a signature that names its hash without NULL", padded(&without_null, &hash)),
        ("a signature that names SHA-256 and holds another hash", padded(odd_keys::SHA256_INFO, &[0x5a; 32])),
        (
            "a signature with bytes behind the hash",
            padded(odd_keys::SHA256_INFO, &[&hash[..], &[0; 64]].concat()),
        ),
        ("a signature of the claims alone", {
            let (_, payload) = input.split_once('.').unwrap();
            assemble(&input, &leaf.rs256(payload))
        }),
        ("a signature of the decoded parts", {
            let decoded =
                format!("{}.{}", forge.mint.header(), String::from_utf8(forge.claims_json()).unwrap());
            assemble(&input, &leaf.rs256(&decoded))
        }),
    ]
}

/// A token whose header asks for RS256, signed in another way.
fn signed(forge: &Forge, key: &TokenKey) -> String {
    sign_compact(forge.mint.header().to_string().as_bytes(), &forge.claims_json(), key).unwrap()
}
