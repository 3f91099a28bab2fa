//! `--unsafe-log-phi`, which the cargo feature `walkthrough` adds.

#![cfg(feature = "walkthrough")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::program::{Ended, Program, launcher};
use common::{CANARIES, Client, PHI};
use tokio_tungstenite::tungstenite::Message;

/// One session for each of `messages`, which are sent as PHI.
async fn ran(flags: &[&str], messages: &[&str]) -> Ended {
    let (_launcher, socket, _folder) = launcher().await;
    let usual = ["--listen", "127.0.0.1:0", "--socket", &socket, "--rules", "codelab"];
    let mut program = Program::start(&[&usual, flags].concat());
    let address = program.ready().await;
    for message in messages {
        let mut client = Client::connect(address).await;
        client.token().await;
        client.send(Message::binary((*message).to_owned())).await;
        // Whatever the answer: the session is over when the server closes.
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut client.websocket).await {}
    }
    program.terminated().await
}

#[tokio::test]
async fn with_the_flag_phi_and_result_are_shown_and_the_bytes_counted() {
    let phi = PHI.replace(',', ",\n");
    let ended = ran(&["--unsafe-log-phi"], &[&phi]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (before, shown) = ended.stdout.split_once("Received content from other side, ").unwrap();
    assert_eq!(before.lines().count(), 2, "the address and the token");
    let shown = shown.strip_prefix(&format!("{phi}\n")).unwrap();
    assert!(shown.starts_with("Sleep quality result: total sleep time is less than 8 hours\n"), "{shown}");
    // What elsewhere is looked for in vain is here.
    for canary in CANARIES.into_iter().filter(|canary| *canary != "511.194") {
        assert!(ended.stdout.contains(canary), "{canary}: {ended:?}");
    }
    assert!(shown.ends_with(&format!("\nUSleep received {} bytes of PHI\n", phi.len())), "{shown}");
}

#[tokio::test]
async fn bytes_that_are_no_valid_phi_are_counted_too_and_move_no_cursor() {
    let ended = ran(&["--unsafe-log-phi"], &["\u{1b}[2J", PHI]).await;
    assert!(ended.stdout.contains("Received content from other side, \\u{1b}[2J\n"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'));
    let bytes = PHI.len() + 4;
    assert!(ended.stdout.ends_with(&format!("USleep received {bytes} bytes of PHI\n")), "{ended:?}");
}

#[tokio::test]
async fn without_sessions_it_received_0_bytes() {
    let ended = ran(&["--unsafe-log-phi"], &[]).await;
    assert_eq!(ended.stdout.lines().last(), Some("USleep received 0 bytes of PHI"));
}

#[tokio::test]
async fn without_the_flag_nothing_of_phi_is_written_and_no_variable_turns_it_on() {
    let ended = ran(&["--log-level", "trace"], &[PHI]).await;
    assert_eq!(ended.code, Some(0));
    let written = format!("{}{}", ended.stdout, ended.stderr);
    for part in CANARIES.into_iter().chain(["Received content", "bytes of PHI"]) {
        assert!(!written.contains(part), "{part}: {written}");
    }
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket];
    let mut program = Program::start_in(&flags, &[("USLEEP_UNSAFE_LOG_PHI", "true")]);
    program.ready().await;
    assert!(!program.terminated().await.stdout.contains("PHI"));
}
