//! Why a session got no token from the desk, and what to do about it.

use std::time::Duration;

use crate::{LauncherError, RequestError};

/// Why the desk gave no token. For the operator's log; a peer gets a closed code instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The launcher's last answer to a request for this session. Asking again would not help, or there is no time
    /// left for it.
    #[error(transparent)]
    Launcher(LauncherError),
    /// The quota of the attestation service is used up, and there is no time left to wait for it.
    #[error("the quota of the attestation service is used up: {0}")]
    Quota(LauncherError),
    /// No token in time. Waiting for a turn counts.
    #[error("no token in time: wanted one within {within:?}, got {}", last_answer(.last.as_ref()))]
    Deadline {
        /// [`DeskOptions::deadline`](super::DeskOptions::deadline).
        within: Duration,
        /// The launcher's last failure, if no token came from it since.
        last: Option<LauncherError>,
    },
    /// As many wait as may.
    #[error("no room to wait for a token: wanted at most {max} waiting, got one more")]
    Full {
        /// [`DeskOptions::waiting`](super::DeskOptions::waiting).
        max: usize,
    },
    /// The attestation service would refuse the request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The desk is closed: its runtime ends, or its token source panicked.
    #[error("no token: wanted an open token desk, got a closed one")]
    Closed,
}

impl DeskError {
    /// The next step for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Launcher(error) | Self::Deadline { last: Some(error), .. } => error.hint(),
            Self::Quota(_) => {
                "the quota is that of the whole project and region: lower --tokens-per-second on each server that \
                 shares it, or ask Google for more"
            }
            Self::Deadline { last: None, .. } => {
                "the launcher is slow or more is asked of it than it gives: see its log on the VM's serial port, and \
                 start more servers if this goes on"
            }
            Self::Full { .. } => "more sessions come than this server can attest: start more servers",
            Self::Request(_) => "use an audience of 1 to 512 bytes",
            Self::Closed => "the server is ending, or has a fault: see what its log says before",
        }
    }
}

fn last_answer(last: Option<&LauncherError>) -> String {
    last.map_or_else(|| "none".to_owned(), |error| format!("none; the last answer: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_text_says_what_was_wanted_and_what_came() {
        let missing = LauncherError::SocketMissing { socket: PathBuf::from("/run/x.sock") };
        let within = Duration::from_secs(12);
        let rows = [
            (DeskError::Launcher(missing.clone()), "no launcher socket at /run/x.sock"),
            (DeskError::Deadline { within, last: None }, "no token in time: wanted one within 12s, got none"),
            (
                DeskError::Deadline { within, last: Some(missing.clone()) },
                "no token in time: wanted one within 12s, got none; the last answer: no launcher socket at /run/x.sock",
            ),
            (
                DeskError::Full { max: 16384 },
                "no room to wait for a token: wanted at most 16384 waiting, got one more",
            ),
            (
                DeskError::Quota(missing),
                "the quota of the attestation service is used up: no launcher socket at /run/x.sock",
            ),
        ];
        for (error, text) in rows {
            assert_eq!(error.to_string(), text);
            assert!(!error.hint().is_empty());
        }
    }
}
