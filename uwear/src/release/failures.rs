//! What an error of a session means for the owner: the exit code, whether anything was sent, and what to do.
//!
//! What may be better next time is 3, a refusal is 6, anything that is no proof is 4.

use launcher::LauncherError;
use session::client::{AnswerError, ProveError, ReleaseError};
use session::{ConnectError, LinkError};

use crate::clock::span;
use crate::exit::{Exit, Failure};

pub(super) const AFTER_RELEASE: &str =
    "the data may have been received: do not send it again without thinking";

pub(super) fn not_connected(error: &ConnectError) -> Failure {
    if let ConnectError::Busy { retry_after: Some(wait) } = error {
        let next = format!("try again in {}", span(wait.as_secs()));
        let failure = Failure::new(Exit::NotReached, format!("{error}; nothing was sent"), next);
        return Failure { retry_after: Some(*wait), ..failure };
    }
    let (exit, next) = match error {
        ConnectError::Name { .. } => (Exit::Usage, "give an IP address or a host name"),
        ConnectError::Contradiction => (Exit::Usage, "leave --wire 0 out"),
        ConnectError::Resolve { .. } => (Exit::NotReached, "check the name, or give the IP address"),
        ConnectError::Unreachable { .. } | ConnectError::ConnectTimeout { .. } => (
            Exit::NotReached,
            "check that USleep runs at this address and port, and that its firewall lets the port through",
        ),
        ConnectError::HandshakeTimeout { .. }
        | ConnectError::Lost(_)
        | ConnectError::Socket(_)
        | ConnectError::Hello(_) => (Exit::NotReached, "check that the address is USleep's, then try again"),
        ConnectError::Busy { .. } => (Exit::NotReached, "try again later"),
        ConnectError::Refused { status: 400 } => (
            Exit::Refused,
            "check that the address is USleep's; one that requires wire version 1 answers version 0 so: leave --wire 0 out",
        ),
        ConnectError::Refused { .. } => (Exit::Refused, "check that the address is USleep's"),
        ConnectError::NoVersion1 => (
            Exit::NotProven,
            "receipts, evidence and mutual attestation need it: ask the operator for a USleep that speaks it, or do without \
             them with --wire 0",
        ),
        ConnectError::Random(_) => (Exit::Unexpected, "try again"),
        ConnectError::TlsVersion => (
            Exit::NotProven,
            "USleep speaks TLS 1.3: something else answered, or something in between ends TLS",
        ),
        ConnectError::NotTls => (Exit::NotProven, "check the address and the port"),
        _ => (Exit::NotProven, "check that the address is USleep's"),
    };
    Failure::new(exit, format!("{error}; nothing was sent"), next)
}

pub(super) fn before_release(error: &LinkError) -> Failure {
    let (exit, next) = match error {
        LinkError::Closed { code: Some(1008), reason } if reason == "client-attestation-required" => (
            Exit::Refused,
            "this USleep serves only clients that prove themselves: run in a Confidential Space VM, or name your launcher's \
             socket with --attest-socket",
        ),
        LinkError::Closed { code: Some(1008), reason } if reason == "client-refused" => {
            return Failure::new(Exit::Refused, format!("{error}; nothing was sent"), CLIENT_REFUSED);
        }
        LinkError::Closed { code: Some(1003 | 1008), .. } => (Exit::Refused, "see USleep's log"),
        LinkError::Closed { code: Some(1011), .. } => {
            (Exit::NotReached, "USleep got no token from its launcher: see its log, then try again")
        }
        LinkError::Closed { .. } | LinkError::Ended | LinkError::Timeout { .. } => {
            (Exit::NotReached, "try again; if it stays, see USleep's log")
        }
        LinkError::Mutual { .. } => (
            Exit::NotProven,
            "ask the operator whether USleep is to attest its clients, and set --attest to that",
        ),
        _ => (Exit::NotProven, "check that the address is USleep's"),
    };
    Failure::new(exit, format!("no token: {error}; nothing was sent"), next)
}

/// Our own proof could not be given.
pub(super) fn not_proven_ourselves(error: &ProveError) -> Failure {
    let (exit, next) = match error {
        ProveError::Link(error) => return before_release(error),
        ProveError::Launcher(error) if may_pass(error) => (Exit::NotReached, error.hint()),
        ProveError::Launcher(error) => (Exit::Usage, error.hint()),
        ProveError::Timeout { .. } => {
            (Exit::NotReached, "see the launcher's log on this VM's serial port, then try again")
        }
        ProveError::Request(_) => (Exit::Usage, "give an audience of 1 to 512 bytes with --attest-audience"),
        _ => (Exit::Unexpected, ""),
    };
    Failure::new(exit, format!("no proof of our own: {error}; nothing was sent"), next)
}

/// A launcher's socket that is missing may come.
fn may_pass(error: &LauncherError) -> bool {
    error.is_transient() || matches!(error, LauncherError::SocketMissing { .. })
}

/// Data has been handed to TLS, perhaps not all of it.
pub(super) fn interrupted(error: &ReleaseError) -> Failure {
    let may_pass = matches!(error, ReleaseError::Interrupted(error) if was_lost(error));
    Failure { may_pass, ..Failure::new(Exit::Refused, error.to_string(), AFTER_RELEASE) }
}

/// Whether the session ended by bad luck, and not because somebody has refused something.
fn was_lost(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Ended
            | LinkError::Timeout { .. }
            | LinkError::Closed { code: Some(1001 | 1011 | 1013), .. }
    )
}

/// Data has been handed to TLS, and no valid result has come.
pub(super) fn no_result(error: &AnswerError) -> Failure {
    let next = match error {
        AnswerError::Link(LinkError::Closed { code: Some(1009), .. }) => {
            "the data may have been received; many nights can be split into several files, and USleep's operator can raise --max-phi-total"
        }
        AnswerError::Link(LinkError::Closed { reason, .. }) if reason == "client-refused" => CLIENT_REFUSED,
        AnswerError::Receipt(_) => {
            "the result is not kept, since its receipt does not vouch for it; the data has been received: do not send it again \
             without thinking"
        }
        _ => AFTER_RELEASE,
    };
    let may_pass = matches!(error, AnswerError::Link(error) if was_lost(error));
    Failure { may_pass, ..Failure::new(Exit::Refused, format!("no result after the release: {error}"), next) }
}

const CLIENT_REFUSED: &str = "USleep does not accept this client, and has read none of the data: its log says which check failed; its \
                              operator can add this client to the client baseline";
