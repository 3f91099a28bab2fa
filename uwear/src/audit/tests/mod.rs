//! A log on a disk: how it is written, what a crash leaves, and that no change of it goes unseen.

mod changes;
mod crashes;
mod writing;

use std::path::{Path, PathBuf};

use policy::Role;
use rustls_pki_types::UnixTime;
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

use super::chain::{self, Broken, Walked};
use super::hex::{Digest, SessionId};
use super::line::{Decided, End, Ended, Event, Facts, Outcome};
use super::log::{AuditLog, LogError, Position};
use super::tally::{Sessions, Tally, Unknown};
use crate::report::Source;

/// A log in a folder of its own.
struct Sample {
    folder: TempDir,
}

impl Sample {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Three sessions: released, refused, and one that is still open.
    fn with_lines() -> Self {
        let sample = Self::new();
        let log = sample.open();
        for (session, allowed, end) in
            [(1, true, Some(End::Released)), (2, false, Some(End::Refused)), (3, true, None)]
        {
            log.append(decided(session, allowed), now()).unwrap();
            if let Some(end) = end {
                log.append(ended(session, end), now()).unwrap();
            }
        }
        sample
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.path(), now()).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(self.path(), bytes).unwrap();
    }
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_757_060_260))
}

fn session(number: u8) -> SessionId {
    SessionId::from([number; 16])
}

fn decided(number: u8, allowed: bool) -> Event {
    decided_with(number, allowed, json!({"aud": "uwear"}))
}

fn decided_with(number: u8, allowed: bool, claims: serde_json::Value) -> Event {
    let source = |name: &str| Source { name: name.to_owned(), sha256: "00".repeat(32) };
    let outcome = |name: &str| Outcome { name: name.to_owned(), ok: Some(allowed), wanted: None, got: None };
    Event::Decided(Box::new(Decided {
        session: session(number),
        allowed,
        now: now().as_secs(),
        endpoint: "wss://192.0.2.1:8081/connection".to_owned(),
        peer: "192.0.2.1:8081".to_owned(),
        key_exchange: "X25519MLKEM768".to_owned(),
        facts: Facts {
            nonce: "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=".to_owned(),
            audience: "uwear".to_owned(),
            wire: 0,
            role: Role::Server,
        },
        token_sha256: "00".repeat(32),
        roots: vec!["00".repeat(32)],
        policy: source("confidential_space.rego"),
        baseline: source("policy/baseline.json"),
        checks: vec![outcome("session_nonce")],
        rules: vec![outcome("allow")],
        claims: Some(claims.as_object().unwrap().clone()),
        commitment: None,
    }))
}

fn ended(number: u8, outcome: End) -> Event {
    Event::Ended(Ended {
        session: session(number),
        outcome,
        sent: outcome == End::Released,
        exit_code: 0,
        reason: None,
        receipt: None,
    })
}

/// What `uwear audit verify` finds in these bytes, and the lines' digests.
fn walked(bytes: &[u8]) -> Result<(Walked, Vec<Digest>, Sessions, Vec<Unknown>), Broken> {
    let (mut tally, mut digests) = (Tally::default(), Vec::new());
    let walked = chain::walk(bytes, |link| {
        digests.push(link.sha256);
        tally.count(&link)
    })?;
    let (sessions, unknown) = tally.close();
    Ok((walked, digests, sessions, unknown))
}

/// Whether a log with these bytes is taken for the one whose last line has this head.
fn passes_for(bytes: &[u8], head: Digest) -> bool {
    walked(bytes).is_ok_and(|(_, digests, _, _)| digests.contains(&head))
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn open(path: &Path) -> Result<AuditLog, LogError> {
    AuditLog::open(path, now())
}
