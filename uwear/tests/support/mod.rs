//! The data owner of the tests: her files, her calls of the real program, and what came of them.

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "../../../session/tests/peers/certificate.rs"]
pub mod certificate;
pub mod honest;
#[path = "../../../session/tests/peers/scripted.rs"]
pub mod scripted;
#[path = "../../../session/tests/peers/tokens.rs"]
pub mod tokens;
#[path = "../../../session/tests/peers/version_1.rs"]
pub mod version_1;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The health data of the tests. Nothing of it may show up where it does not belong, so its values are
/// ones that nothing else has.
pub const PHI: &str = r#"{"name":"canary-name","age":29,"sleep":{"light":{"minutes":270.8317},"deep":{"minutes":134.6229},"rem":{"minutes":104.5457}}}"#;

/// What would betray [`PHI`], with the total that is computed from it.
const CANARIES: [&str; 5] = ["canary-name", "270.8317", "134.6229", "104.5457", "510.0003"];

/// No run of the program takes as long, whatever the server does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The baseline that the project ships: it approves the mock's identity.
pub fn shipped_baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/baseline.json")
}

/// What every report under the mock's root warns of.
pub fn other_roots() -> String {
    let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, tokens::pki().root()));
    format!("Google's root is not trusted here, but sha256 {sha256}: given by --root")
}

/// A folder with the owner's files.
pub struct Owner(TempDir);

impl Owner {
    pub fn new() -> Self {
        let owner = Self(tempfile::tempdir().unwrap());
        owner.file("phi.json", PHI);
        owner
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `uwear release` in wire version 0 with everything it needs, against a server with the mock's root.
    pub fn release(&self, address: SocketAddr) -> Uwear {
        self.release_in(address, "0")
    }

    /// The same in this version of the wire: 0, 1 or auto.
    pub fn release_in(&self, address: SocketAddr, wire: &str) -> Uwear {
        self.release_of("phi.json", address).args(["--wire", wire])
    }

    /// `uwear release` of this file with everything it needs.
    pub fn release_of(&self, phi: &str, address: SocketAddr) -> Uwear {
        self.uwear()
            .arg("release")
            .arg(address.to_string())
            .args(["--phi", phi])
            .option("--baseline", shipped_baseline())
            .option("--root", tokens::root_file())
    }

    /// The program, this build's or another that `UWEAR_PROGRAM` names, run in the owner's folder.
    pub fn uwear(&self) -> Uwear {
        let program = std::env::var_os("UWEAR_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_uwear").into()));
        // Whoever runs the tests may have settings of their own.
        command.env_clear().current_dir(self.0.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Uwear { command, input: None, may_show_the_result: false }
    }
}

/// A call of the program.
pub struct Uwear {
    pub command: Command,
    input: Option<Vec<u8>>,
    may_show_the_result: bool,
}

impl Uwear {
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn option(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn json(self) -> Self {
        self.args(["--format", "json"])
    }

    pub fn print_result(mut self) -> Self {
        self.may_show_the_result = true;
        self.arg("--print-result")
    }

    /// Something to read on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes.into());
        self
    }

    /// Runs it to its end. Unless the result is asked for, nothing it writes may betray the PHI.
    pub async fn ends(self) -> Ended {
        self.ends_with_peak().await.0
    }

    /// The same, and the most memory that it has had, in KiB, as far as a look at it now and then has seen.
    pub async fn ends_with_peak(mut self) -> (Ended, u64) {
        let mut child = self.command.spawn().unwrap();
        let status = format!("/proc/{}/status", child.id().unwrap());
        if let Some(input) = self.input {
            let mut stdin = child.stdin.take().unwrap();
            // A program that refuses its input early closes the pipe.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, &input).await;
        }
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
        tokio::pin!(output);
        let (mut peak, mut often) = (0, tokio::time::interval(Duration::from_millis(5)));
        let output = loop {
            tokio::select! {
                output = &mut output => break output.expect("the program hangs").unwrap(),
                _ = often.tick() => peak = peak.max(high_water_mark(&status)),
            }
        };
        let ended = Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        for canary in CANARIES {
            let shown = self.may_show_the_result || !ended.stdout.contains(canary);
            assert!(shown && !ended.stderr.contains(canary), "PHI was shown: {ended}");
        }
        assert!(!ended.stderr.contains("panicked"), "{ended}");
        (ended, peak)
    }
}

/// `VmHWM` of proc(5); 0 once the process has ended.
fn high_water_mark(status: &str) -> u64 {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// How the program ended, and what it said.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Ended {
    #[track_caller]
    pub fn with_code(self, wanted: i32) -> Self {
        assert_eq!(self.code, Some(wanted), "{self}");
        self
    }

    /// Each of these is on standard output or standard error.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for words in words {
            assert!(self.stdout.contains(words) || self.stderr.contains(words), "no {words:?}: {self}");
        }
        self
    }

    /// Nothing on standard output; on standard error one line that says what and where, and one that says what to do next.
    #[track_caller]
    pub fn with_one_complaint(self, words: &[&str]) -> Self {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [complaint, next] = lines[..] else { panic!("wanted a complaint and a next step: {self}") };
        assert!(complaint.starts_with("uwear: ") && self.stdout.is_empty(), "{self}");
        assert!(next.starts_with("      next     ") && next.len() > 20, "{self}");
        for words in words {
            assert!(complaint.contains(words), "no {words:?}: {self}");
        }
        self
    }

    /// The one object on standard output, and nothing beside it.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self}");
        let object: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(object.is_object(), "{self}");
        object
    }
}

/// What of [`PHI`] this text betrays.
pub fn canaries_in(text: &str) -> Vec<&'static str> {
    CANARIES.into_iter().filter(|canary| text.contains(canary)).collect()
}

pub fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Names of the checks and rules of a JSON report that came to `ok`, `allow` left out.
pub fn named(report: &Value, ok: Option<bool>) -> BTreeSet<String> {
    let rows = ["checks", "rules"].into_iter().flat_map(|part| report[part].as_array().unwrap());
    rows.filter(|row| row["name"] != "allow" && row["ok"].as_bool() == ok)
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs the rows of a table side by side, each to its end, so that one run shows all rows that are wrong. Only so
/// many at once that a busy machine keeps the program's own time limits.
pub async fn all_pass(rows: impl IntoIterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let room = Arc::new(Semaphore::new(6));
    let mut running = JoinSet::new();
    for row in rows {
        let room = Arc::clone(&room);
        running.spawn(async move {
            let _room = room.acquire_owned().await;
            row.await;
        });
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        failed += usize::from(ended.is_err());
    }
    assert_eq!(failed, 0, "rows that failed");
}

pub fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
