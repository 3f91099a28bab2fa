//! What a release writes into the log: the decision before, the end after.

use std::path::Path;

use attestation::v1::Commitment;
use policy::Role;
use rustls_pki_types::UnixTime;
use serde::Serialize;
use serde_json::{Map, Value};
use session::client::Presented;

use super::hex::{Digest, SessionId};
use super::line::{Decided, End, Ended, Event, Facts, Outcome};
use super::log::{AuditLog, LogError, Position};
use crate::exit::{Exit, Failure};
use crate::load::Judge;
use crate::report::{Report, Row};

/// Writes the lines of one release after the other.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: AuditLog,
    under_way: Option<UnderWay>,
    last: Option<Position>,
}

/// The session whose end is still to be written.
#[derive(Debug)]
struct UnderWay {
    session: SessionId,
    allowed: bool,
}

/// What is known of a session before its token is judged.
pub(crate) struct Seen {
    /// Who answered.
    peer: String,
    /// The nonce that a token for this session carries.
    nonce: String,
    wire: u8,
}

impl Seen {
    pub(crate) fn of(presented: &Presented) -> Self {
        let info = presented.info();
        Self { peer: info.peer.to_string(), nonce: presented.nonce().as_str().to_owned(), wire: info.wire }
    }
}

/// What was judged; the report says what was checked and what came of it.
pub(crate) struct Judgement<'a> {
    pub(crate) allowed: bool,
    /// When.
    pub(crate) now: UnixTime,
    pub(crate) seen: &'a Seen,
    /// Nothing if the token is not authentic.
    pub(crate) claims: Option<&'a Map<String, Value>>,
    /// Wire version 1, where data is to leave.
    pub(crate) commitment: Option<Commitment>,
}

/// Where a report's lines stand: what to note down elsewhere, so that the log cannot be cut off or rewritten unseen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditRow {
    pub(crate) file: String,
    /// The number of the last line written, from 1.
    pub(crate) line: u64,
    /// Its SHA-256, with its line feed.
    pub(crate) head: String,
}

impl Recorder {
    /// Opens or begins the log, before anything is dialled.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let log = AuditLog::open(path, UnixTime::now())
            .map_err(|error| failure(Exit::Usage, &crate::load::shown(path), "", &error))?;
        Ok(Self { log, under_way: None, last: None })
    }

    /// Writes what was decided. Only when this has returned well may health data leave.
    pub(crate) fn decided(
        &mut self,
        judgement: &Judgement<'_>,
        report: &Report,
        judge: &Judge,
    ) -> Result<(), Failure> {
        let nothing_was_sent =
            |error: &LogError| failure(Exit::Unexpected, &self.log.name(), "; nothing was sent", error);
        let session = SessionId::random().ok_or_else(|| {
            Failure::new(Exit::Unexpected, "audit log: no randomness to name a session; nothing was sent", "")
        })?;
        let event = Event::Decided(Box::new(decided(session, judgement, report, judge)));
        self.last = Some(self.log.append(event, UnixTime::now()).map_err(|error| nothing_was_sent(&error))?);
        self.under_way = Some(UnderWay { session, allowed: judgement.allowed });
        Ok(())
    }

    /// Writes how the session ended, if one was decided on and has not ended yet.
    pub(crate) fn ended(
        &mut self,
        ended: &Result<Exit, Failure>,
        sent: bool,
        receipt: Option<String>,
    ) -> Result<(), Failure> {
        let Some(UnderWay { session, allowed }) = self.under_way.take() else {
            return Ok(());
        };
        let (exit, reason) = match ended {
            Ok(exit) => (*exit, None),
            Err(failure) => (failure.exit, Some(failure.what.clone()).filter(|_| !sent)),
        };
        let outcome = match (exit, sent) {
            (Exit::Done, true) => End::Released,
            (Exit::Refused, false) => End::Refused,
            _ if !allowed => End::Refused,
            _ => End::Lost,
        };
        let exit_code = exit.code();
        let event = Event::Ended(Ended { session, outcome, sent, exit_code, reason, receipt });
        let what = if sent { ": it says that the outcome is unknown" } else { "" };
        let appended = self.log.append(event, UnixTime::now());
        self.last =
            Some(appended.map_err(|error| failure(Exit::Unexpected, &self.log.name(), what, &error))?);
        Ok(())
    }

    /// The last line that was written.
    pub(crate) fn row(&self) -> Option<AuditRow> {
        let Position { number, head } = self.last?;
        Some(AuditRow { file: self.log.name(), line: number, head: head.to_string() })
    }
}

fn decided(session: SessionId, judgement: &Judgement<'_>, report: &Report, judge: &Judge) -> Decided {
    let Judgement { allowed, now, seen, claims, commitment } = judgement;
    Decided {
        session,
        allowed: *allowed,
        now: now.as_secs(),
        endpoint: report.endpoint.clone().unwrap_or_default(),
        peer: seen.peer.clone(),
        key_exchange: report.key_exchange.clone().unwrap_or_default(),
        facts: Facts {
            nonce: seen.nonce.clone(),
            audience: judge.audience.clone(),
            wire: seen.wire,
            role: Role::Server,
        },
        token_sha256: report.token_sha256.clone().unwrap_or_default(),
        roots: judge.verifier.anchors().fingerprints(),
        policy: report.policy.clone(),
        baseline: report.baseline.clone(),
        checks: report.checks.iter().map(outcome).collect(),
        rules: report.rules.iter().map(outcome).collect(),
        claims: claims.cloned(),
        commitment: commitment.map(|commitment| Digest::from(*commitment.as_bytes())),
    }
}

fn outcome(row: &Row) -> Outcome {
    let failed = row.ok == Some(false);
    Outcome {
        name: row.name.clone(),
        ok: row.ok,
        wanted: failed.then(|| row.wanted.clone()),
        got: failed.then(|| row.got.clone()),
    }
}

fn failure(exit: Exit, file: &str, then: &str, error: &LogError) -> Failure {
    Failure::new(exit, format!("audit log {file}: {error}{then}"), error.next())
}
