//! The binding of a token to one TLS session, computed by the same function at both ends.
//!
//! Attack that it stops: somebody between the two ends terminates TLS and relays a genuine token of
//! a genuine USleep. The exporter (RFC 8446 §7.5) gives both ends of *one* TLS session the same
//! secret bytes and everybody else others; the token carries their hash, so that a token fetched over
//! one session proves nothing on another.
//!
//! What it does not say: who runs the USleep at the other end. That is the policy's business.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Exporter label of wire version 0. It is the codelab's own; it is not registered with IANA, and its
/// context is absent (for TLS 1.3 the same as empty).
pub const EXPORTER_LABEL: &[u8] = b"testing_nonce";

/// Length of the exported keying material in bytes, the codelab's choice.
pub const EXPORTER_BYTES: usize = 32;

/// Length of a nonce in characters: SHA-256 in padded standard base64. Google's service takes 10 to
/// 74 bytes ("Access resources not managed by Google Cloud IAM").
pub const NONCE_CHARS: usize = 44;

/// The nonce that a token for one TLS session must carry.
///
/// It is public once the token is sent and may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Works out the nonce of a TLS session of wire version 0.
    ///
    /// `export` fills the buffer with keying material exported from that session for the given label
    /// and context: with rustls, `connection.export_keying_material(buffer, label, context)`. The
    /// buffer is wiped afterwards; only its hash survives.
    ///
    /// # Errors
    /// Whatever `export` answers, for example that the handshake is not complete.
    pub fn of_session<E>(
        export: impl FnOnce(&mut [u8; EXPORTER_BYTES], &[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut keying_material = Zeroizing::new([0; EXPORTER_BYTES]);
        export(&mut keying_material, EXPORTER_LABEL, None)?;
        Ok(Self::of_hash(&crate::chain::sha256(&*keying_material)))
    }

    pub(crate) fn of_hash(hash: &[u8; 32]) -> Self {
        Self(STANDARD.encode(hash))
    }

    /// Takes a nonce that a person wants to find in a token, for looking at tokens offline.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as the token carries it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a token's nonce is this one, compared in constant time.
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::printable(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce_of(keying_material: &str) -> Nonce {
        Nonce::of_session(|buffer, label, context| {
            assert_eq!((label, context), (b"testing_nonce".as_slice(), None));
            hex::decode_to_slice(keying_material, buffer)
        })
        .unwrap()
    }

    /// Vectors made with Go's crypto/tls and the codelab's own program.
    #[test]
    fn the_nonce_is_the_base64_of_the_sha256_of_the_keying_material() {
        let vectors = [
            (
                "8ea1c2a770c68d5537011be9940a4f5234580e91d250dabf9df46cc103897f4c",
                "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=",
            ),
            (
                "3486c623e986c9a7f3f4922b03125ffdc59e37d8a04e2f2ed06143569f574058",
                "nOJsta2Le/IiQYyJdtMful8yhHVxPXTqeQly/ICD5jE=",
            ),
        ];
        for (keying_material, nonce) in vectors {
            assert_eq!(nonce_of(keying_material).as_str(), nonce);
            assert_eq!(nonce.len(), NONCE_CHARS);
        }
    }

    #[test]
    fn an_exporter_that_fails_gives_no_nonce() {
        assert_eq!(Nonce::of_session(|_, _, _| Err("handshake not complete")), Err("handshake not complete"));
    }

    #[test]
    fn only_the_very_same_text_matches() {
        let nonce = nonce_of("8ea1c2a770c68d5537011be9940a4f5234580e91d250dabf9df46cc103897f4c");
        assert!(nonce.matches("fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0="));
        for other in [
            "",
            "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0",
            "fiQuFll-1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=",
            "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0= ",
            "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s1=",
        ] {
            assert!(!nonce.matches(other), "{other}");
        }
    }
}
