//! Numbers for operators: what the server is told of its connections, what the token desk counts, and nothing that is
//! computed from PHI.
//!
//! Names follow Prometheus' convention (<https://prometheus.io/docs/practices/naming/>): a unit, `_total` for what only
//! grows, and labels from closed sets of words. Bytes are counted in units of 16 KiB, rounded up for each connection, so
//! that two readings before and after a session do not tell how long its PHI was.

mod desk;
pub mod listen;
pub mod log;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use launcher::TokenDesk;
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use session::server::{ConnectionEnd, Load, Observer, Outcome, Readiness, Stage, Traffic};

use desk::DeskNumbers;

/// Media type of [`Metrics::text`].
pub use prometheus::TEXT_FORMAT;

/// Upper bounds of the buckets of durations, in seconds: from a handshake on an idle machine to the longest stage of a
/// session. A token takes 0.3 to 2 s.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];

/// The counters of a process, which it serves and logs.
pub struct Metrics {
    registry: Registry,
    readiness: Arc<dyn Readiness>,
    ready: IntGauge,
    open: IntGauge,
    phi_in_flight: IntGauge,
    /// Where that is read.
    load: OnceLock<Load>,
    connections: IntCounterVec,
    http: IntCounterVec,
    sessions: IntCounterVec,
    stages: [Histogram; Stage::ALL.len()],
    received: IntCounter,
    sent: IntCounter,
}

impl Metrics {
    /// Counters of a server that asks `desk` for tokens.
    ///
    /// # Errors
    /// [`prometheus::Error`] if a name is used twice: never, as a test shows.
    pub fn new(desk: TokenDesk, readiness: Arc<dyn Readiness>) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let add = Adding(&registry);
        let build = add.gauges("usleep_build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let started = Gauge::new("process_start_time_seconds", "When the process started, since 1970.")?;
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        add.these(started)?;
        add.these(DeskNumbers::new(desk)?)?;

        let stages = HistogramOpts::new(
            "usleep_stage_duration_seconds",
            "How long the stages of sessions took that passed them.",
        );
        let stages = add.these(HistogramVec::new(stages.buckets(SECONDS.to_vec()), &["stage"])?)?;
        let metrics = Self {
            ready: add
                .these(IntGauge::new("usleep_ready", "Whether clients should be sent here: 1 or 0.")?)?,
            open: add.these(IntGauge::new("usleep_open_connections", "Connections that are open.")?)?,
            phi_in_flight: add.these(IntGauge::new(
                "usleep_phi_in_flight_bytes",
                "Health data that is held, rounded up to whole MiB; messages of at most 4 KiB are not counted.",
            )?)?,
            load: OnceLock::new(),
            connections: add.counters(
                "usleep_connections_total",
                "Connections that have ended, by what became of them.",
                &["outcome"],
            )?,
            http: add.counters(
                "usleep_http_responses_total",
                "Answers of HTTP that led to no session, health checks included.",
                &["status"],
            )?,
            sessions: add.counters(
                "usleep_sessions_total",
                "Sessions that have ended, by outcome and version of the wire.",
                &["outcome", "wire"],
            )?,
            stages: Stage::ALL.map(|stage| stages.with_label_values(&[stage.name()])),
            received: add.these(IntCounter::new(
                "usleep_received_bytes_total",
                "Bytes received in sessions, rounded up to 16 KiB for each connection.",
            )?)?,
            sent: add.these(IntCounter::new(
                "usleep_sent_bytes_total",
                "Bytes sent in sessions, rounded up to 16 KiB for each connection.",
            )?)?,
            registry: registry.clone(),
            readiness,
        };
        metrics.begin_at_zero();
        Ok(Arc::new(metrics))
    }

    /// A rate needs a first value: what has not happened yet is 0, not missing.
    fn begin_at_zero(&self) {
        for outcome in CONNECTION_OUTCOMES {
            self.connections.with_label_values(&[outcome]);
        }
        for outcome in Outcome::ALL {
            for wire in ["0", "1"] {
                self.sessions.with_label_values(&[outcome.name(), wire]);
            }
        }
    }

    /// All of it in Prometheus' text format, [`TEXT_FORMAT`].
    pub fn text(&self) -> String {
        self.ready.set(i64::from(self.readiness.ready().is_ok()));
        let phi_in_flight = self.load.get().map_or(0, Load::phi_in_flight);
        self.phi_in_flight.set(i64::try_from(phi_in_flight).unwrap_or(i64::MAX));
        // It fails on an empty family alone, and there is none.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const SESSION: &str = "session";
const HTTP: &str = "http";
const NO_SESSION: &str = "no-session";
const DROPPED: &str = "dropped";
const PANICKED: &str = "panicked";
const CONNECTION_OUTCOMES: [&str; 5] = [SESSION, HTTP, NO_SESSION, DROPPED, PANICKED];

impl Observer for Metrics {
    fn serving(&self, load: Load) {
        // It serves once.
        let _ = self.load.set(load);
    }

    fn opened(&self) {
        self.open.inc();
    }

    fn ended(&self, end: ConnectionEnd, traffic: Traffic) {
        self.open.dec();
        self.received.inc_by(traffic.received);
        self.sent.inc_by(traffic.sent);
        let outcome = match end {
            ConnectionEnd::Session { wire, outcome } => {
                self.sessions.with_label_values(&[outcome.name(), &wire.to_string()]).inc();
                SESSION
            }
            ConnectionEnd::Http { status } => {
                self.http.with_label_values(&[&status.to_string()]).inc();
                HTTP
            }
            ConnectionEnd::NoSession => NO_SESSION,
            ConnectionEnd::Dropped => DROPPED,
            ConnectionEnd::Panicked => PANICKED,
        };
        self.connections.with_label_values(&[outcome]).inc();
    }

    fn passed(&self, stage: Stage, took: Duration) {
        if let Some((_, histogram)) = Stage::ALL.iter().zip(&self.stages).find(|(other, _)| **other == stage)
        {
            histogram.observe(took.as_secs_f64());
        }
    }
}

/// Puts numbers into a registry.
struct Adding<'a>(&'a Registry);

impl Adding<'_> {
    fn these<C: Collector + Clone + 'static>(&self, numbers: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(numbers.clone()))?;
        Ok(numbers)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.these(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.these(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }
}
