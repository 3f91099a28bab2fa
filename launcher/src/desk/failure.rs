//! What kind of failure an answer of the launcher is, and whether the desk asks again after it.

use crate::LauncherError;

/// Marks in the text of a status that name a used-up quota, in lower case.
///
/// The launcher passes the service's refusal on as text, with status 500 (google/go-tpm-tools, `launcher/teeserver`:
/// no gRPC code, or one that is not mapped). That text is written by Google's client libraries: `googleapi: Error 429:
/// …` or `googleapi: got HTTP response code 429 with body: …` (googleapis/google-api-go-client, `googleapi.go`), with
/// `code = ResourceExhausted` (grpc-go) where there is a gRPC status, and the reason `RATE_LIMIT_EXCEEDED` (AIP-193,
/// `google.api.ErrorReason`) or, of old, `rateLimitExceeded`. The message itself begins `Quota exceeded for quota
/// metric` (Service Infrastructure). The bare word is no mark: "requires a quota project" is about permissions.
const QUOTA_MARKS: [&str; 8] = [
    "error 429",
    "response code 429",
    "resourceexhausted",
    "resource_exhausted",
    "resource has been exhausted",
    "ratelimitexceeded",
    "rate_limit_exceeded",
    "quota exceeded",
];

/// The kind of a failed request for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The quota of the attestation service is used up: status 429, or 500 with a text that says so.
    Quota,
    /// Another status of 500 and above.
    ServerError,
    /// Any other status than 200: asking again will not help.
    Refused,
    /// There is no socket.
    SocketMissing,
    /// The socket's path or its permissions are wrong.
    SocketUnusable,
    /// Nobody answers at the socket.
    Unreachable,
    /// The connection ended before the answer was complete.
    ConnectionLost,
    /// No complete answer within the launcher client's time.
    Timeout,
    /// An answer that is no token of the kind that was asked for.
    AnswerUnusable,
    /// The token source panicked. A fault of the program, not of the launcher.
    Panicked,
}

impl Failure {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Quota,
        Self::ServerError,
        Self::Refused,
        Self::SocketMissing,
        Self::SocketUnusable,
        Self::Unreachable,
        Self::ConnectionLost,
        Self::Timeout,
        Self::AnswerUnusable,
        Self::Panicked,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::ServerError => "server-error",
            Self::Refused => "refused",
            Self::SocketMissing => "socket-missing",
            Self::SocketUnusable => "socket-unusable",
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "connection-lost",
            Self::Timeout => "timeout",
            Self::AnswerUnusable => "answer-unusable",
            Self::Panicked => "panicked",
        }
    }

    /// The kind of an error.
    pub fn of(error: &LauncherError) -> Self {
        match error {
            LauncherError::Status { status, text, .. } if names_a_quota(*status, text) => Self::Quota,
            LauncherError::Status { status: 500.., .. } => Self::ServerError,
            LauncherError::Status { .. } => Self::Refused,
            LauncherError::SocketMissing { .. } => Self::SocketMissing,
            LauncherError::SocketPath { .. } | LauncherError::PermissionDenied { .. } => Self::SocketUnusable,
            LauncherError::ConnectionRefused { .. } | LauncherError::Connect { .. } => Self::Unreachable,
            LauncherError::ConnectionLost { .. } => Self::ConnectionLost,
            LauncherError::Timeout { .. } => Self::Timeout,
            LauncherError::NotHttp { .. }
            | LauncherError::TooLarge { .. }
            | LauncherError::NotJwt { .. }
            | LauncherError::NoCertificateChain { .. } => Self::AnswerUnusable,
        }
    }
}

/// Whether the desk asks again after `error`: what may be another a moment later, a used-up quota, and a socket that
/// is not there, because the launcher may still be starting. Never after 400.
pub(super) fn worth_another_try(error: &LauncherError) -> bool {
    error.is_transient() || matches!(Failure::of(error), Failure::Quota | Failure::SocketMissing)
}

/// 429 by itself would be for a launcher that maps the code; today's does not.
fn names_a_quota(status: u16, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    status == 429 || (status >= 500 && QUOTA_MARKS.iter().any(|mark| text.contains(mark)))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::Progress;

    fn socket() -> PathBuf {
        PathBuf::from("/run/x.sock")
    }

    fn status(status: u16, text: &str) -> LauncherError {
        LauncherError::Status { socket: socket(), status, text: text.into() }
    }

    #[test]
    fn each_failure_has_its_kind_and_is_or_is_not_worth_another_try() {
        let rows = [
            (
                status(500, "failed to retrieve custom attestation service token: x"),
                Failure::ServerError,
                true,
            ),
            (status(503, ""), Failure::ServerError, true),
            (status(429, ""), Failure::Quota, true),
            (status(400, "token_type is a required parameter"), Failure::Refused, false),
            (
                status(400, "rpc error: code = PermissionDenied desc = Quota exceeded"),
                Failure::Refused,
                false,
            ),
            (status(403, ""), Failure::Refused, false),
            (status(404, "404 page not found"), Failure::Refused, false),
            (status(302, ""), Failure::Refused, false),
            (LauncherError::SocketMissing { socket: socket() }, Failure::SocketMissing, true),
            (LauncherError::PermissionDenied { socket: socket() }, Failure::SocketUnusable, false),
            (
                LauncherError::SocketPath { socket: socket(), max: 107, got: 0 },
                Failure::SocketUnusable,
                false,
            ),
            (LauncherError::ConnectionRefused { socket: socket() }, Failure::Unreachable, true),
            (
                LauncherError::Connect { socket: socket(), kind: io::ErrorKind::WouldBlock },
                Failure::Unreachable,
                true,
            ),
            (
                LauncherError::ConnectionLost { socket: socket(), got: Progress::PartOfBody(7) },
                Failure::ConnectionLost,
                true,
            ),
            (
                LauncherError::Timeout { socket: socket(), after: Duration::from_secs(12) },
                Failure::Timeout,
                true,
            ),
            (LauncherError::NotHttp { socket: socket() }, Failure::AnswerUnusable, false),
            (LauncherError::TooLarge { socket: socket() }, Failure::AnswerUnusable, false),
            (
                LauncherError::NotJwt { socket: socket(), bytes: 1, segments: 1 },
                Failure::AnswerUnusable,
                false,
            ),
            (LauncherError::NoCertificateChain { socket: socket() }, Failure::AnswerUnusable, false),
        ];
        for (error, kind, again) in rows {
            assert_eq!(Failure::of(&error), kind, "{error}");
            assert_eq!(worth_another_try(&error), again, "{error}");
        }
    }

    #[test]
    fn a_quota_is_known_by_what_googles_libraries_write() {
        let call = "failed to retrieve custom attestation service token: calling v1.VerifyConfidentialSpace in us-west1";
        let rows = [
            (
                "googleapi: Error 429: Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'",
                true,
            ),
            ("googleapi: Error 429: Too Many Requests", true),
            ("googleapi: got HTTP response code 429 with body: ", true),
            ("rpc error: code = ResourceExhausted desc = x", true),
            ("googleapi: Error 403: x, rateLimitExceeded", true),
            ("reason = RATE_LIMIT_EXCEEDED domain = googleapis.com", true),
            ("Resource has been exhausted (e.g. check quota).", true),
            ("googleapi: Error 503: The service is currently unavailable.", false),
            ("googleapi: Error 403: this API requires a quota project, which is not set by default", false),
            ("googleapi: Error 400: The request was invalid: nonce 429", false),
        ];
        for (text, quota) in rows {
            let kind = Failure::of(&status(500, &format!("{call}: {text}")));
            assert_eq!(kind == Failure::Quota, quota, "{text}");
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names = Failure::ALL.map(Failure::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failure::ALL.len());
    }
}
