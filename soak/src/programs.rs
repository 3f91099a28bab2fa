//! Which programs are run. This executable can be the mocked launcher and a USleep; the real programs are better.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mock_launcher::{Fault, MockLauncher, Pki};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::Command;

/// Argument that makes the executable a mocked launcher: socket and PKI folder follow, then commands on its input.
const LAUNCHER: &str = "--play-launcher";

/// Argument that makes the executable a USleep; its flags follow.
const USLEEP: &str = "--play-usleep";

/// How long a token takes: enough for the others to be killed while one is made.
const TOKEN_LATENCY: Duration = Duration::from_millis(20);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The soak's own executable.
    pub own: PathBuf,
    /// `usleep`; `None`: the soak's own executable plays it.
    pub usleep: Option<PathBuf>,
    /// `uwear`; `None`: scenes that need it are left out.
    pub uwear: Option<PathBuf>,
    /// Folder of the mocked launchers' keys.
    pub pki: PathBuf,
}

impl Programs {
    /// This executable alone, with the keys that tests share.
    pub fn of_tests(own: impl Into<PathBuf>) -> Self {
        Self { own: own.into(), usleep: None, uwear: None, pki: Pki::shared_folder_for_tests().unwrap() }
    }

    /// The certificate of the mocked launchers' root, PEM.
    pub fn root(&self) -> PathBuf {
        Pki::root_path(&self.pki)
    }

    pub(crate) fn launcher_command(&self, socket: &Path) -> Command {
        let mut command = Command::new(&self.own);
        command.arg(LAUNCHER).arg(socket).arg(&self.pki);
        command
    }

    pub(crate) fn usleep_command(&self) -> Command {
        match &self.usleep {
            Some(program) => {
                let mut command = Command::new(program);
                command.arg("serve");
                command
            }
            None => {
                let mut command = Command::new(&self.own);
                command.arg(USLEEP);
                command
            }
        }
    }
}

/// Plays the part that the command line asks for; `None`: it asks for none.
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        LAUNCHER => {
            let [socket, pki] = [(); 2].map(|()| arguments.next().unwrap());
            play_launcher(Path::new(&socket), Path::new(&pki));
        }
        USLEEP => {
            let Usleep { arguments } =
                Usleep::parse_from(std::iter::once("usleep".to_owned()).chain(arguments));
            usleep::serve::run(arguments).unwrap();
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

#[derive(clap::Parser)]
struct Usleep {
    #[command(flatten)]
    arguments: usleep::serve::Arguments,
}

/// Serves tokens until its input ends. Each line on it is the fault to have from then on, `none` for none, and is repeated
/// when it holds.
fn play_launcher(socket: &Path, pki: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let builder = MockLauncher::builder(Pki::load_or_create(pki).unwrap()).latency(TOKEN_LATENCY);
    let running = runtime.block_on(builder.start(socket)).unwrap();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        running.set_fault(match line.as_str() {
            "none" => None,
            name => Some(name.parse::<Fault>().unwrap()),
        });
        println!("{line}");
    }
}

/// Lets this process, and those that it starts, open as many files as the system allows. The number.
pub fn raise_open_files() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    maximum.unwrap_or(u64::MAX)
}
