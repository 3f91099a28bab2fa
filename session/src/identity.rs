//! The server's TLS key: made at start, kept in memory, gone with the process.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A fresh ECDSA P-256 key and a self-signed X.509 v3 certificate for it.
///
/// The certificate names nobody: clients judge the attestation token, not the certificate.
pub struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The key pair or its certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("making the TLS key and certificate")]
pub struct IdentityError(#[from] rcgen::Error);

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
        Ok(Self { certificate, key })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
