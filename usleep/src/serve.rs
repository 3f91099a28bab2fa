//! `usleep serve`: the server, from its flags to its end by a signal.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::printable;
use launcher::{DeskOptions, Launcher, LauncherError, TOKENS_PER_SECOND, TokenDesk};
use session::server::ServerError;
use session::{Identity, IdentityError, Limits, Server, Wire};
use sleep::RuleSet;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clients::{ClientArguments, ClientsError};
use crate::logging::{self, Filter, Format};
use crate::operation::{OperationArguments, OperationError};
use crate::output;
use crate::report::{self, Reported};
use crate::workload::SleepAnalysis;

/// Longest time that a flag can ask for: a day. Far beyond use, and far from where clocks overflow.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Serve sessions: prove what runs here, take health data, answer
///
/// Each client gets an attestation token that is bound to its own TLS 1.3 session, and sends health data
/// only if the token convinces it. Reports to standard output, logs to standard error; neither holds
/// health data. SIGTERM or SIGINT end it: sessions under way may finish, a second signal ends it at once.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct Arguments {
    /// Address and port to listen on; port 0 takes a free one
    ///
    /// Unless told: port 8081 of every address, `[::]:8081`, and 0.0.0.0:8081 where there is no IPv6.
    #[arg(long, value_name = "IP:PORT", env = "USLEEP_LISTEN", value_parser = listen_address)]
    listen: Option<SocketAddr>,

    /// The launcher's Unix socket
    #[arg(long, value_name = "PATH", env = "USLEEP_SOCKET", default_value = launcher::DEFAULT_SOCKET)]
    socket: PathBuf,

    /// Whom the tokens are made for; clients refuse one that is not made for them
    #[arg(long, value_name = "NAME", env = "USLEEP_AUDIENCE", default_value = "uwear")]
    audience: String,

    /// Version of the wire: 0 is the codelab's, 1 answers others with HTTP 400, auto speaks both
    #[arg(long, value_name = "0|1|auto", env = "USLEEP_WIRE", default_value_t)]
    wire: Wire,

    /// Tokens that are asked for in a second at most, 0.1 to 10000; the quota of 5 is that of the whole project
    #[arg(
        long,
        value_name = "RATE",
        env = "USLEEP_TOKENS_PER_SECOND",
        default_value_t = launcher::DEFAULT_TOKENS_PER_SECOND,
        value_parser = tokens_per_second
    )]
    tokens_per_second: f64,

    /// Rules that lead the result; it holds what both say
    #[arg(long, value_enum, env = "USLEEP_RULES", default_value_t)]
    rules: RuleSet,

    #[command(flatten)]
    clients: ClientArguments,

    #[command(flatten)]
    operation: OperationArguments,

    /// How log lines look
    #[arg(long, value_enum, env = "USLEEP_LOG_FORMAT", default_value_t)]
    log_format: Format,

    /// What is logged: a level, or CRATE=LEVEL for a crate of this project, separated by commas
    #[arg(long, value_name = "FILTER", env = "USLEEP_LOG", default_value = "info")]
    log_level: Filter,

    /// How long sessions may go on after SIGTERM or SIGINT, such as 10s or 500ms
    #[arg(long, value_name = "DURATION", env = "USLEEP_DRAIN", default_value = "10s", value_parser = duration)]
    drain: Duration,

    /// Open connections from one IPv4 address or IPv6 /64; above it HTTP 503 [default: 256]
    #[arg(long, value_name = "N", env = "USLEEP_MAX_CONNECTIONS_PER_ADDRESS", value_parser = at_least_one)]
    max_connections_per_address: Option<usize>,

    /// Sessions that wait for a token at the same time; above it HTTP 503 [default: 16]
    #[arg(long, value_name = "N", env = "USLEEP_MAX_SESSIONS_WAITING", value_parser = at_least_one)]
    max_sessions_waiting: Option<usize>,

    /// How long a client may take from the token to its first byte of health data [default: 10s]
    #[arg(long, value_name = "DURATION", env = "USLEEP_PHI_FIRST_BYTE_DEADLINE", value_parser = duration)]
    phi_first_byte_deadline: Option<Duration>,

    /// Health data that one session may send in all, where it sends many nights, in bytes [default: 1 GiB]
    #[arg(long, value_name = "BYTES", env = "USLEEP_MAX_PHI_TOTAL", value_parser = clap::value_parser!(u64).range(1..))]
    max_phi_total: Option<u64>,

    /// Print the health data that comes, and the result, on standard output: for made-up data only
    #[cfg(feature = "walkthrough")]
    #[arg(long)]
    unsafe_log_phi: bool,
}

/// What `--help` ends with.
pub const AFTER_HELP: &str = "\
Example, on a laptop, with a stand-in for the launcher:
  $ mock-launcher --socket /tmp/teeserver.sock --pki-dir /tmp/mock-pki &
  $ usleep --listen 127.0.0.1:8081 --socket /tmp/teeserver.sock
  Starting Server.. listening on 127.0.0.1:8081

Every flag has the environment variable that is named with it; a flag wins over its variable.

Exit status: 0 ended by SIGTERM or SIGINT, 1 unexpected, 2 arguments that cannot be used,
such as a port that is taken.";

/// Why there is no server, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// Clients cannot be judged as asked.
    #[error(transparent)]
    Clients(#[from] ClientsError),
    /// Clients have to prove themselves, in a version of the wire that has no way to.
    #[error("--attest-client required needs wire version 1: wanted --wire 1 or auto, got --wire 0")]
    Contradiction,
    /// The server cannot be watched as asked.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// No TLS key could be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The server cannot be set up.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Threads or signals are not to be had.
    #[error("starting: {0}")]
    System(io::Error),
}

impl Error {
    /// The exit status of the program: 1 unexpected, 2 an argument that cannot be used.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { .. }
            | Self::Clients(_)
            | Self::Contradiction
            | Self::Server(ServerError::Request(_)) => 2,
            Self::Operation(error) => error.exit_code(),
            Self::Identity(_) | Self::Server(_) | Self::System(_) => 1,
        }
    }

    /// What to do about it, where its words do not say so already.
    pub fn next(&self) -> Option<&'static str> {
        match self {
            Self::Listen { reason, .. } => Some(next_address(reason)),
            Self::Operation(OperationError::Listen { reason, .. }) => Some(next_address(reason)),
            Self::Clients(ClientsError::File { .. })
            | Self::Operation(OperationError::Root(ClientsError::File { .. })) => {
                Some("name a file that this user may read")
            }
            Self::Server(ServerError::Request(_)) => {
                Some("give with --audience the name that clients expect")
            }
            _ => None,
        }
    }
}

fn next_address(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::AddrInUse => {
            "end the program that has this port, or give another port; 0 is any that is free"
        }
        io::ErrorKind::AddrNotAvailable => "give an address of this machine, or [::] for all of them",
        io::ErrorKind::PermissionDenied => "give a port from 1024 on, or let this user have smaller ones",
        _ => "give another address and port",
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`Error`], before the first connection is accepted.
pub fn run(arguments: Arguments) -> Result<(), Error> {
    logging::init(arguments.log_format, arguments.log_level.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::System);
    // In a task of its own: what accepts connections then runs on the threads that serve them, and need not wake one for each.
    let ended = runtime.and_then(|runtime| {
        let served = runtime.block_on(async { tokio::spawn(serve(arguments)).await });
        // It is never cancelled.
        served.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    });
    output::finish();
    ended
}

async fn serve(arguments: Arguments) -> Result<(), Error> {
    // First of all, so that whoever waits for the report's first line can stop us from then on.
    let mut signals = Signals::new().map_err(Error::System)?;
    let limits = arguments.limits();
    let clients = arguments.clients.load()?;
    if arguments.clients.required() && arguments.wire == Wire::V0 {
        return Err(Error::Contradiction);
    }
    let workload = SleepAnalysis::new(arguments.rules);
    #[cfg(feature = "walkthrough")]
    let walkthrough = arguments.unsafe_log_phi.then(Arc::<crate::walkthrough::Walkthrough>::default);
    #[cfg(feature = "walkthrough")]
    let workload = match &walkthrough {
        Some(walkthrough) => workload.showing(Arc::clone(walkthrough)),
        None => workload,
    };
    let desk = arguments.token_desk(&limits);
    let operation = arguments.operation.prepare(desk.clone()).await?;
    let server = Server::new(Identity::generate()?, desk, arguments.audience.as_str(), workload, limits)?
        .with_wire(arguments.wire)
        .with_client_attestation(clients)
        .with_observer(Arc::clone(&operation.metrics) as _)
        .with_readiness(Arc::clone(&operation.readiness) as _);
    let listener = listen(arguments.listen).await?;
    let address = listener.local_addr().map_err(Error::System)?;

    arguments.log_start(address);
    report::started(address);
    let _beside = operation.start(server.identity());

    let shutdown = CancellationToken::new();
    let serving = server.serve(listener, shutdown.clone(), arguments.drain);
    tokio::select! {
        () = serving => {}
        () = async {
            signals.next().await;
            shutdown.cancel();
            signals.next().await;
            warn!("a second signal: sessions under way are cut off");
        } => {}
    }
    #[cfg(feature = "walkthrough")]
    if let Some(walkthrough) = walkthrough {
        walkthrough.ended();
    }
    info!("ended");
    Ok(())
}

impl Arguments {
    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let phi_first_byte = self.phi_first_byte_deadline.unwrap_or(usual.phi_first_byte);
        Limits {
            connections_per_address: self
                .max_connections_per_address
                .unwrap_or(usual.connections_per_address),
            handshakes_per_address: self
                .max_connections_per_address
                .map_or(usual.handshakes_per_address, |raised| raised.max(usual.handshakes_per_address)),
            waiting_for_token: self.max_sessions_waiting.unwrap_or(usual.waiting_for_token),
            // Who raises or lowers the whole means it: one address may then have all of it.
            waiting_per_address: self.max_sessions_waiting.unwrap_or(usual.waiting_per_address),
            // The rest of a message may take as long as ever after its first byte.
            phi: usual.phi.max(phi_first_byte + usual.phi.saturating_sub(usual.phi_first_byte)),
            phi_first_byte,
            stream_bytes: self.max_phi_total.unwrap_or(usual.stream_bytes),
            ..usual
        }
    }

    /// One request may take five twelfths of what a session waits, 5 s of 12: one batch is under way at a time, and those who
    /// share it have to outlast one request that hangs. A token takes 0.3 to 2 s.
    fn token_desk(&self, limits: &Limits) -> TokenDesk {
        let launcher = Launcher::new(&self.socket).with_timeout(limits.launcher / 12 * 5);
        let options =
            DeskOptions { deadline: limits.launcher, ..DeskOptions::for_rate(self.tokens_per_second) };
        TokenDesk::new(Arc::new(Reported::new(launcher, &self.audience)), options)
    }

    fn log_start(&self, address: SocketAddr) {
        info!(
            version = env!("CARGO_PKG_VERSION"),
            %address,
            socket = printable(&self.socket.to_string_lossy()),
            audience = printable(&self.audience),
            wire = %self.wire,
            rules = %self.rules,
            "serving"
        );
        #[cfg(feature = "walkthrough")]
        if self.unsafe_log_phi {
            warn!("health data is printed on standard output: use made-up data only");
        }
        // The launcher may still come; until then each session is refused and logged.
        if !self.socket.exists() {
            let missing = LauncherError::SocketMissing { socket: self.socket.clone() };
            warn!(next = missing.hint(), "{missing}");
        }
    }
}

/// The two signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<TcpListener, Error> {
    let every_address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, session::client::DEFAULT_PORT));
    let wanted = address.unwrap_or(every_address);
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        // No IPv6 in this system. A port that is taken is not tried again in another way.
        Err(error) if address.is_none() && error.kind() != io::ErrorKind::AddrInUse => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, session::client::DEFAULT_PORT));
            TcpListener::bind(address).await.map_err(|reason| Error::Listen { address, reason })
        }
        Err(reason) => Err(Error::Listen { address: wanted, reason }),
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "wanted an address and a port, such as 127.0.0.1:8081 or [::1]:8081")
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|&number| number > 0).ok_or("wanted a whole number from 1")
}

fn tokens_per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| TOKENS_PER_SECOND.contains(rate));
    rate.ok_or_else(|| {
        format!("wanted a number from {} to {}", TOKENS_PER_SECOND.start(), TOKENS_PER_SECOND.end())
    })
}

/// At most [`MAX_DURATION`].
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let wanted = "wanted a duration such as 500ms or 10s, at most 24h";
    humantime::parse_duration(text).ok().filter(|duration| *duration <= MAX_DURATION).ok_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use attestation::Role;
    use attestation::v1::{HelloNonce, SessionBinding};
    use clap::Parser as _;
    use launcher::Failure;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(flags: &[&str]) -> Arguments {
        CommandLine::try_parse_from(["usleep"].iter().chain(flags)).unwrap().arguments
    }

    fn limits(flags: &[&str]) -> Limits {
        arguments(flags).limits()
    }

    #[test]
    fn without_flags_the_limits_are_the_protocols() {
        assert_eq!(limits(&[]), Limits::default());
    }

    #[test]
    fn a_later_first_byte_leaves_as_much_time_for_the_rest() {
        let raised = limits(&["--phi-first-byte-deadline", "60s", "--max-sessions-waiting", "500"]);
        assert_eq!((raised.phi_first_byte.as_secs(), raised.phi.as_secs()), (60, 80));
        assert_eq!(raised.waiting_for_token, 500);
        let lowered = limits(&["--phi-first-byte-deadline", "50ms", "--max-connections-per-address", "1"]);
        assert_eq!((lowered.phi_first_byte.as_millis(), lowered.phi.as_secs()), (50, 30));
        assert_eq!(lowered.connections_per_address, 1);
    }

    #[tokio::test]
    async fn sessions_outlast_one_request_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("teeserver.sock");
        let pki = mock_launcher::Pki::shared_for_tests().unwrap();
        let mock = mock_launcher::MockLauncher::builder(pki).start(&socket).await.unwrap();
        mock.set_fault_for(1, mock_launcher::Fault::Hang);
        // The pause after a failure does not shrink with the limit: a second of it, and as much again for the token.
        let limits = Limits { launcher: Duration::from_secs(3), ..Limits::default() };
        let flags = ["--tokens-per-second", "1000", "--socket", socket.to_str().unwrap()];
        let desk = arguments(&flags).token_desk(&limits);
        let binding = SessionBinding::of_session(|_, _, _| Ok::<_, Infallible>(()), b"spki").unwrap();
        let nonce = HelloNonce::random().unwrap();
        let leaf = binding.transcript(Role::Server, &nonce, &nonce).leaf();
        desk.share("uwear", leaf).await.unwrap();
        let failed = desk.snapshot().failed;
        assert_eq!((failed.of(Failure::Timeout), failed.total()), (1, 1));
    }

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, wanted) in [("0s", 0), ("500ms", 500), ("1.5s", 1500), ("24h", 86_400_000)] {
            assert_eq!(duration(text).map(|duration| duration.as_millis()), Ok(wanted), "{text}");
        }
        for text in ["", "s", "10", "-1s", "NaNs", "infs", "24h 1ms", "1e300s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
