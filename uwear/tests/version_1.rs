//! Releases in wire version 1: which version is spoken, mutual attestation, and what the report says of both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use attestation::{Anchors, Expectation, Verifier};
use mock_launcher::{Fault, MockLauncher};
use policy::{Baseline, Policy, PolicySource};
use serde_json::{Value, json};
use session::server::ClientJudge;
use support::honest::Honest;
use support::scripted::{Peer, Scripted};
use support::{Ended, Owner, PHI, tokens};
use tempfile::TempDir;

/// The mock's UWear, which the shipped client baseline approves.
const UWEAR: &str = include_str!("../../mock-launcher/claims/uwear.json");

const VERSION_0: &str =
    "wire version 0 was used, since the server does not speak version 1: this session leaves no receipt";

/// A USleep of the codelab's kind.
async fn codelab(mut peer: Peer) {
    let token = tokens::token(&peer.nonce, &json!({}));
    peer.say(token).await;
    let _ = peer.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_taken_where_the_server_knows_it_and_its_receipt_is_shown() {
    let usleep = Honest::start().await;
    let ended = Owner::new().release_in(usleep.address, "auto").ends().await.with_code(0);
    ended.says(&[
        "TLS 1.3, X25519MLKEM768, wire version 1\n",
        "Receipt verified: usleep of the tests, rules codelab, ",
    ]);
    let report = Owner::new().release_in(usleep.address, "1").json().ends().await.with_code(0).json();
    let wanted = json!({"wire": 1, "mutual": false, "batch": 1, "evidence": null, "warnings": [support::other_roots()]});
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&report[key], value, "{key}");
    }
    assert_eq!(report["receipt"]["program"], "usleep of the tests");
    assert_eq!(usleep.received().await, [PHI.as_bytes(), PHI.as_bytes()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_is_taken_aloud_where_the_server_knows_no_other() {
    let server = Scripted::websocket(codelab).await;
    let ended = Owner::new().release_in(server.address, "auto").ends().await.with_code(0);
    ended.says(&["TLS 1.3, X25519MLKEM768, wire version 0\n", &format!("warning: {VERSION_0}\n")]);
    assert_eq!(server.seen().await.connections, 2, "each version has a connection of its own");

    let server = Scripted::websocket(codelab).await;
    let report = Owner::new().release_in(server.address, "auto").json().ends().await.with_code(0).json();
    assert_eq!(
        (&report["wire"], &report["batch"], &report["receipt"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
    assert!(report["warnings"].as_array().unwrap().contains(&json!(VERSION_0)), "{report:#}");

    // Who asks for it is not warned of it.
    let server = Scripted::websocket(codelab).await;
    let report = Owner::new().release_in(server.address, "0").json().ends().await.with_code(0).json();
    assert!(!report["warnings"].as_array().unwrap().contains(&json!(VERSION_0)), "{report:#}");
    assert_eq!(server.seen().await.connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_version_1_is_needed_version_0_is_not_taken_and_nothing_is_sent() {
    let owner = Owner::new();
    let launcher = Launcher::of(UWEAR).await;
    let rows: [&[&str]; 3] = [&["--wire", "1"], &["--evidence", "kept"], &["--attest", "required"]];
    for flags in rows {
        let server = Scripted::websocket(codelab).await;
        let called = owner.release_in(server.address, "auto").option("--attest-socket", launcher.socket());
        // A flag that is given twice is refused: the version is said once.
        let called = if flags[0] == "--wire" {
            owner.release_in(server.address, "1")
        } else {
            called.args(flags.iter().copied())
        };
        let ended = called.ends().await.with_code(4);
        ended.says(&["the server does not speak wire version 1; nothing was sent"]);
        server.seen().await.no_data("version 0");
    }
    assert_eq!(std::fs::read_dir(owner.path("kept")).unwrap().count(), 0, "no evidence of nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_itself_is_found_before_anybody_is_dialled() {
    let (owner, server) = (Owner::new(), Scripted::nobody());
    let rows: [(&[&str], &str); 4] = [
        (&["--evidence", "kept"], "--evidence needs wire version 1"),
        (&["--attest", "required"], "--attest required needs wire version 1"),
        (&["--wire", "1"], "cannot be used multiple times"),
        (&["--attest", "sometimes"], "invalid value 'sometimes'"),
    ];
    for (flags, words) in rows {
        let ended = owner.release_in(server.address, "0").args(flags.iter().copied()).ends().await;
        let ended = ended.with_code(2);
        assert!(ended.stderr.contains(words), "{flags:?}: {ended}");
    }
    let called = owner.release_in(server.address, "auto").args(["--attest", "required"]);
    let ended = called.args(["--attest-socket", "nowhere.sock"]).ends().await.with_code(2);
    ended.with_one_complaint(&["no launcher socket at nowhere.sock"]);
    let ended = Owner::new().release_in(server.address, "2").ends().await.with_code(2);
    ended.says(&["wanted 0, 1 or auto"]);
}

/// A launcher of UWear's own.
struct Launcher {
    running: mock_launcher::Running,
    _folder: TempDir,
}

impl Launcher {
    async fn of(claims: &str) -> Self {
        Self::with(claims, None).await
    }

    async fn with(claims: &str, fault: Option<Fault>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let claims: Value = serde_json::from_str(claims).unwrap();
        let running = MockLauncher::builder(tokens::pki()).claims(claims).fault(fault);
        let running = running.start(folder.path().join("uwear.sock")).await.unwrap();
        Self { running, _folder: folder }
    }

    fn socket(&self) -> &std::path::Path {
        self.running.socket()
    }
}

/// A USleep that serves only clients which its own policy approves.
async fn mutual() -> Honest {
    let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap();
    let anchors = Anchors::from_der([tokens::pki().root()]).unwrap();
    let judge = ClientJudge {
        verifier: Verifier::new(anchors, Expectation::default()),
        policy: Policy::compile(PolicySource::Client, baseline).unwrap(),
        audience: "usleep".to_owned(),
    };
    Honest::mutual(judge, "uwear").await
}

async fn release(usleep: &Honest, launcher: &Launcher, attest: &str) -> Ended {
    let owner = Owner::new();
    let called = owner.release_in(usleep.address, "auto").args(["--attest", attest]).json();
    called.option("--attest-socket", launcher.socket()).ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_usleep_approves_is_served_whether_it_must_prove_itself_or_may() {
    let (usleep, launcher) = (mutual().await, Launcher::of(UWEAR).await);
    for attest in ["auto", "required"] {
        let report = release(&usleep, &launcher, attest).await.with_code(0).json();
        assert_eq!((&report["mutual"], &report["released"]), (&json!(true), &json!(true)), "{attest}");
    }
    assert_eq!(launcher.running.issued(), 2);
    assert_eq!(usleep.received().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_usleep_does_not_approve_is_refused_and_its_data_is_not_read() {
    // Another image, project and account: USleep's own.
    let (usleep, launcher) = (mutual().await, Launcher::of("{}").await);
    let report = release(&usleep, &launcher, "required").await.with_code(6).json();
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("the other end closed the session: 1008 client-refused"), "{reason}");
    assert!(report["next"].as_str().unwrap().starts_with("USleep does not accept this client"), "{report:#}");
    assert_eq!(report["mutual"], true);
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_prove_itself_is_told_what_is_wanted() {
    let (usleep, launcher) = (mutual().await, Launcher::of(UWEAR).await);
    let report = release(&usleep, &launcher, "never").await.with_code(6).json();
    assert_eq!(
        report["reason"],
        "no token: the other end closed the session: 1008 client-attestation-required; nothing was sent"
    );
    assert!(report["next"].as_str().unwrap().contains("--attest-socket"), "{report:#}");
    // Version 0 has no way to prove a client.
    let report = Owner::new().release_in(usleep.address, "0").json().ends().await.with_code(6).json();
    assert!(report["next"].as_str().unwrap().contains("leave --wire 0 out"), "{report:#}");
    assert_eq!(launcher.running.issued(), 0);
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_of_our_own_that_gives_no_token_is_said_and_nothing_is_sent() {
    for (fault, exit) in [(Fault::Http500, 3), (Fault::CutBody, 3), (Fault::NoX5c, 2)] {
        let (usleep, launcher) = (mutual().await, Launcher::with(UWEAR, Some(fault)).await);
        let report = release(&usleep, &launcher, "required").await.with_code(exit).json();
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.starts_with("no proof of our own: the launcher at "), "{fault}: {reason}");
        assert!(reason.ends_with("; nothing was sent"), "{fault}: {reason}");
        assert_eq!((&report["mutual"], &report["released"]), (&json!(false), &json!(false)), "{fault}");
        assert!(usleep.received().await.is_empty(), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proof_of_ours_is_made_for_a_server_that_has_not_proven_itself() {
    let launcher = Launcher::of(UWEAR).await;
    let server = Scripted::version_1(|mut peer| async move {
        let bound = peer.bound.clone();
        let token = tokens::token("another session's nonce", &json!({}));
        let proof = support::version_1::Proof::alone();
        let message = support::version_1::attestation(&bound, &token, &proof, true);
        peer.peer.say(message.to_string()).await;
        peer.peer.listen().await;
    });
    let server = server.await;
    let owner = Owner::new();
    let called = owner.release_in(server.address, "1").args(["--attest", "required"]).json();
    let report = called.option("--attest-socket", launcher.socket()).ends().await.with_code(5).json();
    assert_eq!(report["mutual"], false);
    assert_eq!(launcher.running.issued(), 0, "our launcher was asked for a stranger");
    server.seen().await.only_a_hello("the server");
}
