//! Close codes (RFC 6455 §7.4) and the closed set of reasons that a peer may learn.
//!
//! What exactly went wrong stays in the log of the end where it did: a peer that is told more learns how
//! to try again.

use std::fmt;

use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};

/// Why a websocket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Done. 1000.
    Done,
    /// The server is shutting down. 1001.
    Draining,
    /// A message of the wrong type. 1003.
    Type,
    /// The client's hello is none. 1008.
    Hello,
    /// The client's hello is of a version that the server does not know. 1008.
    Version,
    /// The server serves only clients that prove themselves, and this one does not offer to. 1008.
    ClientAttestationRequired,
    /// The server refuses the client's token, whichever check failed. 1008.
    ClientRefused,
    /// The client refuses the server's token, whichever check failed. 1008.
    Refused,
    /// The server cannot use the PHI. 1008.
    PhiInvalid,
    /// A message that took too long. 1008.
    TooSlow,
    /// A message over its limit. 1009.
    TooBig,
    /// The server has no token to show. 1011.
    AttestationUnavailable,
    /// The server has no room. 1013.
    Busy,
}

impl Close {
    const fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Done => (1000, ""),
            Self::Draining => (1001, "draining"),
            Self::Type => (1003, "type"),
            Self::Hello => (1008, "hello"),
            Self::Version => (1008, "version"),
            Self::ClientAttestationRequired => (1008, "client-attestation-required"),
            Self::ClientRefused => (1008, "client-refused"),
            Self::Refused => (1008, "refused"),
            Self::PhiInvalid => (1008, "phi-invalid"),
            Self::TooSlow => (1008, "too-slow"),
            Self::TooBig => (1009, "too-big"),
            Self::AttestationUnavailable => (1011, "attestation-unavailable"),
            Self::Busy => (1013, "busy"),
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        self.parts().0
    }

    /// The reason on the wire.
    pub const fn reason(self) -> &'static str {
        self.parts().1
    }

    pub(crate) fn frame(self) -> CloseFrame {
        CloseFrame { code: CloseCode::from(self.code()), reason: self.reason().into() }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.code()),
            reason => write!(f, "{} {reason}", self.code()),
        }
    }
}
