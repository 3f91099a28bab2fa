//! The pair works, and sends nothing to whom it should not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Output, Stdio};

use mock_launcher::{Builder, Fault, MockLauncher, Pki};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// What the client prints when it wants `text` echoed by a server whose launcher is so.
async fn echoed(text: &str, launcher: impl FnOnce(Builder) -> Builder) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("teeserver.sock");
    let builder = MockLauncher::builder(Pki::shared_for_tests().unwrap());
    let _launcher = launcher(builder).start(&socket).await.unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_echo_server"));
    command.arg(&socket).arg("127.0.0.1:0").stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();

    let root = Pki::root_path(&Pki::shared_folder_for_tests().unwrap());
    let client = Command::new(env!("CARGO_BIN_EXE_echo_client")).arg(address).arg(root).arg(text).output();
    client.await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_approved_server_gets_the_text_and_echoes_it() {
    let output = echoed("hello, world", |launcher| launcher).await;
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "HELLO, WORLD\n");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn another_image_gets_nothing_and_the_client_says_why() {
    let other = json!({"submods": {"container": {"image_digest": "sha256:1b7e"}}});
    let output = echoed("hello", |launcher| launcher.claims(other)).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    let reasons = text(&output.stderr);
    assert!(reasons.contains("image_digest_verified: wanted sha256:"), "{reasons}");
    assert!(reasons.contains(", got sha256:1b7e\n"), "{reasons}");
    assert!(reasons.contains("nothing was sent: the workload is not approved"), "{reasons}");
}

#[tokio::test]
async fn a_token_that_is_not_authentic_gets_nothing() {
    for fault in [Fault::ForeignRoot, Fault::WrongKey, Fault::Expired] {
        let output = echoed("hello", |launcher| launcher.fault(fault)).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{fault}");
        let reasons = text(&output.stderr);
        assert!(reasons.contains("nothing was sent: "), "{fault}: {reasons}");
    }
}
