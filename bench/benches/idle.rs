//! What a session costs USleep that got its token and now is silent: anonymous memory, 5,000 sessions open at the same
//! time, for either version of the wire.
//!
//! A data owner may take her time between the token and her first byte, so thousands of sessions are in that state on a
//! busy morning. What is measured is resident memory of the process that is no file (`RssAnon` of proc_pid_status(5)):
//! after the last of them has its token, less what it was after a warm-up whose sessions have all ended. The sessions are
//! those of the `session` crate, from the dialling to the token.
//!
//! `cargo bench --package bench --bench idle`; with `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::clients::{self, Judge};
use bench::process::{connections, raise_open_files};
use bench::roles::{self, Pair};
use bench::stats::{Limit, judge, median};
use session::client::Presented;
use session::{ConnectOptions, Endpoint, Wire, connect};
use tokio::task::JoinSet;

/// As in what ships.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// What 5,000 sessions from one address need that are silent until all of them are open, and nothing else.
const RAISED: [&str; 4] = [
    "--max-connections-per-address=10000",
    "--tokens-per-second=10000",
    "--max-sessions-waiting=64",
    "--phi-first-byte-deadline=10m",
];

/// Most that one of them may take, in bytes.
const LIMIT: f64 = 16_000.0;

/// Sessions that are opened at the same time.
const AT_ONCE: usize = 32;

/// Loopback addresses over which the connections are spread.
const ADDRESSES: usize = 32;

/// How long USleep may take to let go of what has ended.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(ended) = roles::play() {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    raise_open_files();
    let owner = Arc::new(Judge::of_the_mock());
    let (sessions, rounds) = if judged { (5000, 3) } else { (200, 1) };

    println!(
        "{sessions} sessions that have their token and are silent; beside what is measured the kernel holds, for"
    );
    println!("each, a socket with its buffers (some kB where nothing is under way) and a descriptor\n");
    let mut of_versions = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (wire, taken) in [Wire::V0, Wire::V1].into_iter().zip(&mut of_versions) {
            taken.push(measure(wire, sessions, &owner));
        }
    }
    println!();
    let mut within = true;
    for (wire, taken) in ["0", "1"].into_iter().zip(of_versions) {
        let name = format!("version {wire}, bytes for each silent session, median of the rounds");
        within &= judge(&name, median(taken), Limit::AtMost(LIMIT));
    }
    if within || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes for each of so many sessions, in a USleep of their own.
fn measure(wire: Wire, sessions: usize, owner: &Arc<Judge>) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pair = Pair::start(Duration::ZERO, false, &RAISED);
    let usleep = &pair.usleep;
    runtime.block_on(warm_up(pair.port, wire, sessions / 10, owner));
    all_have_left(pair.port);
    let before = usleep.anonymous_bytes();

    let begun = Instant::now();
    let silent = runtime.block_on(open(pair.port, wire, sessions));
    let took = begun.elapsed();
    let after = usleep.anonymous_bytes();
    assert_eq!(connections(pair.port), sessions, "all of them are still open");
    runtime.block_on(async { drop(silent) });
    all_have_left(pair.port);

    let each = after.saturating_sub(before) as f64 / sessions as f64;
    println!(
        "version {wire}: {before} bytes before, {after} with {sessions} sessions, {left} when they have left: {each:.0} \
         bytes each (opened in {took:.1?})",
        left = usleep.anonymous_bytes(),
    );
    each
}

/// Whole sessions, so that whatever is made once is there.
async fn warm_up(port: u16, wire: Wire, sessions: usize, owner: &Arc<Judge>) {
    let mut tasks = JoinSet::new();
    for number in 0..AT_ONCE {
        let owner = Arc::clone(owner);
        tasks.spawn(async move {
            for number in (number..sessions).step_by(AT_ONCE) {
                clients::session(&endpoint(port, number), &options(wire), &owner).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// So many sessions that have their token.
async fn open(port: u16, wire: Wire, sessions: usize) -> Vec<Presented> {
    let mut tasks = JoinSet::new();
    for number in 0..AT_ONCE {
        tasks.spawn(async move {
            let mut open = Vec::new();
            for number in (number..sessions).step_by(AT_ONCE) {
                let connected = connect(&endpoint(port, number), &options(wire)).await.unwrap();
                open.push(connected.receive_token().await.unwrap());
            }
            open
        });
    }
    let mut open = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        open.extend(ended.unwrap());
    }
    open
}

fn endpoint(port: u16, number: usize) -> Endpoint {
    format!("127.0.0.{}:{port}", number % ADDRESSES + 1).parse().unwrap()
}

fn options(wire: Wire) -> ConnectOptions {
    ConnectOptions { wire, ..ConnectOptions::default() }
}

/// Returns when USleep has closed what its clients have left.
fn all_have_left(port: u16) {
    let until = Instant::now() + PATIENCE;
    while connections(port) > 0 {
        assert!(Instant::now() < until, "{} connections are still open", connections(port));
        std::thread::sleep(Duration::from_millis(10));
    }
}
