//! Receipts: only the key of the handshake signs them, only for this session, this token, this PHI and this result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attestation::v1::{
    Commitment, CommitmentKey, ExpectedReceipt, MessageError, Receipt, ReceiptError, SignedReceipt,
};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

fn key(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    key.public_key().as_der().unwrap().as_ref().to_vec()
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

fn receipt() -> Receipt {
    Receipt {
        transcript: [1; 32],
        token: [2; 32],
        phi: Commitment::from_bytes([3; 32]),
        result: Commitment::from_bytes([4; 32]),
        rules: "recommended".to_owned(),
        program: "usleep 0.1.0".to_owned(),
        time: 1_750_688_561,
    }
}

fn expected() -> ExpectedReceipt {
    let Receipt { transcript, token, phi, result, .. } = receipt();
    ExpectedReceipt { transcript, token, phi, result }
}

fn signed(key: &EcdsaKeyPair) -> SignedReceipt {
    SignedReceipt::sign(&receipt(), |message| Ok::<_, ()>(sign(key, message))).unwrap()
}

/// A receipt message of any text and signature.
fn message(text: &str, signature: &[u8]) -> SignedReceipt {
    SignedReceipt::parse(&json!({"receipt": text, "signature": STANDARD.encode(signature)}).to_string())
        .unwrap()
}

fn signed_text(key: &EcdsaKeyPair, text: &str) -> SignedReceipt {
    message(text, &sign(key, format!("attested-sleep/1 receipt\0{text}").as_bytes()))
}

#[test]
fn a_receipt_by_the_key_of_the_handshake_verifies_also_after_it_has_crossed() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let signed = signed(&key);
    assert_eq!(signed.verify(&spki(&key), &expected()), Ok(receipt()));
    let crossed = SignedReceipt::parse(&signed.to_json()).unwrap();
    assert_eq!(crossed, signed);
    assert_eq!(crossed.verify(&spki(&key), &expected()), Ok(receipt()));
}

#[test]
fn the_very_bytes_are_signed_however_another_program_writes_them() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let spaced = receipt().to_json().replace("\":", "\" :\n ");
    assert_ne!(spaced, receipt().to_json());
    let crossed = SignedReceipt::parse(&signed_text(&key, &spaced).to_json()).unwrap();
    assert_eq!(crossed.receipt_json(), spaced);
    assert_eq!(crossed.verify(&spki(&key), &expected()), Ok(receipt()));
}

#[test]
fn a_signer_that_fails_gives_no_receipt() {
    assert_eq!(SignedReceipt::sign(&receipt(), |_| Err("no key")), Err("no key"));
}

#[test]
fn a_receipt_for_something_else_is_refused_by_name() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let signed = signed(&key);
    let other = Commitment::from_bytes([9; 32]);
    let rows = [
        ("session", ExpectedReceipt { transcript: [9; 32], ..expected() }, 1),
        ("token", ExpectedReceipt { token: [9; 32], ..expected() }, 2),
        ("PHI", ExpectedReceipt { phi: other, ..expected() }, 3),
        ("result", ExpectedReceipt { result: other, ..expected() }, 4),
    ];
    for (what, expected, got) in rows {
        let hex = |byte| hex::encode([byte; 32]);
        let wanted = ReceiptError::Mismatch { what, wanted: hex(9), got: hex(got) };
        assert_eq!(signed.verify(&spki(&key), &expected), Err(wanted));
    }
}

#[test]
fn whatever_else_was_signed_or_by_whom_is_no_receipt() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let text = receipt().to_json();
    let over = |bytes: Vec<u8>| message(&text, &sign(&key, &bytes));
    let good = signed(&key);
    let fixed = EcdsaKeyPair::from_private_key_der(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der>::as_der(&key.private_key()).unwrap().as_ref(),
    )
    .unwrap();
    let whole = [&b"attested-sleep/1 receipt\0"[..], text.as_bytes()].concat();
    let rows = [
        ("another key", signed_by_another()),
        ("no prefix", over(text.clone().into_bytes())),
        ("a prefix without its zero", over([&b"attested-sleep/1 receipt"[..], text.as_bytes()].concat())),
        ("another prefix", over([&b"attested-sleep/1 root\0"[..], text.as_bytes()].concat())),
        ("not in ASN.1", message(&text, &sign(&fixed, &whole))),
        ("empty", message(&text, &[])),
        ("cut short", message(&text, &good.signature()[..good.signature().len() - 1])),
        ("something after it", message(&text, &[good.signature(), &[0]].concat())),
        ("zeros", message(&text, &[0x30, 6, 2, 1, 0, 2, 1, 0])),
        ("the text altered", message(&text.replace("recommended", "codelab"), good.signature())),
        ("a space more", message(&format!("{text} "), good.signature())),
    ];
    for (name, signed) in rows {
        assert_eq!(signed.verify(&spki(&key), &expected()), Err(ReceiptError::Signature), "{name}");
    }
}

fn signed_by_another() -> SignedReceipt {
    signed(&key(&ECDSA_P256_SHA256_ASN1_SIGNING))
}

#[test]
fn what_was_signed_must_be_a_receipt() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let text = receipt().to_json();
    for text in ["", "{}", "null", &text.replacen('{', "{\"x\":1,", 1), &text.replace("1750688561", "1e9")] {
        let refused = signed_text(&key, text).verify(&spki(&key), &expected()).unwrap_err();
        assert!(matches!(refused, ReceiptError::Message(_)), "{text}: {refused}");
    }
    let twice = text.replacen('{', "{\"time\":1,", 1);
    let refused = signed_text(&key, &twice).verify(&spki(&key), &expected());
    let wanted = MessageError::DuplicateKey { message: "receipt", key: "time".to_owned() };
    assert_eq!(refused, Err(wanted.into()));
}

#[test]
fn only_an_uncompressed_point_on_p_256_in_der_is_a_key() {
    let key = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let (signed, spki) = (signed(&key), spki(&key));
    let point = &spki[26..];
    let (x, y) = (&point[1..33], &point[33..]);
    let compressed = [
        &hex::decode("3039301306072a8648ce3d020106082a8648ce3d030107032200").unwrap()[..],
        &[2 + (y[31] & 1)],
        x,
    ]
    .concat();
    let hybrid = [&spki[..26], &[6 + (y[31] & 1)], x, y].concat();
    let with = |at: usize, byte: u8| {
        let mut changed = spki.clone();
        changed[at] = byte;
        changed
    };
    let ed25519 = [&hex::decode("302a300506032b6570032100").unwrap()[..], x].concat();
    let secp256k1 =
        [&hex::decode("3056301006072a8648ce3d020106052b8104000a034200").unwrap()[..], point].concat();
    let p384 = self::spki(&self::key(&ECDSA_P384_SHA384_ASN1_SIGNING));
    let rows = [
        ("nothing", vec![]),
        ("the point alone", point.to_vec()),
        ("a compressed point", compressed),
        ("a hybrid point", hybrid),
        ("P-384", p384),
        ("Ed25519", ed25519),
        ("secp256k1", secp256k1),
        ("another algorithm", with(10, 0x02)),
        ("unused bits", with(25, 1)),
        ("cut short", spki[..90].to_vec()),
        ("something after it", [&spki[..], &[0]].concat()),
        ("a length in long form", [&[0x30, 0x81], &spki[1..]].concat()),
    ];
    for (name, spki) in rows {
        assert_eq!(signed.verify(&spki, &expected()), Err(ReceiptError::Key), "{name}");
    }
    // A point that is not on the curve is a key in form, and verifies nothing.
    assert_eq!(signed.verify(&with(90, y[31] ^ 1), &expected()), Err(ReceiptError::Signature));
    assert_eq!(signed.verify(&[&spki[..27], &[0; 64]].concat(), &expected()), Err(ReceiptError::Signature));
}

#[test]
fn commitments_differ_by_key_by_content_and_by_what_they_are_to() {
    let (key, other) = (CommitmentKey::random().unwrap(), CommitmentKey::random().unwrap());
    let to_phi = |key: &CommitmentKey, bytes: &[u8]| {
        let mut commit = key.commit_phi();
        commit.update(bytes);
        commit.finish()
    };
    let mut to_result = key.commit_result();
    to_result.update(b"x");
    let one = to_phi(&key, b"x");
    assert_eq!(one, to_phi(&key, b"x"));
    assert_ne!(one, to_phi(&key, b"y"));
    assert_ne!(one, to_phi(&key, b""));
    assert_ne!(one, to_phi(&other, b"x"));
    assert_ne!(one, to_result.finish());
    assert_eq!(format!("{key:?} {:?}", key.commit_phi()), "CommitmentKey(..) Commit(..)");
}

#[test]
fn the_key_leads_the_first_phi_message_and_what_is_shorter_has_none() {
    let message = [[7; 32].as_slice(), b"{}"].concat();
    let (key, phi) = CommitmentKey::lead(&message).unwrap();
    assert_eq!((key.expose(), phi), (&[7; 32], b"{}".as_slice()));
    assert_eq!(CommitmentKey::lead(&message[..32]).unwrap().1, b"");
    for short in [0, 1, 31] {
        assert!(CommitmentKey::lead(&message[..short]).is_none(), "{short}");
    }
}
