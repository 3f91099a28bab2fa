//! What the scenes are played on.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use tempfile::TempDir;

use crate::account::Account;
use crate::launcher::LauncherProcess;
use crate::owners::Uwear;
use crate::programs::Programs;
use crate::sessions::Owners;
use crate::usleep::{Said, UsleepProcess, client_baseline};

/// Any port of this machine's own.
pub const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Sessions of a crowd.
    pub sessions: usize,
    /// Of them at the same time.
    pub at_once: usize,
    /// Peers that take their time.
    pub slow_peers: usize,
    /// Sessions beside them.
    pub beside_them: usize,
    /// `uwear` programs.
    pub programs: usize,
}

impl Scale {
    /// As `scripts/soak.sh` plays it.
    pub const FULL: Self =
        Self { sessions: 48, at_once: 16, slow_peers: 1000, beside_them: 100, programs: 10 };

    /// For `cargo test`.
    pub const QUICK: Self = Self { sessions: 12, at_once: 6, slow_peers: 40, beside_them: 12, programs: 0 };
}

/// A launcher, a USleep that lives through everything, one that does not, and the owners.
pub struct Stand {
    /// Where programs are started from.
    pub programs: Programs,
    /// How much of everything.
    pub scale: Scale,
    /// All chance.
    pub rng: fastrand::Rng,
    /// Who asks.
    pub owners: Arc<Owners>,
    /// Who asks by a program of its own.
    pub uwear: Option<Uwear>,
    /// The launcher of both USleeps.
    pub launcher: LauncherProcess,
    /// The one that has to live through everything.
    pub usleep: UsleepProcess,
    /// The one that is killed.
    pub mortal: Option<UsleepProcess>,
    /// What the USleeps that have ended said.
    pub ledger: Ledger,
    folder: TempDir,
}

impl Stand {
    /// Starts launcher and USleep.
    pub async fn new(programs: Programs, scale: Scale, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("teeserver.sock");
        fs::write(client_baseline(&socket), policy::CLIENT_BASELINE).unwrap();
        let launcher = LauncherProcess::start(&programs, &socket).await;
        let owners = Arc::new(Owners::new(&programs.pki, &mut rng));
        let usleep = UsleepProcess::start(&programs, &socket, ANYWHERE, owners.canary()).await;
        let uwear = Uwear::new(&programs, folder.path());
        Self {
            programs,
            scale,
            rng,
            owners,
            uwear,
            launcher,
            usleep,
            mortal: None,
            ledger: Ledger::default(),
            folder,
        }
    }

    /// Another USleep with the same launcher.
    pub async fn another_usleep(&self, at: SocketAddr) -> UsleepProcess {
        let socket = self.folder.path().join("teeserver.sock");
        UsleepProcess::start(&self.programs, &socket, at, self.owners.canary()).await
    }
}

/// What the USleeps that have ended said of their sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Sessions that they have answered.
    pub answered: u64,
    /// USleeps that were killed, and could not write down the last of them.
    pub killed: u64,
}

impl Ledger {
    /// Ends a USleep by SIGTERM. It must end well and have said nothing of health data.
    pub async fn end(&mut self, usleep: UsleepProcess, account: &mut Account) -> Said {
        usleep.terminate();
        let (code, said) = usleep.ended().await;
        account
            .check(code == Some(0), format_args!("usleep: wanted exit status 0 after SIGTERM, got {code:?}"));
        let last = said.last.iter().any(|line| line.contains("\"ended\""));
        account
            .check(last, format_args!("usleep: wanted a last line that says so, got {:?}", said.last.last()));
        self.hear(&said, account);
        said
    }

    /// Ends a USleep by `kill -9`.
    pub async fn kill(&mut self, mut usleep: UsleepProcess, account: &mut Account) {
        usleep.kill().await;
        let (_, said) = usleep.ended().await;
        self.killed += 1;
        self.hear(&said, account);
    }

    fn hear(&mut self, said: &Said, account: &mut Account) {
        account.check(said.leaks == 0, format_args!("usleep: {} lines with health data in them", said.leaks));
        self.answered += said.count("answered");
    }
}
