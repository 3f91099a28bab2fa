//! Target `x5c`: certificates that were changed, also under good signatures.
//!
//! The first byte says which: `L` and `I` are followed by the content (`TBSCertificate`) of a leaf or an intermediate,
//! which is signed by the key above it, `A` by a certificate that somebody wants to pin. After any other byte come two
//! bytes for the length of the leaf, the leaf and the intermediate, as they are. The token is signed by the leaf's key.
#![allow(dead_code, unreachable_pub)]

use attestation::{Anchors, CertificateSummary, Check, VerifiedToken, VerifyError};
use mock_launcher::Key;
use mock_launcher::claims::to_json;
use mock_launcher::rcgen::SigningKey as _;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::forge::{FORGE, NOW, good_claims, judge};
use super::shown::assert_printable;

/// `sha256WithRSAEncryption` with its NULL (RFC 4055 §5) as in every certificate of the chain.
const SHA256_WITH_RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0];

/// Asserts what holds of any bytes, and says whether they were accepted.
pub fn check(data: &[u8]) -> bool {
    match data.split_first() {
        None => false,
        Some((b'L', content)) => check_leaf(content),
        Some((b'I', content)) => check_intermediate(content),
        Some((b'A', der)) => check_anchor(der),
        Some((_, rest)) => check_as_they_are(rest),
    }
}

/// Certificates that nobody signed anew: only the good ones make a path.
fn check_as_they_are(data: &[u8]) -> bool {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return false };
    let Some((leaf, intermediate)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
        return false;
    };
    let chain = FORGE.chain.x5c();
    let good = leaf == chain[0] && intermediate == chain[1];
    let verdict = token_with(leaf, intermediate);
    assert_eq!(verdict.is_ok(), good, "{:?}", verdict.err());
    good
}

/// A leaf that the intermediate signed, whatever it says.
fn check_leaf(content: &[u8]) -> bool {
    let leaf = signed(content, &FORGE.intermediate_key);
    let intermediate = &FORGE.chain.x5c()[1];
    let accepted = token_with(&leaf, intermediate).is_ok();
    if let (true, Some(leaf)) = (accepted, read(&leaf)) {
        assert_eq!(leaf.issuer(), good(1).subject());
        assert!(valid_now(&leaf));
        assert!(!constraints(&leaf).is_some_and(|constraints| constraints.ca), "a CA signed the token");
        assert_eq!(key(&leaf), key(&good(0)));
    }
    accepted
}

/// An intermediate that the root signed, whatever it says.
fn check_intermediate(content: &[u8]) -> bool {
    let intermediate = signed(content, &FORGE.root_key);
    let chain = FORGE.chain.x5c();
    let accepted = token_with(&chain[0], &intermediate).is_ok();
    if let (true, Some(intermediate)) = (accepted, read(&intermediate)) {
        assert_eq!(intermediate.issuer(), good(2).subject());
        assert_eq!(intermediate.subject(), good(0).issuer());
        assert!(valid_now(&intermediate));
        assert!(
            constraints(&intermediate).is_some_and(|constraints| constraints.ca),
            "no CA signed the leaf"
        );
        let usage = intermediate.get_extension::<KeyUsage>().unwrap();
        assert!(usage.is_none_or(|(_, usage)| usage.key_cert_sign()));
        assert_eq!(key(&intermediate), key(&good(1)));
    }
    accepted
}

/// Only the two roots that signed themselves can be pinned.
fn check_anchor(der: &[u8]) -> bool {
    if let Some(summary) = CertificateSummary::of(der) {
        assert_printable(&summary.name);
    }
    let pinned = Anchors::from_der([der]).is_ok();
    assert_eq!(pinned, der == FORGE.chain.root());
    let _ = Anchors::from_pem(der);
    pinned
}

fn token_with(leaf: &[u8], intermediate: &[u8]) -> Result<VerifiedToken, VerifyError> {
    let x5c = vec![leaf.to_vec(), intermediate.to_vec(), FORGE.chain.root().to_vec()];
    let verdict = judge(&FORGE.sign_x5c(x5c));
    if let Err(error) = &verdict {
        // The claims are good and the signature is by the good leaf's key: what is wrong is in the certificates.
        assert!(
            matches!(
                error.check(),
                Check::Size | Check::X5c | Check::Chain | Check::LeafKey | Check::Signature
            ),
            "{error}"
        );
    }
    verdict
}

/// A certificate of this content, signed by `above`.
pub fn signed(content: &[u8], above: &Key) -> Vec<u8> {
    let signature = above.key_pair().sign(content).unwrap();
    let signature = tlv(3, &[&[0], &signature[..]].concat());
    tlv(0x30, &[content, SHA256_WITH_RSA, &signature].concat())
}

/// DER with a length of any size (X.690 §8.1.3).
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let head = match (content.len(), length) {
        (..0x80, _) => vec![tag, u8::try_from(content.len()).unwrap()],
        (_, length) => [&[tag, 0x80 | u8::try_from(length.len()).unwrap()], length].concat(),
    };
    [head, content.to_vec()].concat()
}

type Tbs = x509_cert::TbsCertificate;

/// `None` for what the path validation takes and this reader does not, such as a name that is no list of sets: whoever
/// holds a CA's key may write that, and it is the same name for all who compare its bytes.
fn read(der: &[u8]) -> Option<Tbs> {
    Some(Certificate::from_der(der).ok()?.tbs_certificate().clone())
}

/// The good certificate at this place of the chain.
fn good(at: usize) -> Tbs {
    read(&FORGE.chain.x5c()[at]).unwrap()
}

fn key(certificate: &Tbs) -> Vec<u8> {
    certificate.subject_public_key_info().to_der().unwrap()
}

fn constraints(certificate: &Tbs) -> Option<BasicConstraints> {
    certificate.get_extension::<BasicConstraints>().unwrap().map(|(_, constraints)| constraints)
}

fn valid_now(certificate: &Tbs) -> bool {
    let validity = certificate.validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    (seconds(&validity.not_before)..=seconds(&validity.not_after)).contains(&NOW)
}

/// What is signed of each of the good certificates: leaf, intermediate, root.
pub fn contents() -> [Vec<u8>; 3] {
    [0, 1, 2].map(|at| good(at).to_der().unwrap())
}

/// The content of a leaf whose subject is no list of sets: the path validation takes it, a reader of names does not.
pub fn leaf_that_cannot_be_shown() -> Vec<u8> {
    let [mut leaf, ..] = contents();
    // `id-at-organizationName` comes in the issuer's name and in the subject's.
    let organization = [6, 3, 0x55, 4, 10];
    let at = leaf.windows(organization.len()).rposition(|window| window == organization).unwrap();
    assert_eq!(leaf[at - 4], 0x31, "a set");
    leaf[at - 4] = 0x30;
    leaf
}

/// A leaf and an intermediate as input of [`check`].
pub fn as_they_are(leaf: &[u8], intermediate: &[u8]) -> Vec<u8> {
    let length = u16::try_from(leaf.len()).unwrap().to_be_bytes();
    [&[0], &length[..], leaf, intermediate].concat()
}

/// Certificates to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let chain = FORGE.chain.x5c();
    let [leaf, intermediate, root] = contents();
    [
        ("good", as_they_are(&chain[0], &chain[1])),
        ("swapped", as_they_are(&chain[1], &chain[0])),
        ("leaf-twice", as_they_are(&chain[0], &chain[0])),
        ("empty", as_they_are(&[], &[])),
        ("leaf", [b"L", &leaf[..]].concat()),
        ("leaf-odd-name", [b"L", &leaf_that_cannot_be_shown()[..]].concat()),
        ("intermediate", [b"I", &intermediate[..]].concat()),
        ("root-below-root", [b"I", &root[..]].concat()),
        ("intermediate-as-leaf", [b"L", &intermediate[..]].concat()),
        ("anchor", [b"A", &chain[2][..]].concat()),
        ("anchor-leaf", [b"A", &chain[0][..]].concat()),
        ("anchor-pem", b"A-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec()),
        ("claims", to_json(&good_claims())),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
