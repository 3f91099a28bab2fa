//! The program's flags of wire version 1: which versions it speaks, how often it asks for tokens, and by what it judges its
//! clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::program::{Ended, Program, launcher};
use common::version_1::Client1;
use common::{Client, PHI};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

const VARIABLES: [&str; 7] = [
    "USLEEP_WIRE",
    "USLEEP_TOKENS_PER_SECOND",
    "USLEEP_ATTEST_CLIENT",
    "USLEEP_CLIENT_POLICY",
    "USLEEP_CLIENT_BASELINE",
    "USLEEP_CLIENT_AUDIENCE",
    "USLEEP_CLIENT_ROOT",
];

async fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    timeout(PATIENCE, Program::start_in(arguments, variables).ended()).await.unwrap()
}

fn shipped_baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/client_baseline.json")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn flags_that_cannot_be_used_are_named_and_exit_2() {
    let rate = "wanted a number from 0.1 to 10000";
    let rows = [
        ("--wire", "2", "USLEEP_WIRE", "wanted 0, 1 or auto"),
        ("--tokens-per-second", "0.09", "USLEEP_TOKENS_PER_SECOND", rate),
        ("--tokens-per-second", "10001", "USLEEP_TOKENS_PER_SECOND", rate),
        ("--tokens-per-second", "NaN", "USLEEP_TOKENS_PER_SECOND", rate),
        ("--attest-client", "perhaps", "USLEEP_ATTEST_CLIENT", "[possible values: never, auto, required]"),
    ];
    for (flag, value, variable, wanted) in rows {
        let listen = ["--listen", "127.0.0.1:0"];
        let by_flag = ran(&[&listen[..], &[flag, value]].concat(), &[]).await;
        let by_variable = ran(&listen, &[(variable, value)]).await;
        for ended in [by_flag, by_variable] {
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{flag} {value}: {ended:?}");
            assert!(ended.stderr.lines().any(|line| line.contains(wanted)), "{flag} {value}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn what_clients_cannot_be_judged_by_is_found_at_start_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_owned()
    };
    let baseline = text(&shipped_baseline()).to_owned();
    let rows: [(&str, String, &str); 9] = [
        ("--client-baseline", "/nowhere.json".to_owned(), "client baseline /nowhere.json: No such file"),
        ("--client-baseline", file("garbage.json", b"garbage"), "garbage.json: "),
        ("--client-baseline", file("bytes.json", b"\xff"), "bytes.json: not UTF-8 text"),
        ("--client-baseline", file("empty.json", b"{}"), "client policy client.rego with client baseline "),
        ("--client-policy", file("broken.rego", b"package x"), "client policy "),
        ("--client-policy", file("large.rego", &vec![b' '; 4 << 20]), "too large, wanted at most "),
        ("--client-root", file("none.pem", b"garbage"), "root certificate "),
        ("--wire", "0".to_owned(), "--attest-client required needs wire version 1: "),
        (
            "--audience",
            String::new(),
            "invalid audience: wanted 1 to 512 bytes, got 0; give with --audience ",
        ),
    ];
    for (flag, value, wanted) in rows {
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--attest-client", "required", flag, &value];
        if flag != "--client-baseline" {
            arguments.extend(["--client-baseline", baseline.as_str()]);
        }
        let ended = ran(&arguments, &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{flag} {value}: {ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("usleep: ") && last.contains(wanted), "{flag} {value}: {ended:?}");
    }
    // Where nobody is judged nothing of it is read.
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--client-baseline", "/nowhere.json"];
    let mut program = Program::start(&flags);
    program.ready().await;
    assert_eq!(program.terminated().await.code, Some(0));
}

#[tokio::test]
async fn clients_are_judged_by_the_policy_and_baseline_that_the_log_names() {
    let (_launcher, socket, _folder) = launcher().await;
    let root = mock_launcher::Pki::root_path(&mock_launcher::Pki::shared_folder_for_tests().unwrap());
    let baseline = shipped_baseline();
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--attest-client", "required"];
    let files = ["--client-baseline", text(&baseline), "--client-root", text(&root), "--log-format", "json"];
    let mut program = Program::start(&[&flags[..], &files].concat());
    let address = program.ready().await;

    let mut approved = Client1::greet(address, true).await;
    let attestation = approved.attestation().await;
    let token = approved.own_token();
    approved.prove(&token).await;
    approved.ask(PHI, &attestation).await;
    let mut stranger = Client1::greet(address, true).await;
    stranger.attestation().await;
    stranger.prove("e30.e30.e30").await;
    assert_eq!(stranger.client.closed().await, (1008, "client-refused".to_owned()));
    drop((approved, stranger));

    let ended = program.terminated().await;
    let lines: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let judged = lines.iter().find(|line| line["message"] == "clients prove themselves too").unwrap();
    assert_eq!(judged["policy"], "client.rego");
    for digest in ["policy_sha256", "baseline_sha256"] {
        assert_eq!(judged[digest].as_str().unwrap().len(), 64, "{judged}");
    }
    assert!(ended.stderr.contains("other roots than Google's"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(&token), "a whole token in the log");
}

#[tokio::test]
async fn one_version_is_spoken_where_one_is_asked_for() {
    for wire in ["0", "1"] {
        let (_launcher, socket, _folder) = launcher().await;
        let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--tokens-per-second", "1000"];
        let mut program = Program::start_in(&flags, &[("USLEEP_WIRE", wire)]);
        let address = program.ready().await;
        if wire == "0" {
            let mut client = Client::connect(address).await;
            client.token().await;
            client.ask(PHI).await;
        } else {
            let mut client = Client1::greet(address, false).await;
            let attestation = client.attestation().await;
            client.ask(PHI, &attestation).await;
            client.send(Message::Close(None)).await;
        }
        assert_eq!(program.terminated().await.code, Some(0), "wire {wire}");
    }
}

#[tokio::test]
async fn help_names_every_variable() {
    let ended = ran(&["serve", "--help"], &[]).await;
    assert_eq!(ended.code, Some(0));
    for variable in VARIABLES {
        assert!(ended.stdout.contains(&format!("[env: {variable}=")), "{variable}: {}", ended.stdout);
    }
}
