//! Server certificates: rcgen's, which are X.509 v3, and one of version 1 as the codelab's program makes it.

use std::sync::Arc;

use mock_launcher::rcgen::{PublicKeyData as _, SigningKey as _};
use mock_launcher::{Key, KeyKind, rcgen};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// TLS 1.3 with a fresh v3 certificate.
pub fn v3() -> Arc<ServerConfig> {
    Identity::new().config()
}

/// A fresh ECDSA P-256 key, and a v3 certificate for it.
#[derive(Clone)]
pub struct Identity {
    certificate: Vec<u8>,
    /// PKCS #8.
    pub key: Vec<u8>,
    /// DER.
    pub spki: Vec<u8>,
}

impl Identity {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["usleep.invalid".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().to_vec(),
            key: made.signing_key.serialize_der(),
            spki: made.signing_key.subject_public_key_info(),
        }
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        config(self.certificate.clone(), self.key.clone())
    }
}

/// TLS 1.3 with a fresh v1 certificate, whose key is RSA-2048 as the codelab's or ECDSA P-256.
pub fn v1(kind: KeyKind) -> Arc<ServerConfig> {
    let key = Key::shared_for_tests(kind, "server-of-the-codelab").unwrap();
    config(version_1(&key), key.key_pair().serialize_der())
}

fn config(certificate: Vec<u8>, key: Vec<u8>) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = any_supported_type(&key).unwrap();
    // `with_single_cert` would refuse a certificate of version 1.
    let certified = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Arc::new(config)
}

/// A self-signed certificate without version and extensions (RFC 5280 §4.1).
fn version_1(key: &Key) -> Vec<u8> {
    // sha256WithRSAEncryption and ecdsa-with-SHA256.
    let algorithm = if key.key_pair().algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        sequence(&[tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])])
    } else {
        sequence(&[tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b]), tlv(5, &[])])
    };
    // One attribute: id-at-commonName as UTF8String.
    let common_name = sequence(&[tlv(6, &[0x55, 4, 3]), tlv(12, b"usleep of the codelab")]);
    let name = sequence(&[tlv(0x31, &common_name)]);
    let validity = sequence(&[tlv(0x17, b"250101000000Z"), tlv(0x17, b"491231235959Z")]);
    let to_be_signed = sequence(&[
        tlv(2, &[1]),
        algorithm.clone(),
        name.clone(),
        validity,
        name,
        key.key_pair().subject_public_key_info(),
    ]);
    let mut signature = vec![0];
    signature.extend(key.key_pair().sign(&to_be_signed).unwrap());
    sequence(&[to_be_signed, algorithm, tlv(3, &signature)])
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// Tag, length, content in DER.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let mut der = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend(content);
    der
}
