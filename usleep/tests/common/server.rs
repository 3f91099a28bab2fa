//! The server in the process of the test: limits that a test can wait for, and its log as JSON.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::json::object_with_unique_names;
use launcher::{DeskOptions, Launcher, TokenDesk};
use mock_launcher::{Builder, Fault, MockLauncher, Pki, Running};
use serde_json::Value;
use session::{Identity, Limits, Server};
use sleep::RuleSet;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use usleep::logging;
use usleep::workload::SleepAnalysis;

/// Longer than any session of a test takes to end by itself.
const DRAIN: Duration = Duration::from_secs(20);

/// A server on a free port, with a mock launcher of its own. Must live in a test of the current-thread runtime:
/// the log is that of this thread.
pub struct TestServer {
    pub address: SocketAddr,
    pub launcher: Running,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    log: Log,
    _folder: TempDir,
    _logging: DefaultGuard,
}

impl TestServer {
    pub async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None, DRAIN).await
    }

    pub async fn start_with(limits: Limits, fault: Option<Fault>, drain: Duration) -> Self {
        Self::configured(limits, |mock| mock.fault(fault), drain, |server| server).await
    }

    /// With a launcher and a server that are set up further.
    pub async fn configured(
        limits: Limits,
        launcher: impl FnOnce(Builder) -> Builder,
        drain: Duration,
        configure: impl FnOnce(Server<SleepAnalysis>) -> Server<SleepAnalysis>,
    ) -> Self {
        let log = Log::default();
        let subscriber = logging::as_json("trace".parse().unwrap(), log.clone());
        let logging = tracing::subscriber::set_default(subscriber);
        let folder = tempfile::tempdir().unwrap();
        let launcher = launcher(MockLauncher::builder(Pki::shared_for_tests().unwrap()))
            .start(folder.path().join("teeserver.sock"))
            .await
            .unwrap();
        let desk = TokenDesk::new(Arc::new(Launcher::new(launcher.socket())), desk_options());
        let workload = SleepAnalysis::new(RuleSet::Codelab);
        let server = Server::new(Identity::generate().unwrap(), desk, "uwear", workload, limits).unwrap();
        let server = configure(server);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, shutdown.clone(), drain));
        Self { address, launcher, shutdown, serving, log, _folder: folder, _logging: logging }
    }

    /// Tells it to end.
    pub fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Waits until every session has ended, and gives what was logged of how each did.
    pub async fn outcomes(self) -> Vec<Value> {
        let lines = self.log().await.into_iter();
        lines.filter(|line| line.get("outcome").is_some()).collect()
    }

    /// Waits until every session has ended, and gives the log.
    pub async fn log(self) -> Vec<Value> {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        let log = self.log.text();
        for canary in super::CANARIES {
            assert!(!log.contains(canary), "{canary} in the log: {log}");
        }
        // No name twice: readers disagree on which one counts.
        let line = |line: &str| Value::Object(object_with_unique_names(line.as_bytes()).unwrap());
        log.lines().map(line).collect()
    }
}

/// As fast as the launcher is, and soon at its end: neither quota nor patience is what these tests are about.
fn desk_options() -> DeskOptions {
    let deadline = Duration::from_secs(2);
    DeskOptions { tokens_per_second: 10_000.0, deadline, ..DeskOptions::default() }
}

/// Collects a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
