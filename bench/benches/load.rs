//! One quote, many sessions: what both versions of the wire carry on this machine.
//!
//! With a launcher as slow as the real one, which makes one token at a time in a third of a second, version 0 is bound
//! to about three sessions a second; version 1 lets all sessions that wait share a token. With an instant launcher the
//! processor time of a session shows what version 1 costs beside version 0.
//!
//! `cargo bench --package bench --bench load`; with `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench::clients::{self, Judge, Load, Measured};
use bench::process::{processor_seconds, raise_open_files};
use bench::roles::{self, Pair};
use bench::stats::{Limit, judge, median, percentile};
use session::Wire;

/// As in what ships.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// What a token takes from the real launcher: a quote from the hardware and a call to the service.
const REAL_LATENCY: Duration = Duration::from_millis(340);

/// What a bench whose clients all have one address raises, and nothing else.
const RAISED: [&str; 4] = [
    "--max-connections-per-address=10000",
    "--tokens-per-second=10000",
    "--max-sessions-waiting=64",
    "--phi-first-byte-deadline=60s",
];

fn main() -> ExitCode {
    if let Some(ended) = roles::play() {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    raise_open_files();
    let owner = Arc::new(Judge::of_the_mock());
    let seconds = |full: u64| Duration::from_secs(if judged { full } else { 2 });

    println!("launcher: {} ms for a token, one at a time", REAL_LATENCY.as_millis());
    // More than these would wait longer than a client does.
    let slow_0 = Load { port: 0, wire: Wire::V0, clients: 24, warm_up: seconds(10), window: seconds(20) };
    measure("version 0, 24 clients", REAL_LATENCY, true, slow_0, &owner);
    let slow_1 = Load { port: 0, wire: Wire::V1, clients: 1000, warm_up: seconds(8), window: seconds(20) };
    let version_1 = measure("version 1, 1000 clients", REAL_LATENCY, true, slow_1, &owner);

    println!("\nlauncher: instant");
    let rounds = if judged { 5 } else { 1 };
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let quick = |wire| Load { port: 0, wire, clients: 32, warm_up: seconds(2), window: seconds(8) };
        let of_0 = measure("version 0, 32 clients", Duration::ZERO, false, quick(Wire::V0), &owner);
        let of_1 = measure("version 1, 32 clients", Duration::ZERO, false, quick(Wire::V1), &owner);
        ratios.push(of_1.both_ends() / of_0.both_ends());
    }

    println!();
    let mut within = judge("version 1, sessions a second", version_1.measured.rate(), Limit::AtLeast(700.0));
    let p99 = percentile(&version_1.measured.latencies, 0.99);
    within &= judge("version 1, p99 in seconds", p99.as_secs_f64(), Limit::AtMost(2.0));
    within &= judge(
        "processor time of a session, version 1 to version 0, median of the rounds",
        median(ratios),
        Limit::AtMost(1.15),
    );
    if within || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What has been spent so far: processor time in seconds.
struct Counters {
    tokens: u64,
    clients: f64,
    usleep: f64,
    mock: f64,
}

impl Counters {
    fn read(pair: &mut Pair) -> Self {
        Self {
            tokens: pair.tokens(),
            clients: processor_seconds("self"),
            usleep: pair.usleep.processor_seconds(),
            mock: pair.mock.process.processor_seconds(),
        }
    }
}

/// A window's sessions, and what each process spent in it.
struct Spent {
    measured: Measured,
    tokens: u64,
    clients: f64,
    usleep: f64,
    mock: f64,
}

impl Spent {
    /// Processor time of a session at both ends, in milliseconds.
    fn both_ends(&self) -> f64 {
        self.each(self.clients + self.usleep)
    }

    fn each(&self, seconds: f64) -> f64 {
        seconds * 1e3 / self.measured.latencies.len() as f64
    }
}

fn measure(name: &str, latency: Duration, serialize: bool, load: Load, owner: &Arc<Judge>) -> Spent {
    let mut pair = Pair::start(latency, serialize, &RAISED);
    let load = Load { port: pair.port, ..load };
    let (measured, before, after) = clients::run(&load, owner, || Counters::read(&mut pair));
    let spent = Spent {
        measured,
        tokens: after.tokens - before.tokens,
        clients: after.clients - before.clients,
        usleep: after.usleep - before.usleep,
        mock: after.mock - before.mock,
    };
    let latencies = &spent.measured.latencies;
    println!(
        "{name:<24} {:>7.1} sessions/s  p50 {:>7.1?}  p99 {:>7.1?}  {} tokens  processor time a session: \
         clients {:.2} ms, usleep {:.2} ms, mock {:.2} ms",
        spent.measured.rate(),
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        spent.tokens,
        spent.each(spent.clients),
        spent.each(spent.usleep),
        spent.each(spent.mock),
    );
    for (reason, count) in &spent.measured.failed {
        println!("    {count} failed: {reason}");
    }
    spent
}
