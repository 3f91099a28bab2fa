//! Clients that think about the token for a while: what they say next is heard whole, however it is cut and whatever was
//! said before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::server::TestServer;
use common::version_1::{Client1, KEY};
use common::{Client, PHI, peers, soon};
use futures_util::StreamExt as _;
use serde_json::Value;
use session::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A client may think for as long as a test lasts.
fn patient() -> Limits {
    let hour = Duration::from_secs(3600);
    Limits { phi_first_byte: hour, phi: hour, ..Limits::default() }
}

/// A client's frame as it crosses, masked with zeros.
fn bytes(mut frame: Frame) -> Vec<u8> {
    frame.header_mut().mask = Some([0; 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    bytes(Frame::message(payload.to_vec(), OpCode::Data(Data::Binary), true))
}

fn ping() -> Vec<u8> {
    bytes(Frame::ping("still there?"))
}

/// These bytes, and on their way when it returns.
async fn write(client: &mut Client, bytes: &[u8]) {
    let tls = client.websocket.get_mut();
    tls.write_all(bytes).await.unwrap();
    tls.flush().await.unwrap();
}

async fn pong(client: &mut Client) {
    match soon("a pong", client.websocket.next()).await {
        Some(Ok(Message::Pong(payload))) => assert_eq!(payload, "still there?"),
        other => panic!("wanted a pong, got {other:?}"),
    }
}

async fn result(client: &mut Client) {
    match soon("a result", client.websocket.next()).await {
        Some(Ok(Message::Text(result))) => assert!(serde_json::from_str::<Value>(&result).is_ok()),
        other => panic!("wanted a result, got {other:?}"),
    }
}

#[tokio::test]
async fn phi_is_heard_whole_however_its_beginning_is_cut() {
    let server = TestServer::start(patient()).await;
    let phi = binary(PHI.as_bytes());
    for begin in [0, 1, 2, 5, 8, phi.len() - 1, phi.len()] {
        let mut client = Client::connect(server.address).await;
        client.token().await;
        // A pong says that what came before it has been read.
        let (first, rest) = phi.split_at(begin);
        write(&mut client, &[&ping()[..], first].concat()).await;
        pong(&mut client).await;
        write(&mut client, rest).await;
        result(&mut client).await;
    }
    // And byte by byte, with nothing before it.
    let mut client = Client::connect(server.address).await;
    client.token().await;
    for byte in &phi {
        write(&mut client, &[*byte]).await;
    }
    result(&mut client).await;
}

#[tokio::test]
async fn what_comes_together_with_the_hello_is_not_lost() {
    let server = TestServer::start(patient()).await;
    let phi = binary(&[&KEY, PHI.as_bytes()].concat());
    // A whole message would be out of turn.
    for begin in [0, 1, 2, 7, 60] {
        for pings in [0, 1, 2] {
            let mut client = Client1::connect(server.address).await;
            let hello = peers::hello(&client.bound, false).to_string();
            let hello = bytes(Frame::message(hello, OpCode::Data(Data::Text), true));
            let (first, rest) = phi.split_at(begin);
            let together = [&hello[..], &ping().repeat(pings), first].concat();
            write(&mut client.client, &together).await;
            let attestation = loop {
                // Whether the pong or the attestation comes first is the server's affair.
                match soon("an attestation", client.client.websocket.next()).await {
                    Some(Ok(Message::Text(text))) => break text,
                    Some(Ok(Message::Pong(_))) => {}
                    other => panic!("wanted an attestation, got {other:?}"),
                }
            };
            let attestation: Value = serde_json::from_str(&attestation).unwrap();
            assert_eq!(attestation["attest"], false);
            write(&mut client.client, rest).await;
            loop {
                match soon("a result", client.client.websocket.next()).await {
                    Some(Ok(Message::Text(_))) => break,
                    Some(Ok(Message::Pong(_))) => {}
                    other => panic!("begun with {begin} bytes and {pings} pings: got {other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_long_message_is_counted_also_if_its_first_byte_comes_alone() {
    let none = Limits { phi_in_flight_per_address: 0, ..patient() };
    let server = TestServer::start(none).await;
    // One byte more than goes uncounted.
    let phi = binary(format!("{PHI:4097}").as_bytes());
    for begin in [0, 1, 2, 3, 7, 8, 9] {
        let mut client = Client::connect(server.address).await;
        client.token().await;
        let (first, rest) = phi.split_at(begin);
        write(&mut client, first).await;
        write(&mut client, rest).await;
        assert_eq!(
            soon("a refusal", client.closed()).await,
            (1013, "busy".to_owned()),
            "{begin} bytes first"
        );
    }
}

#[tokio::test]
async fn a_silent_client_that_breaks_tls_or_leaves_ends_its_session_at_once() {
    let server = TestServer::start(patient()).await;
    let mut breaks = Client::connect(server.address).await;
    breaks.token().await;
    // Application data of 20 bytes that nobody has sealed (RFC 8446 §5.2).
    let record = [&[23, 3, 3, 0, 20][..], &[0x5a; 20]].concat();
    let (tcp, _) = breaks.websocket.get_mut().get_mut();
    tcp.write_all(&record).await.unwrap();
    let mut alert = Vec::new();
    // A reset says as much as an end.
    let _ = soon("the end of the connection", tcp.read_to_end(&mut alert)).await;

    let mut leaves = Client::connect(server.address).await;
    leaves.token().await;
    drop(leaves);

    // Without their ends `outcomes` would wait for the deadline of an hour.
    let outcomes = soon("both ends", server.outcomes()).await;
    let errors: Vec<_> = outcomes.iter().map(|line| line["error"].as_str().unwrap_or_default()).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("broke the protocol")), "{errors:?}");
    assert!(errors.contains(&"the connection ended"), "{errors:?}");
    assert!(outcomes.iter().all(|line| line["outcome"] == "lost"), "{outcomes:?}");
}

#[tokio::test]
async fn silent_clients_are_told_when_the_server_ends() {
    let server = TestServer::start_with(patient(), None, Duration::ZERO).await;
    let mut client = Client::connect(server.address).await;
    client.token().await;
    server.shut_down();
    assert_eq!(soon("a close frame", client.closed()).await, (1001, "draining".to_owned()));
}
