//! What is wrong with a message: which key, what it wanted, what it found. No value of a message is quoted.

use super::proof::ProofError;
use crate::message::TokenTooLarge;

/// Why a text is not the message that is due. Names of keys in it are already safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Longer than this message may be; nothing of it was parsed.
    #[error("{message} too large: wanted at most {limit} bytes, got {got}")]
    TooLarge {
        /// Which message.
        message: &'static str,
        /// Bytes.
        limit: usize,
        /// Bytes.
        got: usize,
    },
    /// Not JSON, no object, something after it, or an object inside that has a name twice.
    #[error("{message}: wanted one JSON object, got something else at line {line}, column {column}")]
    Json {
        /// Which message.
        message: &'static str,
        /// Line within the text.
        line: usize,
        /// Column within that line.
        column: usize,
    },
    /// A key occurs twice.
    #[error("{message}: wanted each key once, got {key} twice")]
    DuplicateKey {
        /// Which message.
        message: &'static str,
        /// The key.
        key: String,
    },
    /// A key that this message does not have.
    #[error("{message}: wanted no other keys, got {key}")]
    UnknownKey {
        /// Which message.
        message: &'static str,
        /// The key.
        key: String,
    },
    /// A key is missing.
    #[error("{message}: wanted the key {key}, got none")]
    MissingKey {
        /// Which message.
        message: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value of another type.
    #[error("{message}: {key} has the wrong type: wanted {wanted}, got {got}")]
    WrongType {
        /// Which message.
        message: &'static str,
        /// The key.
        key: &'static str,
        /// Wanted type.
        wanted: &'static str,
        /// Found type.
        got: &'static str,
    },
    /// A text that is not strict base64.
    #[error("{message}: {key}: wanted standard base64 with padding, got another text")]
    Encoding {
        /// Which message.
        message: &'static str,
        /// The key.
        key: &'static str,
    },
    /// Base64 of another length.
    #[error("{message}: {key}: wanted base64 of {wanted} bytes, got {got} characters")]
    Length {
        /// Which message.
        message: &'static str,
        /// The key.
        key: &'static str,
        /// Bytes.
        wanted: usize,
        /// Characters of base64.
        got: usize,
    },
    /// Another version of the wire.
    #[error("{message}: wanted version 1, got {got}; both ends must speak attested-sleep.v1")]
    Version {
        /// Which message.
        message: &'static str,
        /// The version.
        got: u64,
    },
    /// `end` is not true.
    #[error("end: wanted \"end\": true, got false")]
    NoEnd,
    /// The proof's place or length is not one that a tree can have.
    #[error("{message}: {error}")]
    Proof {
        /// Which message.
        message: &'static str,
        /// What is wrong with it.
        error: ProofError,
    },
    /// The token is too long.
    #[error("{message}: {error}")]
    Token {
        /// Which message.
        message: &'static str,
        /// How long it is.
        error: TokenTooLarge,
    },
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes: the system's generator failed; without them no session of version 1 can begin")]
pub struct RandomError;
