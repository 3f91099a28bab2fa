//! A mocked launcher that can be told what to do wrong, and killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use mock_launcher::Fault;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::programs::Programs;

/// A launcher's process; it ends with this.
pub struct LauncherProcess {
    programs: Programs,
    socket: PathBuf,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl LauncherProcess {
    /// Starts one; it serves when this returns.
    pub async fn start(programs: &Programs, socket: &Path) -> Self {
        let mut command = programs.launcher_command(socket);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next_line().await.unwrap().as_deref(), Some("ready"), "the mocked launcher");
        Self { programs: programs.clone(), socket: socket.to_owned(), child, input, output }
    }

    /// Every token has this fault from now on.
    pub async fn fault(&mut self, fault: Option<Fault>) {
        let name = fault.map_or("none", |fault| fault.name());
        self.input.write_all(format!("{name}\n").as_bytes()).await.unwrap();
        assert_eq!(self.output.next_line().await.unwrap().as_deref(), Some(name));
    }

    /// Ends it as `kill -9` does; its socket's file stays.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it anew, without a fault.
    pub async fn start_again(&mut self) {
        let fresh = Self::start(&self.programs, &self.socket).await;
        *self = fresh;
    }
}
