//! The desk, the client and the mock launcher over a real socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use launcher::{DeskError, DeskOptions, Failure, Launcher, LauncherError, Progress, Token, TokenDesk};
use mock_launcher::{Fault, MockLauncher, Pki, Running};
use tempfile::TempDir;

use crate::script::{UWEAR, leaf, lone_request, ms, pass};

/// A place for a socket, where a launcher is or is not.
struct Place {
    socket: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { socket: folder.path().join("teeserver.sock"), _folder: folder }
    }

    async fn launcher(&self) -> Running {
        let mock = MockLauncher::builder(Pki::shared_for_tests().unwrap());
        mock.start(&self.socket).await.unwrap()
    }

    fn desk(&self) -> TokenDesk {
        self.desk_of(Launcher::new(&self.socket))
    }

    /// A launcher's own time is shorter than the sessions', so that there is time for another try.
    fn impatient_desk(&self) -> TokenDesk {
        self.desk_of(Launcher::new(&self.socket).with_timeout(ms(3_000)))
    }

    fn desk_of(&self, launcher: Launcher) -> TokenDesk {
        TokenDesk::new(Arc::new(launcher), DeskOptions::default())
    }
}

/// The token's only nonce, read without the code under test.
fn nonce(token: &Token) -> String {
    let claims = token.as_str().split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["eat_nonce"].as_str().unwrap().to_owned()
}

async fn shares(desk: &TokenDesk, number: u32) -> u32 {
    let share = desk.share(UWEAR, leaf(number)).await.unwrap();
    assert_eq!(share.proof.nonce(&leaf(number)).as_str(), nonce(&share.token));
    share.batch_size
}

#[tokio::test(start_paused = true)]
async fn one_token_serves_all_who_wait_and_carries_the_root_of_their_tree() {
    let place = Place::new();
    let mock = place.launcher().await;
    let desk = place.desk();
    let sessions: Vec<_> = (0..50)
        .map(|number| {
            let desk = desk.clone();
            tokio::spawn(async move { shares(&desk, number).await })
        })
        .collect();
    let mut sizes = Vec::new();
    for session in sessions {
        sizes.push(session.await.unwrap());
    }
    assert!(sizes.iter().all(|size| *size == 50), "{sizes:?}");
    assert_eq!(mock.issued(), 1);
    assert_eq!(nonce(&desk.token(lone_request(0)).await.unwrap()), lone_request(0).nonce());
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_appears_late_is_waited_for() {
    let place = Place::new();
    let desk = place.desk();
    let late = async {
        pass(4_000).await;
        place.launcher().await
    };
    let (size, _mock) = tokio::join!(shares(&desk, 0), late);
    assert_eq!(size, 1);
    assert!(desk.snapshot().failed.of(Failure::SocketMissing) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_never_appears_is_said_to_be_missing() {
    let place = Place::new();
    let error = place.desk().share(UWEAR, leaf(0)).await.unwrap_err();
    assert_eq!(error, DeskError::Launcher(LauncherError::SocketMissing { socket: place.socket.clone() }));
}

#[tokio::test(start_paused = true)]
async fn a_socket_may_disappear_and_return() {
    let place = Place::new();
    let desk = place.desk();
    for round in 0..3 {
        let mock = place.launcher().await;
        shares(&desk, round).await;
        drop(mock);
        assert!(!Path::new(&place.socket).exists());
        let back = async {
            pass(3_000).await;
            place.launcher().await
        };
        let (_, mock) = tokio::join!(shares(&desk, round + 10), back);
        drop(mock);
    }
    assert_eq!(desk.snapshot().given, 6);
}

#[tokio::test(start_paused = true)]
async fn faults_that_pass_are_outlasted() {
    for (fault, kind) in [
        (Fault::Http500, Failure::ServerError),
        (Fault::Quota, Failure::Quota),
        (Fault::CutBody, Failure::ConnectionLost),
        (Fault::Hang, Failure::Timeout),
    ] {
        let place = Place::new();
        let mock = place.launcher().await;
        let desk = place.impatient_desk();
        mock.set_fault_for(2, fault);
        shares(&desk, 0).await;
        let snapshot = desk.snapshot();
        assert_eq!((snapshot.failed.of(kind), snapshot.asked, snapshot.given), (2, 3, 1), "{fault}");
        desk.token(lone_request(0)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn faults_that_stay_have_their_names_and_the_desk_serves_on_after_them() {
    let place = Place::new();
    let mock = place.launcher().await;
    let desk = place.impatient_desk();
    for fault in [Fault::Http500, Fault::Quota, Fault::CutBody, Fault::Hang, Fault::NoX5c] {
        mock.set_fault(Some(fault));
        let error = desk.share(UWEAR, leaf(0)).await.unwrap_err();
        let named = match &error {
            DeskError::Launcher(LauncherError::Status { status: 500, .. }) => fault == Fault::Http500,
            DeskError::Quota(LauncherError::Status { status: 500, .. }) => fault == Fault::Quota,
            DeskError::Launcher(LauncherError::ConnectionLost { got: Progress::PartOfBody(_), .. }) => {
                fault == Fault::CutBody
            }
            DeskError::Deadline { last: Some(LauncherError::Timeout { .. }), .. }
            | DeskError::Launcher(LauncherError::Timeout { .. }) => fault == Fault::Hang,
            DeskError::Launcher(LauncherError::NoCertificateChain { .. }) => fault == Fault::NoX5c,
            _ => false,
        };
        assert!(named, "{fault}: {error}");
        mock.set_fault(None);
        shares(&desk, 1).await;
    }
}
