//! The soak's program, for `scripts/soak.sh`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use soak::programs::{self, Programs};
use soak::rounds;
use soak::scenes::Scene;
use soak::stand::{Scale, Stand};

/// As in what ships, where this executable plays a part of it.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// Plays bad days with usleep and uwear until the time is over, and at least ten rounds
///
/// Prints a line for each round and the tally as the last line.
#[derive(Debug, Parser)]
#[command(name = "soak", after_help = "Exit status: 0 all held, 1 something did not.")]
struct CommandLine {
    /// How long, for example 10m
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Duration,

    /// Folder of the programs usleep and uwear
    #[arg(long)]
    bin: PathBuf,

    /// Folder of the mocked launchers' keys
    #[arg(long)]
    pki: PathBuf,

    /// Plays the same again; a new one unless given
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    if let Some(ended) = programs::play() {
        return ended;
    }
    let CommandLine { time, bin, pki, seed } = CommandLine::parse();
    let files = programs::raise_open_files();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let scale = Scale::FULL;
    println!("seed {seed}, {} scenes a round, {scale:?}, {files} open files at most", Scene::ALL.len());
    let own = std::env::current_exe().unwrap();
    let programs = Programs { own, usleep: Some(bin.join("usleep")), uwear: Some(bin.join("uwear")), pki };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let stand = Stand::new(programs, scale, seed).await;
        rounds::play(stand, time).await
    });
    for line in ended.by_name() {
        println!("{line}");
    }
    println!("soak, seed {seed}: {ended}");
    if ended.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
