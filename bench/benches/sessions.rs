//! Attested sessions a second in version 0 of the wire, against the bare libraries in the same run.
//!
//! USleep and verifying clients take turns with a server and clients of the same libraries, TLS, buffers and messages that
//! have no policy, limits, logs, metrics or wiping (`bench/src/bare`). Both ask the same kind of mocked launcher, which
//! answers at once. Judged is the median of the rounds' ratios, against a server that keeps its connections to the launcher, as
//! USleep does: like for like. Shown beside it, and not judged: the same against one that opens a connection for each token;
//! and for an owner who remembers the chains that were validated, where the bare libraries validate each anew.
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

fn main() -> ExitCode {
    if let Some(ended) = roles::play() {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    raise_open_files();
    let owner = Arc::new(Judge::of_the_mock());
    let remembering = Arc::new(Judge::of_the_mock().with_chain_cache());
    let (rounds, warm_up, window) = if judged { (9, 1, 5) } else { (1, 1, 1) };
    let load = Load {
        port: 0,
        wire: Wire::V0,
        clients: CLIENTS,
        warm_up: Duration::from_secs(warm_up),
        window: Duration::from_secs(window),
    };

    println!("{CLIENTS} clients, wire version 0, instant launcher; processor time a session in ms");
    let [mut ratios, mut of_opening, mut of_remembering] = [(); 3].map(|()| Vec::new());
    for round in 1..=rounds {
        // Who goes first changes, so that a machine that slows down favours neither.
        let (of_ours, of_bare) = if round % 2 == 0 {
            let of_ours = ours(&load, &owner);
            (of_ours, bare(&load, true))
        } else {
            let of_bare = bare(&load, true);
            (ours(&load, &owner), of_bare)
        };
        let opening = bare(&load, false);
        let known = ours(&load, &remembering);
        println!(
            "round {round}\n  bare libraries     {of_bare}\n  ours               {of_ours}\n  \
             bare, opening each {opening}\n  chains remembered  {known}"
        );
        ratios.push(of_ours.rate / of_bare.rate);
        of_opening.push(of_ours.rate / opening.rate);
        of_remembering.push(known.rate / of_bare.rate);
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

fn ours(load: &Load, owner: &Arc<Judge>) -> Spent {
    let pair = Pair::start(Duration::ZERO, false, &RAISED);
    let load = Load { port: pair.port, ..load.clone() };
    let mark = || {
        [processor_seconds("self"), pair.usleep.processor_seconds(), pair.mock.process.processor_seconds()]
    };
    let (measured, before, after) = clients::run(&load, owner, mark);
    for (reason, count) in &measured.failed {
        println!("    {count} failed: {reason}");
    }
    Spent::new(measured.latencies.len() as f64, measured.seconds, before, after)
}

fn bare(load: &Load, keep: bool) -> Spent {
    let mock = Mock::start(Duration::ZERO, false);
    let mut server = Command::new(env!("CARGO_BIN_EXE_bare"));
    let mut server = Process::spawn(server.arg("serve").arg(mock.socket()).args(keep.then_some("keep")));
    let Load { clients, warm_up, window, .. } = load;
    let arguments = [clients.to_string(), warm_up.as_secs().to_string(), window.as_secs().to_string()];
    let mut clients = Command::new(env!("CARGO_BIN_EXE_bare"));
    let mut clients = Process::spawn(clients.arg("load").arg(server.line()).args(arguments));

    let mark = |clients: &Process| [clients, &server, &mock.process].map(Process::processor_seconds);
    assert_eq!(clients.line(), "mark");
    let before = mark(&clients);
    assert_eq!(clients.ask(""), "mark");
    let after = mark(&clients);
    let measured = clients.ask("");
    let mut numbers = measured.split(' ').map(|number| number.parse::<f64>().unwrap());
    let [sessions, seconds] = [(); 2].map(|()| numbers.next().unwrap());
    Spent::new(sessions, seconds, before, after)
}
