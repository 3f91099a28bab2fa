//! TLS 1.3 and nothing else, the same choices at both ends.
//!
//! No 1.2, no resumption, no tickets, no early data, no half-RTT data: each session has its own full
//! handshake and so its own exporter. Post-quantum key exchange is preferred where both know it, since
//! health data that is recorded today is still worth reading in twenty years.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use x509_cert::der::{Decode, Encode};

use crate::identity::Identity;

/// The one application protocol: websockets start as HTTP/1.1. A codelab server also speaks h2, over which
/// the upgrade fails.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// What a connection takes at once to be encrypted, in bytes: five records (RFC 8446 §5.1). Unless told rustls takes 64 KiB,
/// and what is left of a message of that length, the head of its frame, would cost a call of the system and a segment of
/// its own. No power of two is a multiple of this.
pub const WRITE_BUFFER: usize = 5 * 16 * 1024;

/// The provider of everything cryptographic, its key exchange groups in our order.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..default_provider()
    })
}

/// The server's side, with a key of its own.
///
/// # Errors
/// rustls', if the key does not fit the certificate.
pub fn server_config(identity: Identity) -> Result<Arc<ServerConfig>, Error> {
    let certified = CertifiedKey::new(vec![identity.certificate], identity.key);
    certified.keys_match()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(Arc::new(config))
}

/// The client's side. It does not judge the certificate, the token does that job, but it does verify that
/// the peer holds the certificate's key.
///
/// Made once for all connections: nothing of one is kept in it for the next.
///
/// # Errors
/// rustls', if TLS 1.3 is not to be had.
pub fn client_config() -> Result<Arc<ClientConfig>, Error> {
    static MADE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = MADE.get() {
        return Ok(Arc::clone(config));
    }
    let config = new_client_config()?;
    Ok(Arc::clone(MADE.get_or_init(|| config)))
}

fn new_client_config() -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(JudgedByToken(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// The SubjectPublicKeyInfo of a certificate of any X.509 version, as it stands there: DER has one way to write it.
///
/// # Errors
/// [`CertificateError::BadEncoding`].
pub(crate) fn subject_public_key_info(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let bad_encoding = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = x509_cert::Certificate::from_der(certificate).map_err(bad_encoding)?;
    certificate.tbs_certificate().subject_public_key_info().to_der().map_err(bad_encoding)
}

/// Leaves the judgement of the peer to its attestation token, which is bound to the handshake's secrets.
#[derive(Debug)]
struct JudgedByToken(Arc<CryptoProvider>);

impl ServerCertVerifier for JudgedByToken {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    /// Never skipped. The codelab's certificate is X.509 v1, which rustls' own function refuses, so the key is
    /// read with another parser and handed over raw.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = subject_public_key_info(certificate)?;
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
