//! What a server tells of its connections while it serves: numbers for metrics, nothing that comes from PHI.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::Outcome;
use super::room::Load;

/// What bytes of a connection are counted in: TLS' longest record (RFC 8446 §5.1). Each connection's are rounded up to
/// whole ones, so that totals before and after a session do not tell how long its PHI was.
pub const TRAFFIC_UNIT: u64 = 16 * 1024;

/// A part of a session, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From an open TCP connection to an open websocket.
    Handshake,
    /// To the client's hello (wire version 1).
    Hello,
    /// To the token: waiting for a turn, for the launcher, and for the attestation service.
    Token,
    /// To the client's own token, where it proves itself too.
    ClientProof,
    /// From the token that was sent to the last byte of the first PHI message: mostly the client's time.
    Phi,
    /// To the result of a single document.
    Analysis,
    /// Or, where a stream of documents was begun, to its end: mostly the client's time, too.
    Stream,
    /// To the end of the closing handshake.
    Reply,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 8] = [
        Self::Handshake,
        Self::Hello,
        Self::Token,
        Self::ClientProof,
        Self::Phi,
        Self::Analysis,
        Self::Stream,
        Self::Reply,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Hello => "hello",
            Self::Token => "token",
            Self::ClientProof => "client-proof",
            Self::Phi => "phi",
            Self::Analysis => "analysis",
            Self::Stream => "stream",
            Self::Reply => "reply",
        }
    }
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// A session.
    Session {
        /// Version of the wire.
        wire: u8,
        /// How it ended.
        outcome: Outcome,
    },
    /// An answer of HTTP and no session, such as that of a health check or 503.
    Http {
        /// The status.
        status: u16,
    },
    /// TLS or the upgrade did not come about in time, or the server is shutting down.
    NoSession,
    /// Closed at once: its address, or all together, have too many handshakes under way.
    Dropped,
    /// A fault of this program: it panicked.
    Panicked,
}

/// Bytes of a websocket, each rounded up to whole [`TRAFFIC_UNIT`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// That the peer sent.
    pub received: u64,
    /// That it was sent.
    pub sent: u64,
}

/// Is told what happens. It is called on the tasks of sessions and must not wait.
pub trait Observer: Send + Sync + 'static {
    /// The server begins to serve; what it holds can be looked at from now on.
    fn serving(&self, _load: Load) {}

    /// A connection was accepted.
    fn opened(&self) {}

    /// It has ended. Each that was opened ends once.
    fn ended(&self, _end: ConnectionEnd, _traffic: Traffic) {}

    /// A stage was passed. One that fails is not told.
    fn passed(&self, _stage: Stage, _took: Duration) {}
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nobody;

impl Observer for Nobody {}

/// Measures one stage.
pub(super) struct Stopwatch {
    stage: Stage,
    started: Instant,
}

impl Stopwatch {
    pub(super) fn start(stage: Stage) -> Self {
        Self { stage, started: Instant::now() }
    }

    pub(super) fn passed(self, observer: &dyn Observer) {
        observer.passed(self.stage, self.started.elapsed());
    }
}

/// Bytes of one websocket as they come and go.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Meter {
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn traffic(&self) -> Traffic {
        let rounded = |bytes: &AtomicU64| {
            bytes.load(Ordering::Relaxed).div_ceil(TRAFFIC_UNIT).saturating_mul(TRAFFIC_UNIT)
        };
        Traffic { received: rounded(&self.received), sent: rounded(&self.sent) }
    }
}

/// One connection: tells that it has ended when it is dropped, also by a panic.
pub(super) struct Watched {
    observer: Arc<dyn Observer>,
    meter: Arc<Meter>,
    end: ConnectionEnd,
}

impl Watched {
    pub(super) fn open(observer: Arc<dyn Observer>) -> Self {
        observer.opened();
        Self { observer, meter: Arc::default(), end: ConnectionEnd::Panicked }
    }

    pub(super) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    pub(super) fn ended(mut self, end: ConnectionEnd) {
        self.end = end;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.observer.ended(self.end, self.meter.traffic());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_whole_units_of_a_connection() {
        for (bytes, told) in [(0, 0), (1, 1), (150, 1), (16 * 1024, 1), (16 * 1024 + 1, 2), (1024 * 1024, 64)]
        {
            let meter = Meter::default();
            meter.received(bytes);
            assert_eq!(meter.traffic(), Traffic { received: told * TRAFFIC_UNIT, sent: 0 }, "{bytes}");
        }
    }

    #[test]
    fn every_stage_has_a_name_of_its_own() {
        let mut names = Stage::ALL.map(Stage::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Stage::ALL.len());
    }
}
