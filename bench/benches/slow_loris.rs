//! Peers that send a byte now and then to hold a place for as long as they are let (slow loris): what 1,000 of them cost
//! 100 clients that want an answer.
//!
//! The peers come from 20 addresses and the clients from one, as from behind one router. A third of the peers never ends
//! its first message of TLS, a third its request for a websocket, a third takes a token and never ends its PHI; who is
//! thrown out comes back at once. Rounds without and with them alternate on one USleep; what counts is the ratio of a
//! pair of rounds. All run on the same machine, so the processor time that it takes to play the peers is the clients'
//! loss too; it is printed.
//!
//! `cargo bench --package bench --bench slow_loris`; with `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench::clients::{self, Judge, Load, Measured};
use bench::peers::{self, ADDRESSES, Kind, PACES, Peers, Seen};
use bench::process::raise_open_files;
use bench::roles::{self, Pair};
use bench::stats::{Limit, judge, median, percentile};
use session::Wire;

/// As in what ships.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// 100 clients have one address, and some of the sessions before have not quite ended: what they need, and far from what
/// the peers, 50 from an address, come to feel. Tokens are no matter here.
const RAISED: [&str; 2] = ["--max-connections-per-address=256", "--tokens-per-second=10000"];

const CLIENTS: usize = 100;

/// Most that the clients' p99 may grow by.
const LIMIT: f64 = 2.0;

fn main() -> ExitCode {
    if let Some(ended) = roles::play().or_else(peers::play) {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    raise_open_files();
    let owner = Arc::new(Judge::of_the_mock());
    let (crowd, rounds) = if judged { (1000, 5) } else { (100, 1) };
    // Peers at their first messages are thrown out after 5 s: by then they come and go evenly.
    let seconds = |full: u64| Duration::from_secs(if judged { full } else { 1 });
    let mut pair = Pair::start(Duration::ZERO, false, &RAISED);
    let load =
        Load { port: pair.port, wire: Wire::V1, clients: CLIENTS, warm_up: seconds(2), window: seconds(10) };
    let beside_peers = Load { warm_up: seconds(7), ..load.clone() };

    println!(
        "{CLIENTS} clients that come back at once, without and with {crowd} peers from {ADDRESSES} addresses"
    );
    let [quick, slow] = PACES;
    println!("that send a byte every {quick:?} to {slow:?}\n");
    let (mut ratios, mut failed) = (Vec::new(), 0);
    for _ in 0..rounds {
        let without = measure(&mut pair, &load, &owner, None);
        let mut peers = Peers::come(pair.port, crowd);
        let with = measure(&mut pair, &beside_peers, &owner, Some(&mut peers));
        ratios.push(p99(&with).as_secs_f64() / p99(&without).as_secs_f64());
        failed += with.failed.values().sum::<u64>();
    }
    println!();
    let mut within = judge(
        "p99 with the peers to p99 without, median of the rounds",
        median(ratios),
        Limit::AtMost(LIMIT),
    );
    within &= judge("clients' sessions that failed beside the peers", failed as f64, Limit::AtMost(0.0));
    if within || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn p99(measured: &Measured) -> Duration {
    percentile(&measured.latencies, 0.99)
}

/// What has been spent and seen so far.
struct Counters {
    usleep: f64,
    peers: Option<(f64, Seen)>,
}

fn measure(pair: &mut Pair, load: &Load, owner: &Arc<Judge>, mut peers: Option<&mut Peers>) -> Measured {
    let (measured, before, after) = clients::run(load, owner, || Counters {
        usleep: pair.usleep.processor_seconds(),
        peers: peers.as_deref_mut().map(|peers| (peers.processor_seconds(), peers.seen())),
    });
    let share = |seconds: f64| 100.0 * seconds / measured.seconds;
    let name = if peers.is_some() { "with peers" } else { "without" };
    println!(
        "{name:<10} {:>6.1} sessions/s  p50 {:>7.1?}  p99 {:>7.1?}  usleep {:.0} % of a processor",
        measured.rate(),
        percentile(&measured.latencies, 0.5),
        p99(&measured),
        share(after.usleep - before.usleep),
    );
    if let (Some((spent_before, seen_before)), Some((spent, seen))) = (before.peers, after.peers) {
        println!("    the peers {:.0} % of a processor", share(spent - spent_before));
        let numbers = seen_before
            .there
            .iter()
            .zip(&seen.there)
            .zip(seen.thrown_out.iter().zip(&seen_before.thrown_out));
        for (kind, ((first, last), (thrown_out, before))) in Kind::ALL.iter().zip(numbers) {
            println!(
                "    at {kind:?}: {first} at the beginning and {last} at the end, {} thrown out meanwhile",
                thrown_out - before,
            );
        }
    }
    for (reason, count) in &measured.failed {
        println!("    {count} failed: {reason}");
    }
    measured
}
