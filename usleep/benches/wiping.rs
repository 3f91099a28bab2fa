//! What it costs USleep to wipe all that is freed: processor time of a session, with and without.
//!
//! The same server runs twice, as the program `usleep` and as this bench, which calls the same library but leaves the
//! system's allocator as it is. Sessions of wire version 0 go to one and the other in turns, a night of a few hundred bytes and one
//! of a mebibyte; what is compared is the time that each server's threads have run, as the scheduler counts it
//! (`/proc/PID/task/*/schedstat`), which knows nothing of the client and of waiting.
//!
//! `cargo bench --package usleep --bench wiping`; with `-- --test` it only runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use clap::Parser as _;
use common::program::launcher;
use common::{Client, PHI};

const ROUNDS: usize = 25;
const SESSIONS: u32 = 40;

/// This program as the server that does not wipe.
#[derive(clap::Parser)]
enum Unwiped {
    Serve(usleep::serve::Arguments),
}

fn main() -> ExitCode {
    let asked = |flag| std::env::args().any(|argument| argument == flag);
    if asked("serve") {
        let Unwiped::Serve(arguments) = Unwiped::parse();
        return if usleep::serve::run(arguments).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // cargo bench says --bench.
    let (rounds, sessions) = if asked("--bench") && !asked("--test") { (ROUNDS, SESSIONS) } else { (1, 2) };
    tokio::runtime::Runtime::new().unwrap().block_on(compare(rounds, sessions));
    ExitCode::SUCCESS
}

async fn compare(rounds: usize, sessions: u32) {
    let (_launcher, socket, _folder) = launcher().await;
    let wiping = Server::start(env!("CARGO_BIN_EXE_usleep").into(), &socket);
    let plain = Server::start(std::env::current_exe().unwrap(), &socket);
    let padded = format!("{PHI}{}", " ".repeat(attestation::message::MAX_PHI_BYTES - PHI.len()));
    println!("processor time of the server for a session, medians of {rounds} rounds of {sessions} sessions");
    for (name, night) in [("a night", PHI), ("a night of 1 MiB", &padded)] {
        // Warm-up.
        plain.session_time(night, 2).await;
        wiping.session_time(night, 2).await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push((
                plain.session_time(night, sessions).await,
                wiping.session_time(night, sessions).await,
            ));
        }
        let of = |time: fn(&(f64, f64)) -> f64| median(times.iter().map(time).collect());
        println!(
            "{name:<18} plain {:>7.1} us   wiping {:>7.1} us   ratio {:.3}",
            of(|(plain, _)| *plain),
            of(|(_, wiping)| *wiping),
            of(|(plain, wiping)| wiping / plain)
        );
    }
}

/// A server that ends with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: PathBuf, socket: &str) -> Self {
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--tokens-per-second", "10000", "--socket", socket])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        let address =
            first.trim_end().strip_prefix("Starting Server.. listening on ").unwrap().parse().unwrap();
        // It goes on writing.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { process, address }
    }

    /// Microseconds of processor time for each of so many sessions, one after another.
    async fn session_time(&self, night: &str, sessions: u32) -> f64 {
        let before = self.run_time();
        for _ in 0..sessions {
            let mut client = Client::connect(self.address).await;
            client.token().await;
            client.ask(night).await;
            assert_eq!(client.closed().await.0, 1000);
        }
        (self.run_time() - before) as f64 / 1000.0 / f64::from(sessions)
    }

    /// Nanoseconds that its threads have run so far.
    fn run_time(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let run = |task: fs::DirEntry| {
            let times = fs::read_to_string(task.path().join("schedstat")).unwrap();
            times.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        tasks.map(|task| run(task.unwrap())).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
