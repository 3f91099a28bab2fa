//! Why there is no websocket over TLS 1.3, said so that a person knows where to look.

use std::io;
use std::time::Duration;

use attestation::printable;
use attestation::v1::RandomError;
use rustls::{AlertDescription, PeerIncompatible};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};

use crate::link::LinkError;

/// Why no connection came about. Nothing was sent but the handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("{host} cannot be resolved: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        error: io::Error,
    },
    /// The name cannot stand in a TLS handshake.
    #[error("{host} is neither an address nor a host name")]
    Name {
        /// The name.
        host: String,
    },
    /// No TCP connection.
    #[error("{endpoint} cannot be reached: {error}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// The system's words.
        error: io::Error,
    },
    /// No TCP connection in time.
    #[error("nobody answered within {waited:?}")]
    ConnectTimeout {
        /// The limit.
        waited: Duration,
    },
    /// No TLS session and websocket in time.
    #[error("TLS and the websocket upgrade were not done within {waited:?}")]
    HandshakeTimeout {
        /// The limit.
        waited: Duration,
    },
    /// The socket itself failed.
    #[error("the socket failed: {0}")]
    Socket(io::Error),
    /// The connection ended during the handshake.
    #[error("the connection ended during the handshake: {0}")]
    Lost(io::Error),
    /// Something answered that does not speak TLS.
    #[error("what answered does not speak TLS")]
    NotTls,
    /// The peer does not offer TLS 1.3.
    #[error("the server does not offer TLS 1.3")]
    TlsVersion,
    /// TLS failed in another way.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The server does not know wire version 1, and nothing less will do.
    #[error("the server does not speak wire version 1")]
    NoVersion1,
    /// Mutual attestation was required, and version 1, which alone has it, was ruled out.
    #[error("mutual attestation needs wire version 1: wanted both or neither, got version 0 alone")]
    Contradiction,
    /// No random bytes for this session's own nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The websocket was gone before the hello of version 1.
    #[error("the hello could not be sent: {0}")]
    Hello(LinkError),
    /// HTTP 503: no room now.
    #[error("the server is busy (HTTP 503)")]
    Busy {
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// HTTP 4xx.
    #[error("the server refused the upgrade (HTTP {status})")]
    Refused {
        /// The status.
        status: u16,
    },
    /// Another HTTP status, or no HTTP at all.
    #[error("what answered is no websocket: {0}")]
    NotWebsocket(String),
}

impl ConnectError {
    pub(crate) fn tls(error: rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::TlsVersion,
            other => Self::Tls(printable(&other.to_string())),
        }
    }

    /// tokio-rustls hands rustls' errors over inside an I/O error.
    pub(crate) fn from_tls_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Self::tls(inner.clone()),
            None => Self::Lost(error),
        }
    }

    pub(crate) fn from_upgrade(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::Io(error) => Self::from_tls_io(error),
            // RFC 6455 §4.1: a server that knows none of what was offered leaves the header out.
            Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol)) => {
                Self::NoVersion1
            }
            Error::Http(response) => {
                let status = response.status();
                let retry_after = response.headers().get("retry-after");
                let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
                match status.as_u16() {
                    503 => Self::Busy { retry_after: retry_after.map(Duration::from_secs) },
                    status @ 400..500 => Self::Refused { status },
                    status => Self::NotWebsocket(format!("HTTP {status}")),
                }
            }
            other => Self::NotWebsocket(printable(&other.to_string())),
        }
    }
}
