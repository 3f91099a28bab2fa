//! The program itself, started on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use mock_launcher::{MockLauncher, Pki, Running};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

/// The program under test: this build's, or another that `USLEEP_PROGRAM` names, such as an image's.
pub fn program() -> PathBuf {
    std::env::var_os("USLEEP_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_usleep").into(), PathBuf::from)
}

/// A started `usleep`, killed when its test fails half-way.
pub struct Program {
    pub child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    reading: JoinHandle<()>,
    /// What it has written to standard error so far.
    stderr: watch::Receiver<String>,
    /// What it has written to standard output so far.
    seen: String,
}

/// How it ended and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// With these variables, and none of ours from elsewhere.
    pub fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("USLEEP_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (written, stderr) = watch::channel(String::new());
        // Read all the time, so that it never waits for us.
        let reading = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                written.send_modify(|text| *text += &format!("{line}\n"));
            }
        });
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, reading, stderr, seen: String::new() }
    }

    /// Waits for its first line, which has its address.
    pub async fn ready(&mut self) -> SocketAddr {
        let mut line = String::new();
        soon("usleep's first line", self.stdout.as_mut().unwrap().read_line(&mut line)).await.unwrap();
        self.seen.push_str(&line);
        let address = line.trim_end().strip_prefix("Starting Server.. listening on ");
        address.unwrap_or_else(|| panic!("wanted the first line, got {line:?}")).parse().unwrap()
    }

    /// Waits until it has logged this so many times.
    pub async fn logged(&mut self, part: &str, times: usize) {
        let logged = self.stderr.wait_for(|text| text.matches(part).count() >= times);
        soon(&format!("{times} log lines with {part:?}"), logged).await.unwrap();
    }

    /// Waits until it has logged a line with this part, and gives the first.
    pub async fn line(&mut self, part: &str) -> String {
        self.logged(part, 1).await;
        let text = self.stderr.borrow();
        text.lines().find(|line| line.contains(part)).unwrap().to_owned()
    }

    /// Closes our ends of its standard output and error.
    pub async fn stop_reading(&mut self) {
        self.stdout = None;
        self.reading.abort();
        while !self.reading.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    pub async fn ended(mut self) -> Ended {
        if let Some(stdout) = &mut self.stdout {
            soon("the end of usleep's report", stdout.read_to_string(&mut self.seen)).await.unwrap();
        }
        let code = soon("usleep's end", self.child.wait()).await.unwrap().code();
        // Its last lines.
        let _ = soon("the end of usleep's log", self.reading).await;
        let stderr = self.stderr.borrow().clone();
        Ended { code, stdout: self.seen, stderr }
    }

    pub async fn terminated(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await
    }
}

/// A mock launcher, and the folder of its socket.
pub async fn launcher() -> (Running, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("teeserver.sock");
    let running = MockLauncher::builder(Pki::shared_for_tests().unwrap()).start(&socket).await.unwrap();
    (running, socket.to_str().unwrap().to_owned(), folder)
}
