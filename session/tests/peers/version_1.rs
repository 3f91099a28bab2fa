//! Wire version 1 worked out without the code under test, for peers that follow it and for those that do not.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub const SUBPROTOCOL: &str = "attested-sleep.v1";

/// Who attests.
pub const SERVER: u8 = 1;
pub const CLIENT: u8 = 2;

pub type Hash = [u8; 32];

/// What both roles of a session are bound to.
#[derive(Clone)]
pub struct Bound {
    pub exporter: Hash,
    pub spki: Vec<u8>,
    pub client_nonce: Hash,
    pub server_nonce: Hash,
}

impl Bound {
    pub fn transcript(&self, role: u8) -> Vec<u8> {
        let spki = sha256(&[&self.spki]);
        let parts: [&[u8]; 6] =
            [b"attested-sleep/1", &[role], &self.exporter, &spki, &self.client_nonce, &self.server_nonce];
        let transcript = parts.concat();
        assert_eq!(transcript.len(), 145);
        transcript
    }

    pub fn leaf(&self, role: u8) -> Hash {
        sha256(&[&[0], &sha256(&[&self.transcript(role)])])
    }
}

pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().unwrap()
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// RFC 9162 §2.1.1 as it is written there: the split is at the largest power of two below the size.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// RFC 9162 §2.1.3.1.
pub fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = split(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = if index < split {
        (path(index, left), root(right))
    } else {
        (self::path(index - split, right), root(left))
    };
    path.push(sibling);
    path
}

fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The only nonce of a token for this tree.
pub fn nonce(size: u32, root: &Hash) -> String {
    STANDARD.encode(sha256(&[b"attested-sleep/1 root", &size.to_be_bytes(), root]))
}

/// A place in a tree and the siblings on the way to its root.
#[derive(Clone)]
pub struct Proof {
    pub index: u64,
    pub size: u64,
    pub path: Vec<Hash>,
}

impl Proof {
    pub fn alone() -> Self {
        Self { index: 0, size: 1, path: Vec::new() }
    }

    /// That of the leaf at `index`.
    pub fn of(index: usize, leaves: &[Hash]) -> Self {
        Self { index: index as u64, size: leaves.len() as u64, path: path(index, leaves) }
    }

    fn hashes(&self) -> Vec<String> {
        self.path.iter().map(|hash| STANDARD.encode(hash)).collect()
    }
}

pub fn hello(bound: &Bound, attest: bool) -> Value {
    json!({"v": 1, "client_nonce": STANDARD.encode(bound.client_nonce), "attest": attest})
}

pub fn attestation(bound: &Bound, token: &str, proof: &Proof, attest: bool) -> Value {
    json!({
        "server_nonce": STANDARD.encode(bound.server_nonce), "token": token, "index": proof.index, "size": proof.size,
        "proof": proof.hashes(), "attest": attest,
    })
}

pub fn client_attestation(token: &str, proof: &Proof) -> Value {
    json!({"token": token, "index": proof.index, "size": proof.size, "proof": proof.hashes()})
}

/// The commitment to PHI (`what` is "phi") or result ("result") under this key.
pub fn commitment(key: &[u8], what: &str, bytes: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, &[what.as_bytes(), &[0], bytes].concat()))
}

/// What an honest server says after it has received `message` and answered `result`.
pub fn receipt(bound: &Bound, token: &str, message: &[u8], result: &str) -> Value {
    let (key, phi) = message.split_at(32);
    json!({
        "transcript": STANDARD.encode(sha256(&[&bound.transcript(SERVER)])),
        "token": STANDARD.encode(sha256(&[token.as_bytes()])),
        "phi": commitment(key, "phi", phi),
        "result": commitment(key, "result", result.as_bytes()),
        "rules": "codelab", "program": "usleep of the tests", "time": 1_795_000_000,
    })
}

/// The receipt as it crosses, signed with this key.
pub fn signed(receipt: &Value, key: &EcdsaKeyPair) -> Value {
    let text = receipt.to_string();
    let message = [b"attested-sleep/1 receipt\0", text.as_bytes()].concat();
    let signature = key.sign(&SystemRandom::new(), &message).unwrap();
    json!({"receipt": text, "signature": STANDARD.encode(signature)})
}

/// A key for receipts.
pub fn receipt_key(pkcs8: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).unwrap()
}

/// RFC 9162 §2.1.3.2, steps 2 to 4, as they are written there: the root that leaf and proof lead to.
pub fn fold(leaf: &Hash, proof: &Proof) -> Hash {
    assert!(proof.index < proof.size);
    let (mut index, mut last, mut root) = (proof.index, proof.size - 1, *leaf);
    for sibling in &proof.path {
        assert!(last != 0, "the proof is too long");
        if index % 2 == 1 || index == last {
            root = node(sibling, &root);
            while index.is_multiple_of(2) && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            root = node(&root, sibling);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    assert_eq!(last, 0, "the proof is too short");
    root
}

/// The proof in an attestation.
pub fn proof_of(message: &Value) -> Proof {
    let hash = |hash: &Value| STANDARD.decode(hash.as_str().unwrap()).unwrap().try_into().unwrap();
    Proof {
        index: message["index"].as_u64().unwrap(),
        size: message["size"].as_u64().unwrap(),
        path: message["proof"].as_array().unwrap().iter().map(hash).collect(),
    }
}

/// The SubjectPublicKeyInfo of an ECDSA P-256 key in a certificate: DER leaves it one form.
pub fn spki_in(certificate: &[u8]) -> Vec<u8> {
    let head = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0\x04";
    let at = certificate.windows(head.len()).position(|window| window == head).unwrap();
    certificate[at..at + head.len() + 64].to_vec()
}

/// Panics unless the key signed this receipt.
pub fn verify(receipt: &str, signature: &str, spki: &[u8]) {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[26..]);
    let message = [b"attested-sleep/1 receipt\0", receipt.as_bytes()].concat();
    key.verify(&message, &STANDARD.decode(signature).unwrap()).unwrap();
}
