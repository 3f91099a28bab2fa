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

use std::path::PathBuf;
use std::process::Stdio;

use attestation::message::MAX_PHI_BYTES;
use common::program::{Ended, Program, launcher, program};
use data::{NIGHT, WRONG_NIGHTS, of_the_night, of_the_result, texts_of_the_night};
use memory::{Canary, Found, look, may_look};
use mock_launcher::Pki;
use owner::{BINARY, CONTINUED, LAST, Owner, TEXT, Wire};
use tokio::process::Command;

/// A running USleep, and how many of its sessions have ended.
struct Observed {
    program: Program,
    process: u32,
    ended: usize,
    /// Whether its memory can be looked into.
    readable: bool,
}

impl Observed {
    async fn start(socket: &str) -> (Self, std::net::SocketAddr) {
        let flags =
            ["--listen", "127.0.0.1:0", "--socket", socket, "--log-format", "json", "--log-level", "trace"];
        let mut program = Program::start(&flags);
        let address = program.ready().await;
        let process = program.child.id().unwrap();
        let readable = may_look(process, "usleep");
        (Self { program, process, ended: 0, readable }, address)
    }

    /// Whether all of these are in its memory now.
    fn holds(&self, canaries: &[Canary]) -> bool {
        let found = if self.readable { look(self.process, canaries) } else { return true };
        canaries.iter().all(|canary| found.iter().any(|found| found.canary == canary.name))
    }

    /// Waits until one more session has ended, and gives what is left of it.
    async fn left(&mut self, canaries: &[Canary]) -> Vec<Found> {
        self.ended += 1;
        self.program.logged("\"outcome\":", self.ended).await;
        if !self.readable {
            return Vec::new();
        }
        // How it ended is written by the session itself: its last buffers are freed right afterwards.
        let mut looks = (0..20).map(|_| look(self.process, canaries));
        looks.find(Vec::is_empty).unwrap_or_else(|| look(self.process, canaries))
    }
}

/// Nothing that was written may tell of the data.
fn assert_tells_nothing(written: &[u8], of: &str, canaries: &[Canary]) {
    let told: Vec<_> =
        canaries.iter().filter(|canary| canary.is_in(written)).map(|canary| &canary.name).collect();
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
            while !usleep.holds(&texts_of_the_night()) {
                tokio::task::yield_now().await;
            }
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

    let ended = usleep.program.terminated().await;
    assert_eq!(ended.code, Some(0));
    for (of, written) in [("standard output", &ended.stdout), ("the log", &ended.stderr)] {
        assert_tells_nothing(written.as_bytes(), of, &canaries);
    }
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
        let output = command.output().await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }
}

#[tokio::test]
async fn nothing_is_left_when_uwear_releases_to_usleep() {
    let (_launcher, socket, _folder) = launcher().await;
    let (mut usleep, address) = Observed::start(&socket).await;
    let address = address.to_string();
    let owner = Owners::new();
    let mut canaries = of_the_night();

    for (result, format) in [("1.json", "text"), ("2.json", "json")] {
        let ended = owner.release(&address, NIGHT, &["--result", result, "--format", format]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        canaries.extend(of_the_result(&owner.file(result)));
        assert!(
            canaries.iter().any(|canary| canary.is_in(&owner.file(result))),
            "what is looked for can be found"
        );
        assert_eq!(usleep.left(&canaries).await, [], "--format {format}");
        assert_tells_nothing(ended.stdout.as_bytes(), "UWear's report", &canaries);
        assert_tells_nothing(ended.stderr.as_bytes(), "UWear's standard error", &canaries);
    }

    // Refused before anything is dialled.
    for (path, night) in WRONG_NIGHTS {
        for format in ["text", "json"] {
            let ended = owner.release(&address, &night(), &["--format", format]).await;
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.stderr.contains(&format!(" {path}: ")), "{path}: {ended:?}");
            assert_tells_nothing(ended.stdout.as_bytes(), path, &canaries);
            assert_tells_nothing(ended.stderr.as_bytes(), path, &canaries);
        }
    }

    let ended = usleep.program.terminated().await;
    for (of, written) in [("standard output", &ended.stdout), ("the log", &ended.stderr)] {
        assert_tells_nothing(written.as_bytes(), of, &canaries);
    }
}
