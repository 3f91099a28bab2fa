//! What an operator watches a server by: its metrics, its readiness, and the look at itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::Anchors;
use launcher::TokenDesk;
use session::server::CurrentIdentity;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::info;

use crate::clients::{self, ClientsError};
use crate::identity;
use crate::metrics::{self, Metrics};
use crate::readiness::Readiness;
use crate::self_look::SelfLook;
use crate::serve::duration;

/// Shortest lifetime of a TLS identity.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// The flags.
#[derive(Clone, Debug, clap::Args)]
pub struct OperationArguments {
    /// Serve Prometheus metrics at /metrics over plain HTTP; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "[IP:]PORT", env = "USLEEP_METRICS_LISTEN", value_parser = metrics::listen::address)]
    metrics_listen: Option<SocketAddr>,

    /// Log the metrics as one line, this often; 0s: never
    #[arg(
        long,
        value_name = "DURATION",
        env = "USLEEP_METRICS_LOG_INTERVAL",
        default_value = "60s",
        value_parser = duration
    )]
    metrics_log_interval: Duration,

    /// Renew the TLS key and certificate this often; connections keep the one that they began with
    #[arg(
        long,
        value_name = "DURATION",
        env = "USLEEP_IDENTITY_LIFETIME",
        default_value = "24h",
        value_parser = lifetime
    )]
    identity_lifetime: Duration,

    /// The roots that clients trust, for the look at our own token at start; Google's unless given
    ///
    /// For local runs with mock-launcher, whose root is made by itself. May be given several times.
    #[arg(long, value_name = "PEM", env = "USLEEP_ROOT", value_delimiter = ',')]
    root: Vec<PathBuf>,
}

/// What is needed to watch a server; made before it listens, so that a mistake in a flag is found first.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Whether clients should be sent here.
    pub(crate) readiness: Arc<Readiness>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    look: SelfLook,
    scrapers: Option<TcpListener>,
    metrics_log_interval: Duration,
    identity_lifetime: Duration,
}

/// Why a server cannot be watched as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// A root certificate that cannot be used.
    #[error(transparent)]
    Root(#[from] ClientsError),
    /// The metrics' address cannot be listened on.
    #[error("cannot listen on {address} for metrics: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// Two numbers have one name: a fault of the program.
    #[error("setting the metrics up: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl OperationError {
    /// The exit status of the program, as for [`crate::serve::Error::exit_code`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Root(_) | Self::Listen { .. } => 2,
            Self::Metrics(_) => 1,
        }
    }
}

impl OperationArguments {
    /// Reads files and opens the port.
    ///
    /// # Errors
    /// [`OperationError`].
    pub(crate) async fn prepare(&self, desk: TokenDesk) -> Result<Operation, OperationError> {
        let look = SelfLook::new(self.anchors()?);
        let readiness = Readiness::new(desk.clone());
        let metrics = Metrics::new(desk, Arc::clone(&readiness) as _)?;
        let scrapers = match self.metrics_listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await;
                Some(listener.map_err(|reason| OperationError::Listen { address, reason })?)
            }
        };
        let &Self { metrics_log_interval, identity_lifetime, .. } = self;
        Ok(Operation { readiness, metrics, look, scrapers, metrics_log_interval, identity_lifetime })
    }

    fn anchors(&self) -> Result<Anchors, ClientsError> {
        clients::anchors(&self.root)
    }
}

impl Operation {
    /// Starts everything that goes on beside the sessions, until it is dropped.
    pub(crate) fn start(self, identity: CurrentIdentity) -> JoinSet<()> {
        let mut beside = JoinSet::new();
        beside.spawn(self.readiness.keep(self.look));
        beside.spawn(identity::renew_often(identity, self.identity_lifetime));
        if let Some(scrapers) = self.scrapers {
            if let Ok(address) = scrapers.local_addr() {
                info!(%address, "metrics are served at /metrics");
            }
            beside.spawn(metrics::listen::serve(scrapers, Arc::clone(&self.metrics)));
        }
        if !self.metrics_log_interval.is_zero() {
            beside.spawn(metrics::log::log_often(self.metrics, self.metrics_log_interval));
        }
        beside
    }
}

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    let wanted = "wanted a duration from 1s to 24h";
    duration(text).ok().filter(|lifetime| *lifetime >= MIN_LIFETIME).ok_or(wanted)
}
