//! The parts that a bench's executable can play.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use mock_launcher::{MockLauncher, Pki};

use crate::process::Process;

/// Argument that makes the executable a USleep; its flags follow.
pub const USLEEP: &str = "--play-usleep";

/// Argument that makes the executable a mocked launcher: socket, latency in milliseconds, `serialize` or `parallel`.
pub const MOCK: &str = "--play-mock";

#[derive(clap::Parser)]
struct Usleep {
    #[command(flatten)]
    arguments: usleep::serve::Arguments,
}

/// Plays the part that the command line asks for; `None`: it asks for none.
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        USLEEP => {
            let Usleep { arguments } =
                Usleep::parse_from(std::iter::once("usleep".to_owned()).chain(arguments));
            usleep::serve::run(arguments).unwrap();
        }
        MOCK => {
            let [socket, latency, order] = [(); 3].map(|()| arguments.next().unwrap());
            mock(Path::new(&socket), Duration::from_millis(latency.parse().unwrap()), order == "serialize");
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Serves tokens; answers each line on standard input with the number of tokens so far.
fn mock(socket: &Path, latency: Duration, serialize: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pki = Pki::shared_for_tests().unwrap();
    let builder = MockLauncher::builder(pki).latency(latency).serialize(serialize);
    let running = runtime.block_on(builder.start(socket)).unwrap();
    println!("ready");
    for _ in std::io::stdin().lock().lines() {
        println!("{}", running.issued());
    }
}

/// A mocked launcher as a process of its own.
pub struct Mock {
    /// The process.
    pub process: Process,
    socket: String,
    _folder: tempfile::TempDir,
}

impl Mock {
    /// Starts one that takes so long for a token.
    pub fn start(latency: Duration, serialize: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("teeserver.sock").to_str().unwrap().to_owned();
        let order = if serialize { "serialize" } else { "parallel" };
        let arguments = [socket.clone(), latency.as_millis().to_string(), order.to_owned()];
        let mut process = Process::start(MOCK, &arguments);
        assert_eq!(process.line(), "ready");
        Self { process, socket, _folder: folder }
    }

    /// Where it listens.
    pub fn socket(&self) -> &str {
        &self.socket
    }
}

/// A mocked launcher and a USleep that asks it.
pub struct Pair {
    /// The mocked launcher.
    pub mock: Mock,
    /// USleep.
    pub usleep: Process,
    /// The port of every local address that USleep listens on.
    pub port: u16,
}

impl Pair {
    /// Starts both; USleep gets these flags beside its address and socket, and logs errors alone.
    pub fn start(latency: Duration, serialize: bool, flags: &[&str]) -> Self {
        let flags = [&["--log-level=error"], flags].concat();
        Self::with_log(latency, serialize, &flags, Stdio::inherit())
    }

    /// The same with a USleep that logs as it does where nobody says otherwise. Its log goes to nobody.
    pub fn start_logging(latency: Duration, serialize: bool, flags: &[&str]) -> Self {
        Self::with_log(latency, serialize, flags, Stdio::null())
    }

    fn with_log(latency: Duration, serialize: bool, flags: &[&str], log: Stdio) -> Self {
        let mock = Mock::start(latency, serialize);
        let mut usleep = Command::new(std::env::current_exe().unwrap());
        usleep.args([USLEEP, "--listen=0.0.0.0:0", &format!("--socket={}", mock.socket())]).args(flags);
        let mut usleep = Process::spawn(usleep.stderr(log));
        let first = usleep.line();
        usleep.drain();
        let port = first.rsplit(':').next().unwrap().parse().unwrap();
        Self { mock, usleep, port }
    }

    /// Tokens made so far.
    pub fn tokens(&mut self) -> u64 {
        self.mock.process.ask("").parse().unwrap()
    }
}

/// The root under which the mocked launcher's tokens are.
pub fn root() -> PathBuf {
    Pki::root_path(&Pki::shared_folder_for_tests().unwrap())
}
