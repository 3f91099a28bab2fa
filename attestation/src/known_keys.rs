//! RSA keys that have verified certificates before: a fleet's tokens come below the same root and intermediate for months,
//! and making a key of 4096 bits ready for use is nearly half of a verification.
//!
//! What is remembered is a key's bytes and the same key, ready. It says nothing of whose key it is, and no signature goes
//! unverified for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// Most keys that are remembered. Beyond it the one that came first is forgotten: who has many genuine chains can
/// make us forget, which costs time alone.
const MOST: usize = 16;

/// RSASSA-PKCS1-v1_5 with SHA-256 and keys of 2048 to 8192 bits: the verdicts are those of webpki's own
/// `RSA_PKCS1_2048_8192_SHA256`.
#[derive(Default)]
pub(crate) struct KnownKeys {
    /// The one that came first stands in front.
    keys: Mutex<VecDeque<Arc<ParsedPublicKey>>>,
}

impl KnownKeys {
    fn find(&self, bytes: &[u8]) -> Option<Arc<ParsedPublicKey>> {
        self.keys().iter().find(|key| key.as_ref().as_ref() == bytes).map(Arc::clone)
    }

    fn remember(&self, key: Arc<ParsedPublicKey>) {
        let mut keys = self.keys();
        // Two threads may have read it at the same time.
        if keys.iter().any(|known| known.as_ref().as_ref() == key.as_ref().as_ref()) {
            return;
        }
        if keys.len() >= MOST {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    /// The list is whole whatever panicked while it was held.
    fn keys(&self) -> MutexGuard<'_, VecDeque<Arc<ParsedPublicKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignatureVerificationAlgorithm for KnownKeys {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if let Some(known) = self.find(public_key) {
            return known.verify_sig(message, signature).map_err(|_| InvalidSignature);
        }
        let read = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key);
        let key = Arc::new(read.map_err(|_| InvalidSignature)?);
        key.verify_sig(message, signature).map_err(|_| InvalidSignature)?;
        self.remember(key);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_PKCS1_SHA256
    }
}

impl std::fmt::Debug for KnownKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownKeys").field("keys", &self.keys().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use mock_launcher::rcgen::{PublicKeyData as _, SigningKey as _};
    use mock_launcher::{Key, KeyKind};
    use webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256 as WEBPKI;

    use super::*;

    const MESSAGE: &[u8] = b"a certificate to be signed";

    struct Signed {
        key: Vec<u8>,
        signature: Vec<u8>,
    }

    fn signed(kind: KeyKind, name: &str) -> Signed {
        let key = Key::shared_for_tests(kind, name).unwrap();
        let key = key.key_pair();
        Signed { key: key.der_bytes().to_vec(), signature: key.sign(MESSAGE).unwrap() }
    }

    fn is_known(keys: &KnownKeys, key: &[u8]) -> bool {
        keys.find(key).is_some()
    }

    #[test]
    fn verdicts_are_webpkis_the_first_time_and_every_other_time() {
        let Signed { key, signature } = signed(KeyKind::Rsa2048, "known-key");
        let other = signed(KeyKind::Rsa2048, "another-key");
        let elliptic = signed(KeyKind::EcP256, "elliptic-key");
        let changed = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        let rows: [(&[u8], &[u8], &[u8]); 8] = [
            (&key, MESSAGE, &signature),
            (&key, b"another certificate", &signature),
            (&key, MESSAGE, &changed(&signature)),
            (&key, MESSAGE, b""),
            (&other.key, MESSAGE, &signature),
            (&changed(&key), MESSAGE, &signature),
            (&elliptic.key, MESSAGE, &elliptic.signature),
            (b"", MESSAGE, &signature),
        ];
        let keys = KnownKeys::default();
        for time in 1..=2 {
            for (at, (key, message, signature)) in rows.into_iter().enumerate() {
                let wanted = WEBPKI.verify_signature(key, message, signature).is_ok();
                let got = keys.verify_signature(key, message, signature).is_ok();
                assert_eq!((got, got), (wanted, at == 0), "row {at}, time {time}");
            }
        }
        assert_eq!(keys.public_key_alg_id(), WEBPKI.public_key_alg_id());
        assert_eq!(keys.signature_alg_id(), WEBPKI.signature_alg_id());
    }

    #[test]
    fn a_key_is_known_once_it_has_verified_something_and_kept_once() {
        let Signed { key, signature } = signed(KeyKind::Rsa2048, "known-key");
        let keys = KnownKeys::default();
        assert!(keys.verify_signature(&key, b"another certificate", &signature).is_err());
        assert!(!is_known(&keys, &key));
        for _ in 0..3 {
            keys.verify_signature(&key, MESSAGE, &signature).unwrap();
        }
        assert!(is_known(&keys, &key));
        // As another thread does that has read it meanwhile.
        let known = keys.find(&key).unwrap();
        keys.remember(known);
        assert_eq!(keys.keys().len(), 1);
    }

    #[test]
    fn as_many_keys_are_known_as_may_be_and_the_first_goes_for_one_more() {
        let Signed { key, .. } = signed(KeyKind::Rsa2048, "known-key");
        // Another modulus is another key, whoever may have its other half.
        let all: Vec<_> = (0..=MOST)
            .map(|number| {
                let mut other = key.clone();
                other[100] = u8::try_from(number).unwrap();
                other
            })
            .collect();
        let keys = KnownKeys::default();
        for (number, key) in all.iter().enumerate() {
            keys.remember(Arc::new(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).unwrap()));
            assert_eq!(is_known(&keys, &all[0]), number < MOST, "{number}");
        }
        assert!(all[1..].iter().all(|key| is_known(&keys, key)));
    }
}
