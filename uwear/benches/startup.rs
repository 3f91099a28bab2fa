//! How long USleep takes to listen, and UWear for a whole run, each as a process of its own.
//!
//! In every process the first call of aws-lc's random generator gathers jitter entropy for some tens of
//! milliseconds, a second source beside the system's that stays on. That part is measured alone, in fresh processes
//! that do nothing else, and the limits hold for the rest. It wanders by more than the limits from second to second,
//! with the machine's clock, so each program runs right after it and the rest is the median of the rounds' differences.
//!
//! UWear's run is a release against a USleep on this machine: handshake, token, verification, policy, health data,
//! result. The launcher is the mock, in this process. It is not UWear's: what a token takes over its socket is
//! measured beside each run and printed, and the limit holds as if the token came at once.
//!
//! `cargo bench --package uwear --bench startup`; it fails if every series has a part over its limit. With
//! `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use launcher::{Launcher, TokenRequest, TokenSource as _};
use mock_launcher::{MockLauncher, Pki};

/// From the start of `usleep` to its first line, in milliseconds.
const LISTENING: f64 = 5.0;
/// From the start of `uwear release` to its end, in milliseconds.
const WHOLE_RUN: f64 = 15.0;

const ROUNDS: usize = 20;

/// What else runs on the machine only makes it slower: one series within the limits is enough.
const SERIES: usize = 3;

/// Of the length that a session's has.
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Makes this program the process that only asks for random bytes.
const FIRST_RANDOM: &str = "--first-random";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(FIRST_RANDOM) {
        println!("{}", first_random().as_nanos());
        return ExitCode::SUCCESS;
    }
    // cargo bench says --bench; a debug build in `cargo test --benches` is not judged either.
    let asked = |flag| std::env::args().any(|argument| argument == flag);
    let judged = asked("--bench") && !asked("--test");
    let rounds = if judged { ROUNDS } else { 2 };

    let Some(usleep) = usleep() else {
        eprintln!("startup: no usleep beside uwear: cargo build --release --package usleep");
        return ExitCode::FAILURE;
    };
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::shared_for_tests().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, pki.root_pem()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let launcher =
        runtime.block_on(MockLauncher::builder(pki).start(folder.path().join("teeserver.sock"))).unwrap();
    let server = Server::start(&usleep, launcher.socket()).0;

    // Warm-up: afterwards nothing comes from the disk.
    random_process();
    release(server.address, &root);
    println!("medians of {rounds} rounds, each time in a process of its own");
    for _ in 0..SERIES {
        let mut listening = Part::new("usleep: start to \"Starting Server..\"", LISTENING);
        let mut running = Part::new("uwear release: start to end", WHOLE_RUN);
        for _ in 0..rounds {
            listening.round(0.0, || Server::start(&usleep, launcher.socket()).1);
            running.round(runtime.block_on(token(launcher.socket())), || release(server.address, &root));
        }
        println!();
        let within = [listening, running].iter().filter(|part| part.print()).count() == 2;
        if within || !judged {
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}

/// A program's time, and beside it that of the random generator's first call and of a token from the launcher, where
/// the program waits for one. In milliseconds, a value for each round.
struct Part {
    name: &'static str,
    limit: f64,
    random: Vec<f64>,
    token: Vec<f64>,
    whole: Vec<f64>,
}

impl Part {
    fn new(name: &'static str, limit: f64) -> Self {
        Self { name, limit, random: Vec::new(), token: Vec::new(), whole: Vec::new() }
    }

    fn round(&mut self, token: f64, program: impl FnOnce() -> f64) {
        self.token.push(token);
        self.random.push(random_process());
        self.whole.push(program());
    }

    /// Prints it; whether the rest is within the limit.
    fn print(&self) -> bool {
        let beside = self.random.iter().zip(&self.token).map(|(random, token)| random + token);
        let rest = median(self.whole.iter().zip(beside).map(|(whole, beside)| whole - beside).collect());
        println!("{:<42} {:>7.2} ms", self.name, median(self.whole.clone()));
        println!("{:<42} {:>7.2} ms", "  first call of the random generator", median(self.random.clone()));
        let token = median(self.token.clone());
        if token > 0.0 {
            println!("{:<42} {token:>7.2} ms", "  token from the mock");
        }
        println!("{:<42} {rest:>7.2} ms  (limit {:.0} ms)", "  the rest", self.limit);
        rest <= self.limit
    }
}

fn first_random() -> Duration {
    let start = Instant::now();
    SystemRandom::new().fill(&mut [0; 32]).unwrap();
    start.elapsed()
}

/// Milliseconds that the call took in a process of its own.
fn random_process() -> f64 {
    let output = Command::new(std::env::current_exe().unwrap()).arg(FIRST_RANDOM).output().unwrap();
    assert!(output.status.success());
    let nanoseconds: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    milliseconds(Duration::from_nanos(nanoseconds))
}

/// Milliseconds that the launcher takes for a token, connection included.
async fn token(socket: &Path) -> f64 {
    let request = TokenRequest::pki("uwear", NONCE).unwrap();
    let start = Instant::now();
    Launcher::new(socket).token(&request).await.unwrap();
    milliseconds(start.elapsed())
}

/// The program of the same profile as UWear's. Cargo builds UWear's for this bench, but no other package's.
fn usleep() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_uwear")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "usleep"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().is_ok_and(|status| status.success());
    Some(folder.join("usleep")).filter(|program| built && program.is_file())
}

/// A USleep that ends with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it, and says after how many milliseconds it said that it listens.
    fn start(program: &Path, socket: &Path) -> (Self, f64) {
        let start = Instant::now();
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--socket"])
            .arg(socket)
            // Rounds follow each other sooner than the quota gives tokens, which is not the programs' time.
            .args(["--tokens-per-second", "1000"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        // The pipe may close then: the server goes on without a reader.
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let took = milliseconds(start.elapsed());
        let address = first.trim_end().strip_prefix("Starting Server.. listening on ");
        let address = address.unwrap_or_else(|| panic!("usleep began with {first:?}")).parse().unwrap();
        (Self { process, address }, took)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Milliseconds of a whole run of UWear, which must succeed.
fn release(address: SocketAddr, root: &Path) -> f64 {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_uwear"));
    command.env_clear().stdin(Stdio::null()).arg("release").arg(address.to_string());
    command.arg("--phi").arg(project.join("sleep/testdata/amy.json"));
    command.arg("--baseline").arg(project.join("policy/baseline.json"));
    command.arg("--root").arg(root);
    let start = Instant::now();
    let output = command.output().unwrap();
    let took = milliseconds(start.elapsed());
    assert!(output.status.success(), "uwear: {}", String::from_utf8_lossy(&output.stdout));
    took
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
