//! From the certificates of a token to the key that may have signed it.
//!
//! ```text
//! pinned root (SHA-256 compiled in, or --root)    RSA-4096, 2024 to 2034
//!   └─ intermediate (x5c[1], never pinned)         RSA-4096, EKU tcg-kp-EKCertificate
//!        └─ leaf (x5c[0])                          RSA-2048, about 60 days
//!             └─ signs the token
//! ```
//!
//! webpki validates the path: signatures, CA flags, path lengths, extended key usage, dates of leaf and
//! intermediate. What it leaves out is done here: the root's own dates, the intermediate's key usage bits,
//! and that the path uses the very intermediate that came.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use pkcs1::RsaPublicKeyRef;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

use crate::error::VerifyError;
use crate::key_usage;
use crate::known_keys::KnownKeys;
use crate::token::X5c;

/// SHA-256 of Google's "Confidential Space Root CA" in DER, valid from 2024-01-19 to 2034-01-16.
/// Published at <https://confidentialcomputing.googleapis.com/.well-known/confidential_space_root.crt>; its
/// SHA-1 is the one in Google's codelab, B9:51:20:74:2C:24:E3:AA:34:04:2E:1C:3B:A3:AA:D2:8B:21:23:21.
pub const GOOGLE_ROOT_SHA256: [u8; 32] = [
    0x14, 0x8B, 0x29, 0x38, 0x21, 0xBB, 0x0C, 0x6A, 0x31, 0x7F, 0x41, 0x3C, 0x8B, 0xA4, 0x75, 0x81, 0x40,
    0x91, 0xCB, 0x22, 0xD4, 0x9B, 0x9E, 0x3C, 0x94, 0x19, 0x8D, 0xB8, 0xE8, 0xF8, 0x6C, 0x39,
];

/// `tcg-kp-EKCertificate`, 2.23.133.8.1, as DER content: the one extended key usage of Google's
/// intermediates. The leaves have none, hence "required if present": the usages for TLS servers and
/// clients fail on the real chain, and so does "required".
const EKU_TCG_EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// Smallest and largest modulus of a leaf, in bits: what aws-lc's `RSA_PKCS1_2048_8192_SHA256` takes.
const LEAF_KEY_BITS: RangeInclusive<usize> = 2048..=8192;

/// Smallest sound public exponent (FIPS 186-5 §A.1.1); the largest that aws-lc takes has 33 bits.
const SMALLEST_EXPONENT: u64 = 65_537;
const LARGEST_EXPONENT: u64 = (1 << 33) - 1;

/// A position in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// `x5c[0]`.
    Leaf,
    /// `x5c[1]`.
    Intermediate,
    /// `x5c[2]`.
    Root,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaf => "leaf",
            Self::Intermediate => "intermediate",
            Self::Root => "root",
        })
    }
}

/// The roots that are trusted, each by the SHA-256 of its whole certificate. At least one.
#[derive(Debug)]
pub struct Anchors {
    roots: Vec<Anchor>,
    /// Those that have verified certificates below these roots, ready for use.
    keys: KnownKeys,
}

#[derive(Debug)]
struct Anchor {
    sha256: [u8; 32],
    /// Read once from the certificate that has this hash; other bytes cannot have it.
    validity: OnceLock<(u64, u64)>,
}

/// Why a certificate cannot be an anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Not one certificate in DER.
    #[error("not one X.509 certificate")]
    NotACertificate,
    /// Issuer and subject differ, or its signature is not its own.
    #[error("not self-signed with RSA and SHA-256: a root is pinned, never an intermediate or a leaf")]
    NotSelfSigned,
    /// Basic constraints do not say CA.
    #[error("not a CA certificate")]
    NotACa,
    /// Path length 0: webpki does not look at an anchor's, and every token's chain has an intermediate.
    #[error("the root allows no intermediate below it: wanted a path length of 1 or more, or none, got 0")]
    PathLength,
    /// No certificate at all.
    #[error("no certificate")]
    None,
}

impl Anchors {
    fn of(roots: Vec<Anchor>) -> Self {
        Self { roots, keys: KnownKeys::default() }
    }

    /// Google's root, the one to use outside tests.
    pub fn google() -> Self {
        Self::of(vec![Anchor { sha256: GOOGLE_ROOT_SHA256, validity: OnceLock::new() }])
    }

    /// Other roots instead, in DER; more than one for the time in which a new root replaces the old.
    ///
    /// # Errors
    /// [`AnchorError`] for the first that is no self-signed CA, or if there is none at all.
    pub fn from_der<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, AnchorError> {
        let anchors: Vec<Anchor> =
            certificates.into_iter().map(Anchor::from_der).collect::<Result<_, _>>()?;
        if anchors.is_empty() { Err(AnchorError::None) } else { Ok(Self::of(anchors)) }
    }

    /// Other roots instead, from the text of a PEM file.
    ///
    /// # Errors
    /// [`AnchorError`], see [`Anchors::from_der`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, AnchorError> {
        let certificates =
            x509_cert::Certificate::load_pem_chain(pem).map_err(|_| AnchorError::NotACertificate)?;
        let certificates: Vec<Vec<u8>> = certificates
            .iter()
            .map(Encode::to_der)
            .collect::<Result<_, _>>()
            .map_err(|_| AnchorError::NotACertificate)?;
        Self::from_der(certificates.iter().map(Vec::as_slice))
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.roots.extend(others.roots);
        self
    }

    /// SHA-256 of each, in hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.roots.iter().map(|anchor| hex::encode(anchor.sha256)).collect()
    }

    pub(crate) fn hashes(&self) -> Vec<[u8; 32]> {
        self.roots.iter().map(|anchor| anchor.sha256).collect()
    }

    fn pinned(&self, certificate: &[u8]) -> Result<&Anchor, VerifyError> {
        let found = sha256(certificate);
        let anchor = self.roots.iter().find(|anchor| anchor.sha256 == found);
        anchor.ok_or_else(|| VerifyError::RootNotPinned { got: hex::encode(found) })
    }
}

impl Anchor {
    fn from_der(der: &[u8]) -> Result<Self, AnchorError> {
        let certificate = x509_cert::Certificate::from_der(der).map_err(|_| AnchorError::NotACertificate)?;
        let tbs = certificate.tbs_certificate();
        let signed = tbs.to_der().map_err(|_| AnchorError::NotACertificate)?;
        let signature = certificate.signature().as_bytes().ok_or(AnchorError::NotACertificate)?;
        let own_key = CertificateDer::from(der);
        let own_key = EndEntityCert::try_from(&own_key).map_err(|_| AnchorError::NotACertificate)?;
        let self_signed = tbs.issuer() == tbs.subject()
            && own_key.verify_signature(RSA_PKCS1_2048_8192_SHA256, &signed, signature).is_ok();
        if !self_signed {
            return Err(AnchorError::NotSelfSigned);
        }
        match tbs.get_extension::<BasicConstraints>() {
            Ok(Some((_, constraints))) if !constraints.ca => return Err(AnchorError::NotACa),
            Ok(Some((_, constraints))) if constraints.path_len_constraint == Some(0) => {
                return Err(AnchorError::PathLength);
            }
            Ok(Some(_)) => {}
            _ => return Err(AnchorError::NotACa),
        }
        Ok(Self { sha256: sha256(der), validity: OnceLock::from(validity(&certificate)) })
    }

    /// `notBefore` and `notAfter` of the pinned certificate, whose bytes are at hand.
    fn validity(&self, der: &[u8]) -> Result<(u64, u64), VerifyError> {
        if let Some(known) = self.validity.get() {
            return Ok(*known);
        }
        let certificate =
            x509_cert::Certificate::from_der(der).map_err(|_| VerifyError::X5cDer { index: 2 })?;
        Ok(*self.validity.get_or_init(|| validity(&certificate)))
    }
}

/// The key of a leaf whose path to a pinned root was valid when it was looked at.
#[derive(Debug)]
pub(crate) struct LeafKey {
    /// `RSAPublicKey` of RFC 8017 §A.1.1 in DER, 2048 to 8192 bits, with a sound exponent.
    pub(crate) pkcs1: Vec<u8>,
}

/// Validates leaf, intermediate and root against the anchors at `now`.
pub(crate) fn validate(x5c: &X5c, anchors: &Anchors, now: UnixTime) -> Result<LeafKey, VerifyError> {
    let [leaf_der, intermediate_der, root_der] = x5c;
    let leaf_der = CertificateDer::from(leaf_der.as_slice());
    let intermediates = [CertificateDer::from(intermediate_der.as_slice())];
    let root_der = CertificateDer::from(root_der.as_slice());
    let leaf = read(&leaf_der, 0)?;
    let above = [read(&intermediates[0], 1)?, read(&root_der, 2)?];

    let anchor = anchors.pinned(&root_der)?;
    let leaf = leaf.map_err(VerifyError::Path)?;
    for certificate in above {
        certificate.map_err(VerifyError::Path)?;
    }
    let roots = [anchor_from_trusted_cert(&root_der).map_err(VerifyError::Path)?];

    let usage = KeyUsage::required_if_present(EKU_TCG_EK_CERTIFICATE);
    let path = leaf
        .verify_for_usage(&[&anchors.keys], &roots, &intermediates, now, usage, None, None)
        .map_err(|error| explain(error, x5c, now))?;
    let mut used = path.intermediate_certificates();
    match (used.next(), used.next()) {
        (Some(intermediate), None) if intermediate.der() == intermediates[0] => {}
        _ => return Err(VerifyError::IntermediateUnused),
    }
    require_certificate_signing(intermediate_der)?;

    require_valid(Certificate::Root, anchor.validity(&root_der)?, now)?;
    leaf_key(&leaf)
}

/// When leaf, intermediate and root are all valid, both ends included, seconds since 1970. For chains that have been
/// validated; `None` if the dates cannot be read.
pub(crate) fn validity_of_all(x5c: &X5c, anchors: &Anchors) -> Option<RangeInclusive<u64>> {
    let [leaf, intermediate, root] = x5c;
    let read = |der: &[u8]| x509_cert::Certificate::from_der(der).ok().map(|read| validity(&read));
    let (leaf, intermediate) = (read(leaf)?, read(intermediate)?);
    let root = anchors.pinned(root).ok()?.validity(root).ok()?;
    Some(leaf.0.max(intermediate.0).max(root.0)..=leaf.1.min(intermediate.1).min(root.1))
}

/// What a certificate says of itself, for reports. Names are safe to show; nothing here is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The last common name of the subject, or all of the subject.
    pub name: String,
    /// `notBefore`, seconds since 1970.
    pub not_before: u64,
    /// `notAfter`, seconds since 1970.
    pub not_after: u64,
    /// SHA-256 of the DER, hex.
    pub sha256: String,
}

impl CertificateSummary {
    /// Reads a certificate; `None` if it is not one.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let subject = certificate.tbs_certificate().subject().to_string();
        let name = subject.split(',').find_map(|part| part.trim().strip_prefix("CN=")).unwrap_or(&subject);
        let (not_before, not_after) = validity(&certificate);
        Some(Self { name: crate::printable(name), not_before, not_after, sha256: hex::encode(sha256(der)) })
    }
}

/// The outer error: these bytes are no certificate, a fault of `x5c`. The inner one: they are one that
/// cannot be used (X.509 v1, unknown critical extension), a fault of the chain, which nobody looks at
/// before the root is known to be pinned.
fn read<'a>(
    der: &'a CertificateDer<'a>,
    index: usize,
) -> Result<Result<EndEntityCert<'a>, webpki::Error>, VerifyError> {
    match EndEntityCert::try_from(der) {
        Err(webpki::Error::BadDer | webpki::Error::TrailingData(_)) => Err(VerifyError::X5cDer { index }),
        read => Ok(read),
    }
}

/// Says which certificate's dates were the matter; webpki does not.
fn explain(error: webpki::Error, x5c: &X5c, now: UnixTime) -> VerifyError {
    if matches!(error, webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) {
        for (certificate, der) in [Certificate::Leaf, Certificate::Intermediate].into_iter().zip(x5c) {
            let read = x509_cert::Certificate::from_der(der).map(|read| validity(&read));
            if let Ok(Err(named)) = read.map(|validity| require_valid(certificate, validity, now)) {
                return named;
            }
        }
    }
    VerifyError::Path(error)
}

fn require_valid(
    certificate: Certificate,
    (not_before, not_after): (u64, u64),
    now: UnixTime,
) -> Result<(), VerifyError> {
    if now.as_secs() < not_before {
        Err(VerifyError::CertificateNotValidYet { certificate, not_before })
    } else if now.as_secs() > not_after {
        Err(VerifyError::CertificateExpired { certificate, not_after })
    } else {
        Ok(())
    }
}

fn validity(certificate: &x509_cert::Certificate) -> (u64, u64) {
    let validity = certificate.tbs_certificate().validity();
    (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
}

/// RFC 5280 §6.1.4 (n): if key usage is present, it must allow signing certificates. Google's intermediates have it.
fn require_certificate_signing(intermediate: &[u8]) -> Result<(), VerifyError> {
    match key_usage::of(intermediate) {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.key_cert_sign() => Ok(()),
        // What cannot be read allows nothing.
        Ok(Some(_)) | Err(_) => Err(VerifyError::IntermediateKeyUsage),
    }
}

fn leaf_key(leaf: &EndEntityCert<'_>) -> Result<LeafKey, VerifyError> {
    let spki = leaf.subject_public_key_info();
    let spki =
        x509_cert::spki::SubjectPublicKeyInfoRef::from_der(&spki).map_err(|_| VerifyError::LeafKeyType)?;
    // With its NULL (RFC 4055 §1.2), as webpki wants it of the certificates above.
    let pkcs1 = match (spki.algorithm == pkcs1::ALGORITHM_ID, spki.subject_public_key.as_bytes()) {
        (true, Some(pkcs1)) => pkcs1,
        _ => return Err(VerifyError::LeafKeyType),
    };
    require_sound_key(pkcs1)?;
    Ok(LeafKey { pkcs1: pkcs1.to_vec() })
}

/// An `RSAPublicKey` in DER whose size and exponent are in the limits.
pub(crate) fn require_sound_key(pkcs1: &[u8]) -> Result<(), VerifyError> {
    let key = RsaPublicKeyRef::try_from(pkcs1).map_err(|_| VerifyError::LeafKeyType)?;
    let bits = significant_bits(key.modulus.as_bytes());
    if !LEAF_KEY_BITS.contains(&bits) {
        return Err(VerifyError::LeafKeySize { got: bits });
    }
    let exponent = key.public_exponent.as_bytes();
    let exponent = (exponent.len() <= 8)
        .then(|| exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
        .filter(|value| value % 2 == 1 && (SMALLEST_EXPONENT..=LARGEST_EXPONENT).contains(value));
    exponent.map(drop).ok_or(VerifyError::LeafKeyExponent)
}

/// Bits of a big-endian number without leading zero bytes.
fn significant_bits(number: &[u8]) -> usize {
    let top = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(top)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
