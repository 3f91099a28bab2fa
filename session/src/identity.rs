//! The server's TLS key: made at start, kept in memory, gone with the process.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use crate::tls;

/// A fresh ECDSA P-256 key and a self-signed X.509 v3 certificate for it.
///
/// The certificate names nobody: clients judge the attestation token, not the certificate. In wire version 1 the
/// same key signs receipts, and the token vouches for it.
pub struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Arc<dyn SigningKey>,
}

/// The key pair or its certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The random generator or the signature failed.
    #[error("making the TLS key and certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS cannot use what was made.
    #[error("making the TLS key and certificate: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// Makes one.
    ///
    /// # Errors
    /// [`IdentityError`] if the random generator or the signature fails.
    pub fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "judged by attestation");
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self { certificate, key: any_ecdsa_type(&key)? })
    }

    /// What signs receipts.
    pub(crate) fn receipt_key(&self) -> Result<ReceiptKey, rustls::Error> {
        let spki = tls::subject_public_key_info(&self.certificate)?;
        Ok(ReceiptKey { key: Arc::clone(&self.key), spki: spki.into() })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The key of the handshake in its second use, which its SubjectPublicKeyInfo names.
#[derive(Clone)]
pub(crate) struct ReceiptKey {
    key: Arc<dyn SigningKey>,
    spki: Arc<[u8]>,
}

impl ReceiptKey {
    /// The SubjectPublicKeyInfo, DER, as in the certificate.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// ECDSA P-256 with SHA-256, ASN.1. What is signed begins with words that no TLS handshake begins with (RFC 8446
    /// §4.4.3 puts 64 spaces there), so that neither signature can pass for the other.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let signer = self.key.choose_scheme(&[scheme]);
        signer.ok_or_else(|| rustls::Error::General("the key is not ECDSA P-256".to_owned()))?.sign(message)
    }
}
