//! The program itself, started on a free port.

use std::net::SocketAddr;
use std::process::Stdio;

use mock_launcher::{MockLauncher, Pki, Running};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// A started `usleep`, killed when its test fails half-way.
pub struct Program {
    pub child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_usleep"));
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
        let mut pipe = child.stderr.take().unwrap();
        // Read all the time, so that it never waits for us.
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            pipe.read_to_string(&mut text).await.unwrap();
            text
        });
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, stderr, seen: String::new() }
    }

    /// Waits for its first line, which has its address.
    pub async fn ready(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).await.unwrap();
        self.seen.push_str(&line);
        let address = line.trim_end().strip_prefix("Starting Server.. listening on ");
        address.unwrap_or_else(|| panic!("wanted the first line, got {line:?}")).parse().unwrap()
    }

    /// Closes our ends of its standard output and error.
    pub async fn stop_reading(&mut self) {
        self.stdout = None;
        self.stderr.abort();
        while !self.stderr.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    pub async fn ended(mut self) -> Ended {
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut self.seen).await.unwrap();
        }
        let code = self.child.wait().await.unwrap().code();
        Ended { code, stdout: self.seen, stderr: self.stderr.await.unwrap_or_default() }
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
