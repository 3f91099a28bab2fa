//! Clients that verify in full, release, check the answer, and come back as soon as they are done.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::{Anchors, Expectation, Phi, Verifier};
use policy::{Baseline, Policy, PolicySource};
use rustls_pki_types::UnixTime;
use session::client::Approved;
use session::{ConnectOptions, Endpoint, Wire, connect};
use zeroize::Zeroizing;

/// The codelab's made-up night.
pub const NIGHT: &[u8] = include_bytes!("../../sleep/testdata/amy.json");

/// Loopback addresses over which the connections are spread: each has local ports of its own, which a closed connection
/// keeps for a minute.
const ADDRESSES: u8 = 32;

/// How long a client that failed waits before it comes back.
const PAUSE: Duration = Duration::from_millis(100);

/// What a data owner judges with, made once.
pub struct Judge {
    verifier: Verifier,
    policy: Policy,
}

impl Judge {
    /// The default policy with the mocked launcher's identity, below its root.
    pub fn of_the_mock() -> Self {
        let anchors = Anchors::from_pem(&std::fs::read(crate::roles::root()).unwrap()).unwrap();
        let verifier = Verifier::new(anchors, Expectation::default());
        let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
        Self { verifier, policy: Policy::compile(PolicySource::Default, baseline).unwrap() }
    }

    /// The same, who remembers chains that were validated, as one does who sees many tokens.
    #[must_use]
    pub fn with_chain_cache(self) -> Self {
        Self { verifier: self.verifier.with_chain_cache(), ..self }
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Load {
    /// USleep's port.
    pub port: u16,
    /// Version of the wire.
    pub wire: Wire,
    /// Clients at the same time.
    pub clients: usize,
    /// Time before the measured window.
    pub warm_up: Duration,
    /// The measured window.
    pub window: Duration,
}

/// What was measured in the window.
#[derive(Debug, Default)]
pub struct Measured {
    /// From dialling to the verified answer, of each session that ended in the window; sorted.
    pub latencies: Vec<Duration>,
    /// Sessions that failed in the window, by reason.
    pub failed: BTreeMap<String, u64>,
    /// How long the window was.
    pub seconds: f64,
}

impl Measured {
    /// Sessions a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }
}

/// Lets the clients run; calls `mark` at the window's start and at its end.
pub fn run<T>(load: &Load, judge: &Arc<Judge>, mark: impl FnMut() -> T) -> (Measured, T, T) {
    let options = ConnectOptions { wire: load.wire, ..ConnectOptions::default() };
    let shared = Arc::new((options, Arc::clone(judge)));
    // Known from the start, as to any owner.
    let endpoints: HashMap<SocketAddr, Endpoint> = (0..load.clients)
        .map(|number| address(number, load.port))
        .map(|address| (address, address.to_string().parse().unwrap()))
        .collect();
    let endpoints = Arc::new(endpoints);
    let session = move |address: SocketAddr| {
        let (shared, endpoints) = (Arc::clone(&shared), Arc::clone(&endpoints));
        async move { session(endpoints.get(&address).unwrap(), &shared.0, &shared.1).await }
    };
    run_sessions(load, session, mark)
}

/// The same with sessions of any kind, which get the address to dial.
pub fn run_sessions<T, S, F>(load: &Load, session: S, mut mark: impl FnMut() -> T) -> (Measured, T, T)
where
    S: Fn(SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begun = Instant::now();
    let from = begun + load.warm_up;
    let until = from + load.window;
    let clients: Vec<_> = (0..load.clients)
        .map(|number| runtime.spawn(client(number, load.port, session.clone(), from, until)))
        .collect();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    let first = mark();
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    let last = mark();
    let mut measured = Measured { seconds: load.window.as_secs_f64(), ..Measured::default() };
    for client in clients {
        let of_one = runtime.block_on(client).unwrap();
        measured.latencies.extend(of_one.latencies);
        for (reason, count) in of_one.failed {
            *measured.failed.entry(reason).or_default() += count;
        }
    }
    measured.latencies.sort_unstable();
    (measured, first, last)
}

/// Whom this client dials.
fn address(number: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number as u8 % ADDRESSES + 1], port))
}

async fn client<S, F>(number: usize, port: u16, session: S, from: Instant, until: Instant) -> Measured
where
    S: Fn(SocketAddr) -> F,
    F: Future<Output = Result<(), String>>,
{
    let address = address(number, port);
    let mut measured = Measured::default();
    while Instant::now() < until {
        let begun = Instant::now();
        let ended = session(address).await;
        let now = Instant::now();
        let counts = now >= from && now < until;
        match ended {
            Ok(()) if counts => measured.latencies.push(now - begun),
            Ok(()) => {}
            Err(reason) => {
                if counts {
                    *measured.failed.entry(reason).or_default() += 1;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    measured
}

/// One whole session; the error is its reason in words.
pub async fn session(endpoint: &Endpoint, options: &ConnectOptions, judge: &Judge) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let approved = approved(endpoint, options, judge).await?;
    let phi = Phi::new(Zeroizing::new(NIGHT.trim_ascii_end().to_vec())).map_err(|error| words(&error))?;
    let released = approved.release(phi).await.map_err(|error| words(&error))?;
    let answer = released.result().await.map_err(|error| words(&error))?;
    if answer.expose().is_empty() || answer.receipted().is_some() != (options.wire == Wire::V1) {
        return Err("an answer without result or receipt".to_owned());
    }
    Ok(())
}

/// A session up to the release; the error is its reason in words.
pub async fn approved(
    endpoint: &Endpoint,
    options: &ConnectOptions,
    judge: &Judge,
) -> Result<Approved, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let connected = connect(endpoint, options).await.map_err(|error| words(&error))?;
    let presented = connected.receive_token().await.map_err(|error| words(&error))?;
    let attested = match presented.attest(&judge.verifier, UnixTime::now()) {
        Ok(attested) => attested,
        Err(unproven) => {
            let reason = words(&unproven.error);
            unproven.close().await;
            return Err(reason);
        }
    };
    match attested.decide(&judge.policy, "uwear", UnixTime::now()) {
        Ok(approved) => Ok(approved),
        Err(denied) => {
            denied.close().await;
            Err("denied".to_owned())
        }
    }
}
