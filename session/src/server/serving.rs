//! What the connections of a server share while it serves, and the one line that the log gets of each.

use std::io;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::admission::Admission;
use super::error::{Outcome, SessionError};
use super::lines::Lines;

/// What all connections of one `Server::serve` share.
pub(super) struct Serving {
    pub(super) admission: Admission,
    pub(super) lines: Lines,
    /// Cancelled: no more connections.
    pub(super) shutdown: CancellationToken,
    /// Cancelled: those that are left end now.
    pub(super) closing: CancellationToken,
}

impl Serving {
    /// The one line of a session that has ended; how it did, in one word.
    pub(super) fn log_session(&self, ended: Result<(), SessionError>) -> Outcome {
        let error = match ended {
            Ok(()) => {
                info!(outcome = Outcome::Answered.name(), "session done");
                return Outcome::Answered;
            }
            Err(error) => error,
        };
        let outcome = error.outcome();
        if self.lines.allow(outcome.name()) {
            match error {
                SessionError::Token(error) => {
                    let (close, next) = (error.close(), error.hint());
                    error!(outcome = outcome.name(), %close, next, "token request failed: {error}");
                }
                error => info!(outcome = outcome.name(), %error, "session ended"),
            }
        }
        outcome
    }

    /// The one line of a connection without a session. Without an error it was cut off.
    pub(super) fn log_no_session(&self, error: Option<&io::Error>) {
        if !self.lines.allow("no-session") {
            return;
        }
        match error {
            None => debug!(outcome = "draining", "no session came about"),
            Some(error) if error.kind() == io::ErrorKind::TimedOut => {
                debug!(outcome = "lost", "TLS and the upgrade took too long");
            }
            Some(error) => debug!(outcome = "lost", %error, "no session came about"),
        }
    }
}
