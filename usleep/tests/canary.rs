//! Nothing left behind: health data with a canary in every field passes through the running programs, and the canaries
//! are then looked for in everything that they wrote and in the whole memory of USleep.
//!
//! Reading the memory of a process that is not dumpable takes CAP_SYS_PTRACE: run these tests as root, or with
//! `unshare --map-root-user cargo test --package usleep --test canary`. Where that is missing they say so and look at
//! what was written alone; if `CI` or `CANARY_MUST_RUN` is set, they fail.
//!
//! `USLEEP_PROGRAM` and `UWEAR_PROGRAM` name other programs than this build's: what is left on a stack or in a
//! register's place depends on the optimisation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod common;
#[path = "canary/data.rs"]
mod data;
#[path = "../../hardening/tests/memory/mod.rs"]
mod memory;
#[path = "canary/owner.rs"]
mod owner;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use attestation::message::MAX_PHI_BYTES;
use common::program::{Ended, Program, launcher, program};
use common::soon;
use data::{NIGHT, WRONG_NIGHTS, of_the_night, of_the_result, texts_of_the_night};
use memory::{Canary, Found, look, may_look, names_in};
use mock_launcher::Pki;
use owner::{BINARY, CONTINUED, LAST, Owner, TEXT, Wire};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// A running USleep, and how many of its sessions have ended.
struct Observed {
    program: Program,
    process: u32,
    /// Where its metrics are.
    metrics: String,
    ended: u64,
    /// Whether its memory can be looked into.
    readable: bool,
}

impl Observed {
    async fn start(socket: &str) -> (Self, SocketAddr) {
        let flags =
            ["--listen", "127.0.0.1:0", "--socket", socket, "--log-format", "json", "--log-level", "trace"];
        let more = ["--tokens-per-second", "100", "--metrics-listen", "0", "--metrics-log-interval", "1s"];
        let mut program = Program::start(&[&flags[..], &more].concat());
        let address = program.ready().await;
        let serving: Value = serde_json::from_str(&program.line("metrics are served").await).unwrap();
        let metrics = serving["address"].as_str().unwrap().to_owned();
        let process = program.child.id().unwrap();
        let readable = may_look(process, "usleep");
        (Self { program, process, metrics, ended: 0, readable }, address)
    }

    /// What a scraper of its metrics is told.
    async fn metrics(&self) -> String {
        let scrape = async {
            let mut tcp = TcpStream::connect(&self.metrics).await.unwrap();
            tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut text = String::new();
            tcp.read_to_string(&mut text).await.unwrap();
            text
        };
        soon("its metrics", scrape).await
    }

    /// How many sessions have ended, however they did.
    async fn sessions(&self) -> u64 {
        let metrics = self.metrics().await;
        let counts = metrics.lines().filter_map(|line| line.strip_prefix("usleep_sessions_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Whether all of these are in its memory now.
    fn holds(&self, canaries: &[Canary]) -> bool {
        let found = if self.readable { look(self.process, canaries) } else { return true };
        canaries.iter().all(|canary| found.iter().any(|found| found.canary == canary.name))
    }

    /// Waits until one more session has ended, and gives what is left of it.
    async fn left(&mut self, canaries: &[Canary]) -> Vec<Found> {
        self.ended += 1;
        let ended = async {
            while self.sessions().await < self.ended {
                tokio::task::yield_now().await;
            }
        };
        soon(&format!("the end of session {}", self.ended), ended).await;
        if !self.readable {
            return Vec::new();
        }
        // It is counted by the session itself: its last buffers are freed right afterwards.
        let mut looks = (0..20).map(|_| look(self.process, canaries));
        looks.find(Vec::is_empty).unwrap_or_else(|| look(self.process, canaries))
    }

    /// Ends it: nothing that it has ever said may tell of the data.
    async fn tells_nothing(mut self, canaries: &[Canary]) {
        assert_tells_nothing(self.metrics().await.as_bytes(), "its metrics", canaries);
        self.program.logged("\"metrics\"", 1).await;
        let ended = self.program.terminated().await;
        assert_eq!(ended.code, Some(0));
        assert_tells_nothing(ended.stdout.as_bytes(), "its standard output", canaries);
        assert_tells_nothing(ended.stderr.as_bytes(), "its log", canaries);
    }
}

/// Nothing that was written may tell of the data.
fn assert_tells_nothing(written: &[u8], of: &str, canaries: &[Canary]) {
    let told = names_in(written, canaries);
    assert!(told.is_empty(), "{told:?} in {of}: {}", String::from_utf8_lossy(written));
}

#[tokio::test]
async fn nothing_of_a_session_is_left_in_memory_or_written() {
    let (_launcher, socket, _folder) = launcher().await;
    let (mut usleep, address) = Observed::start(&socket).await;
    let mut canaries = of_the_night();
    let padded = format!("{NIGHT}{}", " ".repeat(MAX_PHI_BYTES - NIGHT.len()));

    for wire in [Wire::V0, Wire::V1] {
        for night in [NIGHT, &padded] {
            let mut owner = Owner::connect(address, wire).await;
            assert!(usleep.holds(&owner.needed_secrets()), "what is looked for is there to be found");
            let message = owner.message(night);
            let (first, rest) = message.split_at(message.len() - night.len() + NIGHT.len() - 1);
            owner.send(BINARY, first).await;
            // Read as far as it was sent: the end of the message is missing.
            let read = async {
                while !usleep.holds(&texts_of_the_night()) {
                    tokio::task::yield_now().await;
                }
            };
            soon("what was sent to be in its memory", read).await;
            owner.send(LAST | CONTINUED, rest).await;
            let result = owner.result().await;
            assert_eq!(owner.closed().await, 1000);
            canaries.extend(of_the_result(&result));
            canaries.extend(owner.leave());
            assert_eq!(usleep.left(&canaries).await, [], "after an answer");
        }

        for (path, night) in WRONG_NIGHTS {
            let night = night();
            let mut owner = Owner::connect(address, wire).await;
            owner.send(LAST | BINARY, &owner.message(&night)).await;
            assert_eq!(owner.closed().await, 1008, "{night}");
            canaries.extend(owner.leave());
            assert_eq!(usleep.left(&canaries).await, [], "after a refusal: {path}");
            usleep.program.logged(&format!("the PHI cannot be used: {path}: "), 1).await;
        }

        let mut owner = Owner::connect(address, wire).await;
        owner.send(LAST | TEXT, NIGHT.as_bytes()).await;
        assert_eq!(owner.closed().await, 1003);
        canaries.extend(owner.leave());
        assert_eq!(usleep.left(&canaries).await, [], "after a message of another type");

        let mut owner = Owner::connect(address, wire).await;
        owner.announce(LAST | BINARY, 2 * MAX_PHI_BYTES).await;
        owner.send_bytes(NIGHT.as_bytes()).await;
        assert_eq!(owner.closed().await, 1009);
        canaries.extend(owner.leave());
        assert_eq!(usleep.left(&canaries).await, [], "after a message that is too long");

        let mut owner = Owner::connect(address, wire).await;
        owner.send(BINARY, NIGHT.as_bytes()).await;
        canaries.extend(owner.leave());
        assert_eq!(usleep.left(&canaries).await, [], "after an owner who left in the middle");
    }

    let mut owner = Owner::connect(address, Wire::V1).await;
    owner.send(LAST | BINARY, &owner.message(&format!("{NIGHT}\n{NIGHT}\n"))).await;
    let (_, results) = owner.receive().await;
    owner.send(LAST | TEXT, br#"{"end":true,"messages":1}"#).await;
    let summary = owner.result().await;
    assert_eq!(owner.closed().await, 1000);
    canaries.extend([of_the_result(&results), of_the_result(&summary), owner.leave()].into_iter().flatten());
    assert_eq!(usleep.left(&canaries).await, [], "after many nights");

    usleep.tells_nothing(&canaries).await;
}

/// Both programs of this build; UWear is built if `cargo test` has not done it, as for one package alone.
fn uwear() -> PathBuf {
    if let Some(named) = std::env::var_os("UWEAR_PROGRAM") {
        return named.into();
    }
    let beside = program().with_file_name("uwear");
    if !beside.is_file() {
        let mut build = std::process::Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "uwear"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if beside.parent().unwrap().ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    beside
}

/// The files that one owner has, and her calls of UWear.
struct Owners {
    folder: tempfile::TempDir,
}

impl Owners {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::copy(project.join("policy/baseline.json"), folder.path().join("baseline.json")).unwrap();
        std::fs::write(folder.path().join("root.pem"), Pki::shared_for_tests().unwrap().root_pem()).unwrap();
        Self { folder }
    }

    async fn release(&self, address: &str, night: &str, more: &[&str]) -> Ended {
        std::fs::write(self.folder.path().join("night.json"), night).unwrap();
        let mut command = Command::new(uwear());
        command.args([
            "release",
            address,
            "--phi",
            "night.json",
            "--baseline",
            "baseline.json",
            "--root",
            "root.pem",
        ]);
        command
            .args(more)
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = soon("UWear's end", command.output()).await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }

    /// Neither what this call has written to the terminal nor what is left in files, the data itself apart.
    fn tells_nothing(&self, ended: &Ended, canaries: &[Canary]) {
        assert_tells_nothing(ended.stdout.as_bytes(), "UWear's report", canaries);
        assert_tells_nothing(ended.stderr.as_bytes(), "UWear's standard error", canaries);
        assert_tells_nothing(&self.file("audit.log"), "the audit log", canaries);
        let Ok(evidence) = std::fs::read_dir(self.folder.path().join("evidence")) else { return };
        for file in evidence.map(|file| file.unwrap().path()) {
            assert_tells_nothing(&std::fs::read(&file).unwrap(), "the evidence", canaries);
        }
    }
}

#[tokio::test]
async fn nothing_is_left_when_uwear_releases_to_usleep() {
    let (_launcher, socket, _folder) = launcher().await;
    let (mut usleep, address) = Observed::start(&socket).await;
    let address = address.to_string();
    let owner = Owners::new();
    let mut canaries = of_the_night();

    let many = format!("{NIGHT}\n").repeat(100);
    let rows: [(&str, &[&str]); 3] = [
        (NIGHT, &["--wire", "0"]),
        (NIGHT, &["--wire", "1", "--format", "json", "--evidence", "evidence"]),
        (&many, &["--nights"]),
    ];
    for (night, more) in rows {
        let more = [more, &["--result", "result.json", "--audit-log", "audit.log"]].concat();
        let ended = owner.release(&address, night, &more).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let result = owner.file("result.json");
        canaries.extend(of_the_result(&result));
        assert!(!names_in(&result, &canaries).is_empty(), "what is looked for is there to be found");
        std::fs::remove_file(owner.folder.path().join("result.json")).unwrap();
        assert_eq!(usleep.left(&canaries).await, [], "{more:?}");
        owner.tells_nothing(&ended, &canaries);
    }

    // Refused before anything is dialled.
    for (path, night) in WRONG_NIGHTS {
        let ended =
            owner.release(&address, &night(), &["--format", "json", "--audit-log", "audit.log"]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(&format!(" {path}: ")), "{path}: {ended:?}");
        owner.tells_nothing(&ended, &canaries);
    }

    usleep.tells_nothing(&canaries).await;
}
