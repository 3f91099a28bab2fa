//! What can go wrong between the workload and the launcher, and what to do about it.
//!
//! These texts are for the operator's log. A peer gets a closed code instead, never one of them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use attestation::message::MAX_TOKEN_BYTES;

/// How much of the text of a refusal is read, in bytes; the rest is left unread.
pub const MAX_STATUS_TEXT_BYTES: usize = 1024;

/// Why there is no token. Each variant names the socket it was asked for at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LauncherError {
    /// The path cannot be that of a Unix socket: empty, longer than an address holds, or no UTF-8.
    #[error("invalid socket path {}: wanted 1 to {max} bytes of UTF-8, got {got} bytes", shown(.socket))]
    SocketPath {
        /// The path as configured.
        socket: PathBuf,
        /// Longest path of a Unix socket on this system, in bytes.
        max: usize,
        /// Its length in bytes.
        got: usize,
    },
    /// There is nothing at the path.
    #[error("no launcher socket at {}", shown(.socket))]
    SocketMissing {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// The socket is there, but this user may not connect to it.
    #[error("no permission to connect to the launcher socket {}", shown(.socket))]
    PermissionDenied {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// The socket file is there, but nobody listens.
    #[error("nobody listens on the launcher socket {}", shown(.socket))]
    ConnectionRefused {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// Connecting went wrong in another way.
    #[error("connecting to the launcher socket {}: {kind}", shown(.socket))]
    Connect {
        /// The path that was tried.
        socket: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The connection ended before the answer was complete.
    #[error("the launcher at {} closed the connection: wanted a whole answer, got {got}", shown(.socket))]
    ConnectionLost {
        /// The socket that was asked.
        socket: PathBuf,
        /// How far the answer came.
        got: Progress,
    },
    /// What came back is not HTTP.
    #[error("the launcher at {} answered something that is not HTTP", shown(.socket))]
    NotHttp {
        /// The socket that was asked.
        socket: PathBuf,
    },
    /// No complete answer in time.
    #[error("the launcher at {} did not answer: wanted a token within {after:?}", shown(.socket))]
    Timeout {
        /// The socket that was asked.
        socket: PathBuf,
        /// The time limit of the whole request.
        after: Duration,
    },
    /// The launcher refused: it answered with another status than 200.
    #[error("the launcher at {} answered {status}: {text}", shown(.socket))]
    Status {
        /// The socket that was asked.
        socket: PathBuf,
        /// The HTTP status.
        status: u16,
        /// What it said: escaped and cut by [`attestation::printable`].
        text: String,
    },
    /// The answer is longer than any token, or has no end.
    #[error("the launcher at {} sent too much: wanted a token of at most {max} bytes, got more", shown(.socket), max = MAX_TOKEN_BYTES)]
    TooLarge {
        /// The socket that was asked.
        socket: PathBuf,
    },
    /// The launcher answered 200 with something that is no JWT.
    #[error("the launcher at {} sent no token: wanted three base64url segments, got {bytes} bytes in {segments} segment(s)", shown(.socket))]
    NotJwt {
        /// The socket that was asked.
        socket: PathBuf,
        /// Length of the answer in bytes.
        bytes: usize,
        /// How many parts it has when divided at its dots.
        segments: usize,
    },
    /// A token without a certificate chain, which nobody can verify offline.
    #[error(
        "the launcher at {} sent a token of another type: wanted a PKI token with x5c in its header, got one without",
        shown(.socket)
    )]
    NoCertificateChain {
        /// The socket that was asked.
        socket: PathBuf,
    },
}

/// How far an answer came before the connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not even the header section was complete.
    NoAnswer,
    /// The header section, and so many bytes of the body.
    PartOfBody(usize),
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("none"),
            Self::PartOfBody(bytes) => write!(f, "{bytes} bytes of its body"),
        }
    }
}

impl LauncherError {
    /// The next step for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::SocketPath { .. } => {
                "give the path of the launcher's socket; the default fits Confidential Space"
            }
            Self::SocketMissing { .. } => {
                "run in a Confidential Space VM, where the launcher provides the socket, or start mock-launcher and \
                 give its path"
            }
            Self::PermissionDenied { .. } => {
                "images before mid-2026 let only root connect: run the workload as root, or use a newer Confidential \
                 Space image"
            }
            Self::ConnectionRefused { .. } | Self::Connect { .. } => {
                "the launcher is gone or not ready: see its log on the VM's serial port, or start mock-launcher again"
            }
            Self::ConnectionLost { .. } => {
                "see the launcher's log on the VM's serial port; it may have restarted"
            }
            Self::NotHttp { .. } => "the path leads to another program's socket: check it",
            Self::Timeout { .. } => {
                "see the launcher's log on the VM's serial port; the attestation service must be reachable (Private \
                 Google Access or an external address)"
            }
            Self::Status { status: 400, .. } => {
                "the request does not fit this launcher, asking again will not help: see its log on the VM's serial \
                 port"
            }
            Self::Status { status: 500.., .. } => {
                "see the launcher's log on the VM's serial port; the workload's account needs \
                 roles/confidentialcomputing.workloadUser"
            }
            Self::Status { .. } => "check that the path leads to the launcher's socket",
            Self::TooLarge { .. } => "shorten the VM's tee-env-* values: the token repeats them all",
            Self::NotJwt { .. } => "check that the path leads to the launcher's socket",
            Self::NoCertificateChain { .. } => {
                "the launcher gives such tokens when it does not know the type PKI: use a newer Confidential Space image"
            }
        }
    }

    /// Whether the very same request may succeed a moment later: after a status of 500 and above, and
    /// where the connection failed. Never after 400, which the launcher gives for what will stay wrong.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::ConnectionRefused { .. }
            | Self::Connect { .. }
            | Self::ConnectionLost { .. }
            | Self::Timeout { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::SocketPath { .. }
            | Self::SocketMissing { .. }
            | Self::PermissionDenied { .. }
            | Self::NotHttp { .. }
            | Self::TooLarge { .. }
            | Self::NotJwt { .. }
            | Self::NoCertificateChain { .. } => false,
        }
    }
}

/// A path comes from flags and environment, which the operator of the VM chooses.
fn shown(path: &std::path::Path) -> String {
    attestation::printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> PathBuf {
        PathBuf::from("/run/x.sock")
    }

    fn status(status: u16) -> LauncherError {
        LauncherError::Status { socket: socket(), status, text: "words".into() }
    }

    #[test]
    fn asking_again_helps_after_500_and_lost_connections_never_after_400() {
        let rows = [
            (status(500), true),
            (status(503), true),
            (status(400), false),
            (status(403), false),
            (status(404), false),
            (LauncherError::ConnectionRefused { socket: socket() }, true),
            (LauncherError::ConnectionLost { socket: socket(), got: Progress::NoAnswer }, true),
            (LauncherError::Timeout { socket: socket(), after: Duration::from_secs(12) }, true),
            (LauncherError::SocketMissing { socket: socket() }, false),
            (LauncherError::PermissionDenied { socket: socket() }, false),
            (LauncherError::TooLarge { socket: socket() }, false),
            (LauncherError::NotJwt { socket: socket(), bytes: 1, segments: 1 }, false),
            (LauncherError::NoCertificateChain { socket: socket() }, false),
        ];
        for (error, transient) in rows {
            assert_eq!(error.is_transient(), transient, "{error}");
        }
    }

    #[test]
    fn the_text_names_the_socket_and_cannot_forge_a_line() {
        let forged = LauncherError::SocketMissing { socket: PathBuf::from("/run/\nINFO all is well") };
        assert_eq!(forged.to_string(), "no launcher socket at /run/\\u{a}INFO all is well");
        assert_eq!(status(500).to_string(), "the launcher at /run/x.sock answered 500: words");
        assert_eq!(
            LauncherError::ConnectionLost { socket: socket(), got: Progress::PartOfBody(7) }.to_string(),
            "the launcher at /run/x.sock closed the connection: wanted a whole answer, got 7 bytes of its body"
        );
    }
}
