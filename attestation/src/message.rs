//! What crosses the websocket, and every size limit.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Longest token that is looked at, in bytes. Google's tokens measure 11 KB, 48 KB with large
/// environment values (both are echoed in the claims).
pub const MAX_TOKEN_BYTES: usize = 128 * 1024;

/// Longest PHI message, in bytes.
pub const MAX_PHI_BYTES: usize = 1024 * 1024;

/// Longest result message, in bytes.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;

/// Longest result of one message of a stream, in bytes: its PHI message may be as long.
pub const MAX_PART_RESULT_BYTES: usize = 1024 * 1024;

/// An attestation token in transit: a JWS in compact serialization (RFC 7515 §7.1) that nobody has
/// looked at yet, at most [`MAX_TOKEN_BYTES`] long.
///
/// A live token is a credential. `Debug` and `Display` therefore show its first 8 and last 5
/// characters only, which is what logs and reports use.
/// Clones are the same text, not copies of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<String>);

/// A token was longer than [`MAX_TOKEN_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token too large: wanted at most {MAX_TOKEN_BYTES} bytes, got {got}")]
pub struct TokenTooLarge {
    /// Its length in bytes.
    pub got: usize,
}

impl Token {
    /// Wraps the text as it came.
    ///
    /// # Errors
    /// [`TokenTooLarge`] if it is longer than [`MAX_TOKEN_BYTES`].
    pub fn new(text: impl Into<String>) -> Result<Self, TokenTooLarge> {
        let text = text.into();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenTooLarge { got: text.len() });
        }
        Ok(Self(Arc::new(text)))
    }

    /// The whole token. To be sent or verified, never to be logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the whole token in hex, to name it in logs and reports.
    pub fn sha256(&self) -> String {
        hex::encode(self.digest())
    }

    /// SHA-256 of the whole token, as a receipt carries it.
    pub fn digest(&self) -> [u8; 32] {
        crate::chain::sha256(self.0.as_bytes())
    }
}

/// As bytes, for whoever sends it without a copy. Never to be logged.
impl AsRef<[u8]> for Token {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Base64url and dots are ASCII; anything else is not worth showing.
        match (
            self.0.is_ascii(),
            self.0.get(..8),
            self.0.len().checked_sub(5).and_then(|at| self.0.get(at..)),
        ) {
            (true, Some(head), Some(tail)) if self.0.len() > 32 => {
                write!(f, "{}...{}", crate::printable(head), crate::printable(tail))
            }
            _ => write!(f, "({} bytes)", self.0.len()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Protected health information: the bytes that must not leave before the proof, wiped from memory
/// when dropped. Not `Clone`; `Debug` shows nothing of it, not even its length.
pub struct Phi(Zeroizing<Vec<u8>>);

/// The PHI was longer than [`MAX_PHI_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PHI too large: one message carries at most {MAX_PHI_BYTES} bytes")]
pub struct PhiTooLarge;

impl Phi {
    /// Takes the buffer over; it is wiped on drop.
    ///
    /// # Errors
    /// [`PhiTooLarge`] if it is longer than [`MAX_PHI_BYTES`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, PhiTooLarge> {
        if bytes.len() > MAX_PHI_BYTES {
            return Err(PhiTooLarge);
        }
        Ok(Self(bytes))
    }

    /// The bytes, to be analysed or sent, never to be logged.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Gives the buffer up, still wiping itself on drop.
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for Phi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phi(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_only_its_first_8_and_last_5_characters() {
        let token = Token::new(format!("eyJhbGci{}MrXUg", "x".repeat(100))).unwrap();
        assert_eq!(token.to_string(), "eyJhbGci...MrXUg");
        assert_eq!(format!("{token:?}"), "Token(eyJhbGci...MrXUg)");
    }

    #[test]
    fn a_token_too_short_to_shorten_shows_only_its_length() {
        for text in ["", "short", "eyJhbGciOiJub25lIn0.e30.", "é"] {
            let token = Token::new(text).unwrap();
            assert_eq!(token.to_string(), format!("({} bytes)", text.len()));
        }
    }

    #[test]
    fn sizes_are_accepted_at_the_limit_and_refused_one_over() {
        assert!(Token::new("a".repeat(MAX_TOKEN_BYTES)).is_ok());
        let got = MAX_TOKEN_BYTES + 1;
        assert_eq!(Token::new("a".repeat(got)), Err(TokenTooLarge { got }));
        assert!(Phi::new(Zeroizing::new(vec![0; MAX_PHI_BYTES])).is_ok());
        let over = Phi::new(Zeroizing::new(vec![0; MAX_PHI_BYTES + 1]));
        assert_eq!(over.err(), Some(PhiTooLarge));
    }

    #[test]
    fn phi_never_shows_in_debug() {
        let phi = Phi::new(Zeroizing::new(b"canary".to_vec())).unwrap();
        assert_eq!(format!("{phi:?}"), "Phi(..)");
    }
}
