//! How a session ends that does not end well, and in one word for logs and counters.

use std::time::Duration;

use attestation::VerifyError;
use attestation::v1::{MessageError, RandomError};
use launcher::{DeskError, RequestError};

use super::PhiInvalid;
use crate::close::Close;
use crate::link::LinkError;

/// Why there is no token to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoToken {
    /// The desk got none from the launcher.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// It took longer than a client waits.
    #[error("no token within {waited:?}")]
    Timeout {
        /// [`Limits::launcher`](crate::Limits::launcher).
        waited: Duration,
    },
    /// It could not be asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No random bytes for the session's own nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl NoToken {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Desk(error) => error.hint(),
            Self::Timeout { .. } => {
                "see the launcher's log on the VM's serial port; it makes one token at a time, and its quota is 5 a second"
            }
            Self::Request(_) => "set an audience of 1 to 512 bytes",
            Self::Random(_) => "start the server again",
        }
    }

    /// What the client is told.
    pub(super) fn close(&self) -> Close {
        match self {
            Self::Desk(DeskError::Full { .. }) => Close::Busy,
            _ => Close::AttestationUnavailable,
        }
    }
}

/// Why a client that has to prove itself may not send PHI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientRefusal {
    /// Its token is not authentic, or not valid now.
    #[error("its token is no proof: {0}")]
    NotProven(VerifyError),
    /// Its token is authentic, but for another session, role or audience, or not acceptable by the policy.
    #[error("its token is not acceptable: {}", .failed.join(", "))]
    NotAcceptable {
        /// Names of the checks and rules that failed.
        failed: Vec<String>,
    },
}

/// Why a session ended without a result. The connection is closed by then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The launcher gave no token.
    #[error("token request failed: {0}")]
    Token(NoToken),
    /// What came is no hello of version 1.
    #[error("no hello: {0}")]
    Hello(MessageError),
    /// Only clients that prove themselves are served, and this one does not offer to.
    #[error("the client does not offer to prove itself")]
    ClientAttestationRequired,
    /// The client's own proof was refused.
    #[error("the client is refused: {0}")]
    ClientRefused(ClientRefusal),
    /// The client closed with 1008 instead of sending PHI.
    #[error("the client refused the token")]
    Refused,
    /// The client sent something else than what was due, or nothing.
    #[error(transparent)]
    Link(LinkError),
    /// The PHI cannot be used.
    #[error("the PHI cannot be used: {0}")]
    PhiInvalid(PhiInvalid),
    /// The result is longer than the limit.
    #[error("the result is too large: wanted at most {limit} bytes")]
    ReplyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The stream is longer than the limit.
    #[error("the stream is too long: wanted at most {limit} bytes in all")]
    StreamTooLong {
        /// The limit.
        limit: u64,
    },
    /// The receipt could not be signed.
    #[error("signing the receipt: {0}")]
    Receipt(rustls::Error),
    /// The server is shutting down.
    #[error("draining")]
    Draining,
}

/// How a session ended, in one word for logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A result was sent.
    Answered,
    /// No token was to be had.
    NoToken,
    /// The client refused the token.
    Refused,
    /// The client's own proof was refused, or not offered.
    ClientRefused,
    /// The client's message was refused.
    PhiInvalid,
    /// There was no room for what the client sent.
    NoRoom,
    /// The client was too slow, broke the protocol, or left.
    Lost,
    /// The server ended it.
    Draining,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::NoToken,
        Self::Refused,
        Self::ClientRefused,
        Self::PhiInvalid,
        Self::NoRoom,
        Self::Lost,
        Self::Draining,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoToken => "no-token",
            Self::Refused => "refused",
            Self::ClientRefused => "client-refused",
            Self::PhiInvalid => "phi-invalid",
            Self::NoRoom => "no-room",
            Self::Lost => "lost",
            Self::Draining => "draining",
        }
    }
}

impl SessionError {
    /// In one word.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Token(_) => Outcome::NoToken,
            Self::Refused => Outcome::Refused,
            Self::ClientAttestationRequired | Self::ClientRefused(_) => Outcome::ClientRefused,
            Self::Link(LinkError::NoRoom) => Outcome::NoRoom,
            Self::Hello(_) | Self::Link(_) | Self::Receipt(_) => Outcome::Lost,
            Self::PhiInvalid(_) | Self::ReplyTooLarge { .. } | Self::StreamTooLong { .. } => {
                Outcome::PhiInvalid
            }
            Self::Draining => Outcome::Draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_at_the_desk_is_busy_and_all_else_is_unavailable() {
        let waited = Duration::from_secs(12);
        let rows = [
            (NoToken::Desk(DeskError::Full { max: 1 }), Close::Busy),
            (NoToken::Desk(DeskError::Closed), Close::AttestationUnavailable),
            (NoToken::Timeout { waited }, Close::AttestationUnavailable),
            (NoToken::Random(RandomError), Close::AttestationUnavailable),
        ];
        for (error, close) in rows {
            assert_eq!(error.close(), close, "{error}");
            assert!(!error.hint().is_empty());
        }
    }
}
