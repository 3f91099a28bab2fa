//! Sessions as they should be, seen by a client that shares no code with the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::server::TestServer;
use common::{Client, PHI, claims};
use futures_util::StreamExt as _;
use session::Limits;
use tokio_tungstenite::tungstenite::Message;

fn words(outcomes: &[serde_json::Value]) -> Vec<&str> {
    outcomes.iter().map(|logged| logged["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_session_gets_a_token_for_its_own_keying_material_and_for_nobody_elses() {
    let server = TestServer::start(Limits::default()).await;
    let mut one = Client::connect(server.address).await;
    let mut two = Client::connect(server.address).await;
    assert_ne!(one.nonce, two.nonce);
    for client in [&mut two, &mut one] {
        let claims = claims(&client.token().await);
        assert_eq!(claims["eat_nonce"], client.nonce);
        assert_eq!(claims["aud"], "uwear");
    }
    assert_eq!(server.launcher.issued(), 2);
    drop((one, two));
    server.outcomes().await;
}

#[tokio::test]
async fn phi_is_answered_with_the_result_and_the_closing_handshake() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = Client::connect(server.address).await;
    client.token().await;
    let result = client.ask(PHI).await;
    assert_eq!(result["rules"], "codelab");
    assert_eq!(result["sentence"], "total sleep time is less than 8 hours");
    assert_eq!(result["total_minutes"], 511.194);
    assert_eq!(client.closed().await, (1000, String::new()));
    drop(client);
    let outcomes = server.outcomes().await;
    assert_eq!(words(&outcomes), ["answered"]);
}

#[tokio::test]
async fn phi_of_exactly_the_limit_is_answered_also_in_fragments_with_pings_between() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let spaces = " ".repeat(attestation::message::MAX_PHI_BYTES - PHI.len());
    let phi = format!("{PHI}{spaces}");
    let server = TestServer::start(Limits::default()).await;
    let mut client = Client::connect(server.address).await;
    client.token().await;
    client.ask(&phi).await;

    let (first, second) = phi.as_bytes().split_at(100);
    let fragment =
        |kind, last, bytes: &[u8]| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), last));
    let mut in_parts = Client::connect(server.address).await;
    in_parts.token().await;
    in_parts.send(fragment(Data::Binary, false, first)).await;
    in_parts.send(Message::Ping("between".into())).await;
    in_parts.send(fragment(Data::Continue, true, second)).await;
    assert!(matches!(in_parts.websocket.next().await, Some(Ok(Message::Pong(_)))));
    assert!(matches!(in_parts.websocket.next().await, Some(Ok(Message::Text(_)))));
    drop((client, in_parts));
    assert_eq!(words(&server.outcomes().await), ["answered", "answered"]);
}

#[tokio::test]
async fn the_codelabs_client_which_closes_at_once_after_its_phi_is_no_error() {
    let server = TestServer::start(Limits::default()).await;
    let mut closes = Client::connect(server.address).await;
    closes.token().await;
    closes.send(Message::binary(PHI)).await;
    closes.websocket.close(None).await.unwrap();
    drop(closes);
    let mut vanishes = Client::connect(server.address).await;
    vanishes.token().await;
    vanishes.send(Message::binary(PHI)).await;
    drop(vanishes);
    assert_eq!(words(&server.outcomes().await), ["answered", "answered"]);
}

#[tokio::test]
async fn a_server_that_shuts_down_lets_sessions_finish_and_takes_no_new_ones() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = Client::connect(server.address).await;
    client.token().await;
    server.shut_down();
    // The listener is closed as soon as the server's task has run.
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    client.ask(PHI).await;
    drop(client);
    let outcomes = server.outcomes().await;
    assert!(words(&outcomes).contains(&"answered"), "{outcomes:?}");
}

#[tokio::test]
async fn sessions_that_do_not_finish_in_time_are_told_that_the_server_drains() {
    let server = TestServer::start_with(Limits::default(), None, Duration::from_millis(30)).await;
    let mut has_token = Client::connect(server.address).await;
    has_token.token().await;
    server.launcher.set_fault(Some(mock_launcher::Fault::Hang));
    let mut waits_for_one = Client::connect(server.address).await;
    server.shut_down();
    for client in [&mut has_token, &mut waits_for_one] {
        assert_eq!(client.closed().await, (1001, "draining".to_owned()));
    }
    drop((has_token, waits_for_one));
    assert_eq!(words(&server.outcomes().await), ["draining", "draining"]);
}

#[tokio::test]
async fn a_connection_that_is_no_session_yet_does_not_hold_up_the_end() {
    let limits = Limits { handshake: Duration::from_secs(3600), ..Limits::default() };
    let server = TestServer::start_with(limits, None, Duration::ZERO).await;
    let _silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut client = Client::connect(server.address).await;
    client.token().await;
    let outcomes = tokio::time::timeout(Duration::from_secs(20), server.outcomes()).await.unwrap();
    assert_eq!(words(&outcomes), ["draining", "draining"]);
}
