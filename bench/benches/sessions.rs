//! Attested sessions a second in version 0 of the wire, against the bare libraries in the same run.
//!
//! USleep and verifying clients take turns with a server and clients of the same libraries, TLS, buffers and messages that
//! have no policy, limits, logs, metrics or wiping (`bench/src/bare`). Both ask the same kind of mocked launcher, which
//! answers at once, and verify the same signatures. USleep logs as it does where nobody says otherwise. Where ours is made
//! differently beyond that: both ends know a token's header that they have read before, the clients have the certificates' keys
//! ready after the first session, what belongs together is said in one write, and USleep ends TCP first.
//!
//! A machine's pace changes by a tenth from one second to the next, so there are many short rounds. Judged is the median of
//! their ratios, against a server that keeps its connections to the launcher, as USleep does: like for like. Shown beside it,
//! and not judged: the same against one that opens a connection for each token; and for an owner who remembers the chains
//! that were validated, where the bare libraries validate each anew.
//!
//! `cargo bench --package bench --bench sessions`; with `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bench::clients::{self, Judge, Load};
use bench::process::{Process, processor_seconds, raise_open_files};
use bench::roles::{self, Mock, Pair};
use bench::stats::{Limit, judge, median};
use session::Wire;

/// As in what ships. The yardstick is an executable of its own, with the system's.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// What a bench whose clients all have few addresses raises, and nothing else.
const RAISED: [&str; 3] =
    ["--max-connections-per-address=10000", "--tokens-per-second=10000", "--max-sessions-waiting=64"];

const CLIENTS: usize = 32;

/// Rounds that are judged, and how many of them there are to one of the others. Odd, so that there is a middle one, and that
/// the others see both orders.
const ROUNDS: usize = 61;
const OTHERS_EACH: usize = 5;

fn main() -> ExitCode {
    if let Some(ended) = roles::play() {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    raise_open_files();
    let owner = Arc::new(Judge::of_the_mock());
    let remembering = Arc::new(Judge::of_the_mock().with_chain_cache());
    // Three servers, each with a mock of its own. Without clients they do next to nothing.
    let pair = Pair::start_logging(Duration::ZERO, false, &RAISED);
    let load = Load {
        port: pair.port,
        wire: Wire::V0,
        clients: CLIENTS,
        warm_up: Duration::from_millis(300),
        window: Duration::from_secs(1),
    };
    let (mut keeping, mut opening) = (Bare::start(&load, true), Bare::start(&load, false));

    println!("{CLIENTS} clients, wire version 0, instant launcher; processor time a session in ms");
    let [mut ratios, mut of_opening, mut of_remembering] = [(); 3].map(|()| Vec::new());
    for round in 1..=if judged { ROUNDS } else { 1 } {
        // Who goes first changes, so that a machine that slows down favours neither.
        let (of_ours, of_bare) = if round % 2 == 0 {
            let of_ours = ours(&load, &pair, &owner);
            (of_ours, keeping.spent())
        } else {
            let of_bare = keeping.spent();
            (ours(&load, &pair, &owner), of_bare)
        };
        println!("round {round}\n  bare libraries     {of_bare}\n  ours               {of_ours}");
        ratios.push(of_ours.rate / of_bare.rate);
        if round % OTHERS_EACH == 1 {
            let (opened, known) = (opening.spent(), ours(&load, &pair, &remembering));
            println!("  bare, opening each {opened}\n  chains remembered  {known}");
            of_opening.push(of_ours.rate / opened.rate);
            of_remembering.push(known.rate / of_bare.rate);
        }
    }

    println!(
        "\nto bare libraries that open a connection to the launcher for each token: {:.3}",
        median(of_opening)
    );
    println!("with chains remembered, median of the rounds: {:.3}", median(of_remembering));
    let name = "sessions a second, ours to the bare libraries', median of the rounds";
    let within = judge(name, median(ratios), Limit::AtLeast(0.95));
    if within || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One window.
struct Spent {
    rate: f64,
    clients: f64,
    server: f64,
    mock: f64,
}

impl Spent {
    fn new(sessions: f64, seconds: f64, before: [f64; 3], after: [f64; 3]) -> Self {
        assert!(sessions > 0.0, "no session came to its end");
        let each = |before: f64, after: f64| (after - before) * 1e3 / sessions;
        let ([clients, server, mock], [clients_after, server_after, mock_after]) = (before, after);
        Self {
            rate: sessions / seconds,
            clients: each(clients, clients_after),
            server: each(server, server_after),
            mock: each(mock, mock_after),
        }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, clients, server, mock } = self;
        write!(f, "{rate:.0}/s (clients {clients:.2}, server {server:.2}, mock {mock:.2})")
    }
}

fn ours(load: &Load, pair: &Pair, owner: &Arc<Judge>) -> Spent {
    let mark = || {
        [processor_seconds("self"), pair.usleep.processor_seconds(), pair.mock.process.processor_seconds()]
    };
    let (measured, before, after) = clients::run(load, owner, mark);
    for (reason, count) in &measured.failed {
        println!("    {count} failed: {reason}");
    }
    Spent::new(measured.latencies.len() as f64, measured.seconds, before, after)
}

/// The yardstick: server, clients, and the launcher that the server asks.
struct Bare {
    mock: Mock,
    server: Process,
    clients: Process,
}

impl Bare {
    fn start(load: &Load, keep: bool) -> Self {
        let mock = Mock::start(Duration::ZERO, false);
        let bare = || Command::new(env!("CARGO_BIN_EXE_bare"));
        let mut server = Process::spawn(bare().arg("serve").arg(mock.socket()).args(keep.then_some("keep")));
        let Load { clients, warm_up, window, .. } = load;
        let numbers =
            [*clients as u128, warm_up.as_millis(), window.as_millis()].map(|number| number.to_string());
        let clients = Process::spawn(bare().arg("load").arg(server.line()).args(numbers));
        Self { mock, server, clients }
    }

    /// One window.
    fn spent(&mut self) -> Spent {
        assert_eq!(self.clients.ask(""), "mark");
        let before = self.seconds();
        assert_eq!(self.clients.ask(""), "mark");
        let after = self.seconds();
        let measured = self.clients.ask("");
        let mut numbers = measured.split(' ').map(|number| number.parse::<f64>().unwrap());
        let [sessions, seconds] = [(); 2].map(|()| numbers.next().unwrap());
        Spent::new(sessions, seconds, before, after)
    }

    fn seconds(&self) -> [f64; 3] {
        [&self.clients, &self.server, &self.mock.process].map(Process::processor_seconds)
    }
}
