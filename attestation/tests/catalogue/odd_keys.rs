//! RSA keys that no sound library makes, and signatures that none gives, by the rsa crate.

use std::sync::OnceLock;

use aws_lc_rs::digest;
use mock_launcher::{Key, KeyKind};
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, rand_core};

use super::der;

/// `DigestInfo` of SHA-256 up to the hash (RFC 8017 §9.2, note 1).
pub const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
/// `DigestInfo` of SHA-1 up to the hash.
pub const SHA1_INFO: &[u8] = &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14];

/// A private key that signs with whatever padding it is told to.
#[derive(Clone)]
pub struct OddKey(RsaPrivateKey);

impl OddKey {
    /// A key made by aws-lc, for odd signatures.
    pub fn of(key: &Key) -> Self {
        Self(RsaPrivateKey::from_pkcs8_der(key.key_pair().serialized_der()).unwrap())
    }

    /// A modulus of 1024 bits.
    pub fn of_1024_bits() -> Self {
        static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
        Self(KEY.get_or_init(|| RsaPrivateKey::new(&mut rand_core::OsRng, 1024).unwrap()).clone())
    }

    /// A modulus of 2048 bits with this public exponent, over primes that aws-lc chose.
    ///
    /// Not every pair of primes goes with every exponent, so that several keys may be looked at.
    pub fn with_exponent(exponent: u64) -> Self {
        for attempt in 0..64 {
            let key = Key::shared_for_tests(KeyKind::Rsa2048, &format!("primes-{attempt}")).unwrap();
            let primes = Self::of(&key).0.primes().to_vec();
            if let Ok(key) = RsaPrivateKey::from_primes(primes, BigUint::from(exponent)) {
                return Self(key);
            }
        }
        panic!("no primes for the exponent {exponent}");
    }

    /// `RSAPublicKey` in DER.
    pub fn public_key(&self) -> Vec<u8> {
        der::rsa_public_key(&self.0.n().to_bytes_be(), &self.0.e().to_bytes_be())
    }

    /// The modulus, big endian.
    pub fn modulus(&self) -> Vec<u8> {
        self.0.n().to_bytes_be()
    }

    /// A sound RS256 signature by this key.
    pub fn rs256(&self, signing_input: &str) -> Vec<u8> {
        self.padded(SHA256_INFO, &sha256(signing_input.as_bytes()))
    }

    /// PKCS #1 v1.5 type 1 padding around any bytes, signed.
    pub fn padded(&self, prefix: &[u8], rest: &[u8]) -> Vec<u8> {
        let scheme = Pkcs1v15Sign { hash_len: None, prefix: prefix.into() };
        self.0.sign(scheme, rest).unwrap()
    }
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// SHA-1 of bytes.
pub fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// The signature plus the modulus: equal to it as a residue (RFC 8017 §5.2.2 wants it smaller than the
/// modulus). `None` where the sum needs one more byte.
pub fn plus_modulus(signature: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let sum = BigUint::from_bytes_be(signature) + BigUint::from_bytes_be(modulus);
    Some(sum.to_bytes_be()).filter(|bytes| bytes.len() == modulus.len())
}
