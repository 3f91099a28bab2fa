//! A USleep's process: what it says, what it holds, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::programs::Programs;
use crate::sessions::Canary;

/// What peers that all have one address, and bursts of them, need raised, and nothing else.
const RAISED: [&str; 3] =
    ["--max-connections-per-address=4096", "--max-sessions-waiting=1024", "--tokens-per-second=1000"];

/// How often a figure is looked at again that is to become another.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running USleep; it is killed with this.
pub struct UsleepProcess {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    said: Arc<Mutex<Said>>,
    reading: Vec<JoinHandle<()>>,
}

/// What it has said so far. The lines themselves are not kept: a soak is long.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Sessions by outcome, as its log has them.
    pub outcomes: BTreeMap<String, u64>,
    /// Lines with health data in them.
    pub leaks: u64,
    /// The last lines of its log, for people.
    pub last: Vec<String>,
}

impl Said {
    /// Sessions with this outcome.
    pub fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    fn hear(&mut self, line: &str, canary: &Canary) {
        self.leaks += u64::from(canary.is_in(line.as_bytes()));
        let Ok(logged) = serde_json::from_str::<serde_json::Value>(line) else { return };
        if let Some(outcome) = logged.get("outcome").and_then(serde_json::Value::as_str) {
            *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        if self.last.len() == 20 {
            self.last.remove(0);
        }
        self.last.push(line.to_owned());
    }
}

/// Where the allowed values for clients are, beside the launcher's socket.
pub(crate) fn client_baseline(socket: &Path) -> PathBuf {
    socket.with_file_name("client_baseline.json")
}

impl UsleepProcess {
    /// Starts one at this address, port 0 for any; it serves when this returns. Its words are looked through for the
    /// canary.
    pub async fn start(programs: &Programs, socket: &Path, at: SocketAddr, canary: &Canary) -> Self {
        let mut command = programs.usleep_command();
        let listen = format!("--listen={at}");
        command.args([listen.as_str(), "--log-format=json"]).args(RAISED).arg("--socket").arg(socket);
        // Owners who offer a proof are asked for it.
        command.args(["--attest-client", "auto", "--client-root"]).arg(programs.root());
        command.arg("--client-baseline").arg(client_baseline(socket));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let said = Arc::<Mutex<Said>>::default();
        let mut report = BufReader::new(child.stdout.take().unwrap());
        let log = tokio::spawn(hear(child.stderr.take().unwrap(), Arc::clone(&said), canary.clone()));
        let mut first = String::new();
        report.read_line(&mut first).await.unwrap();
        let address = first.trim_end().rsplit(' ').next().and_then(|address| address.parse().ok());
        let Some(address) = address else { panic!("usleep did not start: {:?}", said.lock().unwrap().last) };
        let report = tokio::spawn(hear(report, Arc::clone(&said), canary.clone()));
        Self { child, address, said, reading: vec![log, report] }
    }

    /// What it has said so far.
    pub fn said(&self) -> Said {
        self.said.lock().unwrap().clone()
    }

    /// Its resident memory in bytes (proc_pid_statm(5), the second figure, in pages).
    pub fn resident_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap();
        let pages: u64 = statm.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// Its open descriptors; `None` where this user may not look, which for a process that is not dumpable needs the
    /// rights to trace it.
    pub fn descriptors(&self) -> Option<usize> {
        fs::read_dir(format!("/proc/{}/fd", self.id())).ok().map(Iterator::count)
    }

    /// Waits until it has at most so many descriptors open; the number at the end of `patience` or before.
    pub async fn descriptors_down_to(&self, most: usize, patience: Duration) -> Option<usize> {
        let until = Instant::now() + patience;
        loop {
            let open = self.descriptors()?;
            if open <= most || Instant::now() >= until {
                return Some(open);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// It may open no descriptor above this number any more; `None`: as many as when it was started.
    pub fn limit_descriptors(&self, most: Option<u64>) {
        let id = Pid::from_raw(i32::try_from(self.id()).unwrap());
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        prlimit(id, Resource::Nofile, Rlimit { current: most.or(maximum), maximum }).unwrap();
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        kill_process(Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for its end: its exit status, `None` if a signal ended it, and all that it said.
    pub async fn ended(mut self) -> (Option<i32>, Said) {
        let code = self.child.wait().await.unwrap().code();
        for reading in self.reading.drain(..) {
            reading.await.unwrap();
        }
        (code, self.said())
    }

    fn id(&self) -> u32 {
        self.child.id().expect("usleep has ended by itself")
    }
}

/// Takes in its lines as they come, so that it never waits for us.
async fn hear(stream: impl AsyncRead + Unpin, said: Arc<Mutex<Said>>, canary: Canary) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.lock().unwrap().hear(&line, &canary);
    }
}
