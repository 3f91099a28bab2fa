//! What a client that does something wrong is told, and what the operator's log says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::server::TestServer;
use common::{Client, PHI, dial};
use futures_util::{SinkExt as _, StreamExt as _};
use mock_launcher::Fault;
use session::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client does.
enum Does {
    Nothing,
    Sends(Vec<Message>),
    /// Pings for as long as the server lets it.
    Pings,
}

struct Row {
    what: &'static str,
    limits: Limits,
    launcher: Option<Fault>,
    does: Does,
    /// Close code and reason.
    told: (u16, &'static str),
    outcome: &'static str,
    /// Part of what the log says.
    logged: &'static str,
}

/// One row: the client does this, is told that, and the log says so.
fn row(
    what: &'static str,
    does: Does,
    told: (u16, &'static str),
    outcome: &'static str,
    logged: &'static str,
) -> Row {
    Row { what, limits: Limits::default(), launcher: None, does, told, outcome, logged }
}

fn fragment(kind: Data, last: bool, bytes: &[u8]) -> Message {
    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(kind), last))
}

fn with_a_reserved_bit() -> Message {
    let mut frame = Frame::message(PHI.as_bytes().to_vec(), OpCode::Data(Data::Binary), true);
    frame.header_mut().rsv1 = true;
    Message::Frame(frame)
}

fn padded(bytes: usize) -> String {
    let spaces = " ".repeat(bytes - PHI.len());
    format!("{PHI}{spaces}")
}

fn rows() -> Vec<Row> {
    use Does::{Nothing, Pings, Sends};
    let impatient = Limits {
        phi_first_byte: Duration::from_millis(60),
        phi: Duration::from_millis(120),
        ..Limits::default()
    };
    let over = padded(attestation::message::MAX_PHI_BYTES + 1);
    let (half, other_half) = over.split_at(over.len() / 2);
    let in_two = vec![
        fragment(Data::Binary, false, half.as_bytes()),
        fragment(Data::Continue, true, other_half.as_bytes()),
    ];
    let refusal = CloseFrame { code: 1008.into(), reason: "refused".into() };
    let wrong_type = (1003, "type");
    let too_big = (1009, "too-big");
    let too_slow = (1008, "too-slow");
    let no_token = (1011, "attestation-unavailable");
    vec![
        row(
            "text instead of PHI",
            Sends(vec![Message::text(PHI)]),
            wrong_type,
            "lost",
            "wrong message: wanted PHI as binary, got text",
        ),
        row(
            "text that is not UTF-8",
            Sends(vec![fragment(Data::Text, true, b"\xff")]),
            wrong_type,
            "lost",
            "the other end broke the protocol: text that is not UTF-8",
        ),
        row(
            "a frame of an extension that was not agreed on",
            Sends(vec![with_a_reserved_bit()]),
            wrong_type,
            "lost",
            "the other end broke the protocol: ",
        ),
        row(
            "PHI one byte over the limit",
            Sends(vec![Message::binary(over.clone())]),
            too_big,
            "lost",
            "the message is too large: wanted at most 1048576 bytes",
        ),
        row(
            "the same in two fragments",
            Sends(in_two),
            too_big,
            "lost",
            "the message is too large: wanted at most 1048576 bytes",
        ),
        row(
            "no PHI",
            Sends(vec![Message::binary("Quetzal 4182937")]),
            (1008, "phi-invalid"),
            "phi-invalid",
            "the PHI cannot be used: top level: not JSON or cut off",
        ),
        row(
            "a night that cannot be",
            Sends(vec![Message::binary(PHI.replace("29", "290"))]),
            (1008, "phi-invalid"),
            "phi-invalid",
            "the PHI cannot be used: age: wanted a whole number of years from 0 to 130",
        ),
        row(
            "an empty message",
            Sends(vec![Message::binary("")]),
            (1008, "phi-invalid"),
            "phi-invalid",
            "the PHI cannot be used: top level",
        ),
        row(
            "the token is refused",
            Sends(vec![Message::Close(Some(refusal))]),
            (1008, "refused"),
            "refused",
            "the client refused the token",
        ),
        Row {
            limits: impatient.clone(),
            ..row("no PHI in time", Nothing, too_slow, "lost", "nothing came in time: waited 60ms")
        },
        Row {
            limits: impatient,
            ..row("pings instead of PHI", Pings, too_slow, "lost", "nothing came in time: waited ")
        },
        Row {
            limits: Limits {
                phi_first_byte: Duration::from_millis(500),
                phi: Duration::from_millis(700),
                ..Limits::default()
            },
            ..row(
                "PHI that is begun and not ended",
                Sends(vec![fragment(Data::Binary, false, b"Quetzal 4182937")]),
                too_slow,
                "lost",
                "nothing came in time: waited 700ms",
            )
        },
        Row {
            launcher: Some(Fault::Http500),
            ..row("the launcher fails", Nothing, no_token, "no-token", "answered 500: failed to retrieve")
        },
        Row {
            launcher: Some(Fault::NoX5c),
            ..row("a token without its chain", Nothing, no_token, "no-token", "sent a token of another type")
        },
        Row {
            launcher: Some(Fault::Hang),
            limits: Limits { launcher: Duration::from_millis(60), ..Limits::default() },
            ..row("the launcher hangs", Nothing, no_token, "no-token", "no token within 60ms")
        },
    ]
}

#[tokio::test]
async fn each_is_told_a_code_and_one_word_and_the_log_has_the_rest() {
    for row in rows() {
        let server = TestServer::start_with(row.limits, row.launcher, PATIENCE).await;
        let mut client = Client::connect(server.address).await;
        if row.launcher.is_none() {
            client.token().await;
        }
        let told = timeout(PATIENCE, async {
            match row.does {
                Does::Nothing => client.closed().await,
                Does::Sends(messages) => {
                    for message in messages {
                        client.send(message).await;
                    }
                    client.closed().await
                }
                Does::Pings => told_while_pinging(&mut client).await,
            }
        });
        let told = told.await.unwrap_or_else(|_| panic!("{}: never told", row.what));
        assert_eq!((told.0, told.1.as_str()), row.told, "{}", row.what);
        drop(client);

        let outcomes = server.outcomes().await;
        let [logged] = outcomes.as_slice() else { panic!("{}: {outcomes:?}", row.what) };
        assert_eq!(logged["outcome"], row.outcome, "{}", row.what);
        let text = logged.to_string();
        assert!(text.contains(row.logged), "{}: {text}", row.what);
        assert_eq!(logged["session"]["id"], 1, "{}: {text}", row.what);
    }
}

async fn told_while_pinging(client: &mut Client) -> (u16, String) {
    let mut often = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            _ = often.tick() => {
                // Fails once the server has closed; what it said is still to be read.
                let _ = client.websocket.send(Message::Ping("still here".into())).await;
            }
            next = client.websocket.next() => match next {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Pong(_))) => {}
                other => panic!("wanted a close frame, got {other:?}"),
            },
        }
    }
}

#[tokio::test]
async fn a_failure_of_the_launcher_is_an_error_with_a_next_step() {
    let server = TestServer::start_with(Limits::default(), Some(Fault::Http500), PATIENCE).await;
    let mut client = Client::connect(server.address).await;
    client.closed().await;
    drop(client);
    let outcomes = server.outcomes().await;
    let logged = &outcomes[0];
    assert_eq!(
        (&logged["severity"], &logged["close"]),
        (&"ERROR".into(), &"1011 attestation-unavailable".into())
    );
    assert!(logged["message"].as_str().unwrap().starts_with("token request failed: the launcher at "));
    assert!(!logged["next"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_lost_and_harms_nobody() {
    let server = TestServer::start(Limits::default()).await;
    let mut leaver = Client::connect(server.address).await;
    leaver.token().await;
    drop(leaver);
    let mut other = Client::connect(server.address).await;
    other.token().await;
    other.ask(PHI).await;
    drop(other);
    let mut outcomes = server.outcomes().await;
    outcomes.sort_by_key(|logged| logged["session"]["id"].as_u64());
    let words: Vec<_> = outcomes.iter().map(|logged| logged["outcome"].as_str().unwrap()).collect();
    assert_eq!(words, ["lost", "answered"]);
}

/// A client that closes first is answered before the connection ends (RFC 6455 §5.5.1), whenever it does.
#[tokio::test]
async fn a_client_that_closes_first_gets_its_close_frame_back() {
    for with_token in [true, false] {
        let server = TestServer::start(Limits::default()).await;
        for code in [1000, 1001, 1008, 4000] {
            let mut client = Client::connect(server.address).await;
            if with_token {
                client.token().await;
            }
            let frame = CloseFrame { code: code.into(), reason: "of its own".into() };
            client.websocket.close(Some(frame)).await.unwrap();
            let mut answer = timeout(PATIENCE, client.websocket.next()).await.unwrap();
            // Its token may have been on the way.
            if let Some(Ok(Message::Text(_))) = answer {
                answer = timeout(PATIENCE, client.websocket.next()).await.unwrap();
            }
            let Some(Ok(Message::Close(Some(frame)))) = answer else {
                panic!("{code}: wanted a close frame, got {answer:?}");
            };
            assert_eq!(u16::from(frame.code), code);
            assert!(client.websocket.next().await.is_none_or(|more| more.is_err()), "{code}");
        }
    }
}

/// One request over TLS, and everything that is answered until the server closes.
async fn request(server: &TestServer, text: &str) -> String {
    let mut tls = dial(server.address).await;
    tls.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    answer.to_ascii_lowercase()
}

/// A sound upgrade, but for what is changed in it.
fn upgrade(change: (&str, &str)) -> String {
    let text = "GET /connection HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(text.contains(change.0));
    text.replace(change.0, change.1)
}

#[tokio::test]
async fn http_gets_an_honest_status_and_costs_no_token() {
    let server = TestServer::start(Limits::default()).await;
    let rows = [
        ("another path", ("/connection", "/"), "http/1.1 404 not found", "the websocket is at /connection"),
        ("another method", ("GET", "POST"), "http/1.1 405 method not allowed", "allow: get"),
        ("no upgrade", ("Upgrade: websocket\r\n", ""), "http/1.1 426 upgrade required", "upgrade: websocket"),
        ("an old version", ("Version: 13", "Version: 8"), "http/1.1 426 upgrade required", "version 13 only"),
        ("no key", ("Key:", "Lock:"), "http/1.1 426 upgrade required", "upgrade: websocket"),
    ];
    for (what, change, status, part) in rows {
        let answer = request(&server, &upgrade(change)).await;
        assert!(answer.starts_with(status), "{what}: {answer}");
        assert!(answer.contains(part), "{what}: {answer}");
    }
    assert_eq!(server.launcher.issued(), 0);
    let outcomes = server.outcomes().await;
    let statuses: Vec<_> = outcomes.iter().map(|logged| logged["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [404, 405, 426, 426, 426]);
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let full = [
        ("connections in all", Limits { connections: 1, ..Limits::default() }),
        ("connections from one address", Limits { connections_per_address: 1, ..Limits::default() }),
    ];
    for (what, limits) in full {
        let server = TestServer::start(limits).await;
        let mut first = Client::connect(server.address).await;
        first.token().await;
        let answer = request(&server, &upgrade(("Host: x", "Host: y"))).await;
        assert!(answer.starts_with("http/1.1 503 service unavailable"), "{what}: {answer}");
        assert!(answer.contains("\r\nretry-after: 2\r\n"), "{what}: {answer}");
        // The one who is in is not disturbed.
        first.ask(PHI).await;
        drop(first);
        server.outcomes().await;
    }
}

#[tokio::test]
async fn sessions_that_wait_for_a_token_are_limited_and_those_that_have_one_do_not_count() {
    let limits = Limits { waiting_for_token: 1, ..Limits::default() };
    let server = TestServer::start_with(limits, None, Duration::ZERO).await;
    let mut has_one = Client::connect(server.address).await;
    has_one.token().await;
    server.launcher.set_fault(Some(Fault::Hang));
    let mut waits = Client::connect(server.address).await;
    let answer = request(&server, &upgrade(("Host: x", "Host: y"))).await;
    assert!(answer.starts_with("http/1.1 503 service unavailable"), "{answer}");
    has_one.ask(PHI).await;
    server.shut_down();
    assert_eq!(waits.closed().await, (1001, "draining".to_owned()));
    drop((has_one, waits));
    server.outcomes().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_for_a_token_gives_its_place_up() {
    let limits = Limits { waiting_for_token: 1, ..Limits::default() };
    let server = TestServer::start_with(limits, None, Duration::ZERO).await;
    server.launcher.set_fault(Some(Fault::Hang));
    let waits = Client::connect(server.address).await;
    let answer = request(&server, &upgrade(("Host: x", "Host: y"))).await;
    assert!(answer.starts_with("http/1.1 503 service unavailable"), "{answer}");
    drop(waits);
    server.launcher.set_fault(None);
    // Its place is free as soon as the server has noticed; until then the answer is still 503.
    let free = async {
        let mut status = [0; 12];
        while &status != b"HTTP/1.1 101" {
            let mut next = dial(server.address).await;
            next.write_all(upgrade(("Host: x", "Host: y")).as_bytes()).await.unwrap();
            next.read_exact(&mut status).await.unwrap();
        }
    };
    timeout(PATIENCE, free).await.expect("the place of the one who left stays taken");
}

#[tokio::test]
async fn handshakes_of_one_address_are_limited_and_do_not_keep_it_from_its_sessions() {
    let limits = Limits { handshakes_per_address: 1, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let mut session = Client::connect(server.address).await;
    session.token().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    // The silent one holds the one handshake of this address: the next is dropped without an answer.
    let mut dropped = TcpStream::connect(server.address).await.unwrap();
    let ended = timeout(PATIENCE, dropped.read(&mut [0; 16])).await.unwrap();
    assert!(!ended.is_ok_and(|bytes| bytes > 0));
    session.ask(PHI).await;
    drop((silent, session));
    server.outcomes().await;
}

#[tokio::test]
async fn who_does_not_get_as_far_as_a_websocket_in_time_is_dropped() {
    let limits = Limits { handshake: Duration::from_millis(500), ..Limits::default() };
    let server = TestServer::start(limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(timeout(PATIENCE, silent.read(&mut [0; 16])).await.unwrap().unwrap(), 0);
    let mut half = dial(server.address).await;
    half.write_all(b"GET /connection HTTP/1.1\r\n").await.unwrap();
    let ended = timeout(PATIENCE, half.read(&mut [0; 16])).await.unwrap();
    assert!(!ended.is_ok_and(|bytes| bytes > 0));
    let outcomes = server.outcomes().await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|logged| logged["outcome"] == "lost"), "{outcomes:?}");
}

/// RFC 8446 §4.2.1: without the extension `supported_versions` a client wants TLS 1.2 at most.
#[tokio::test]
async fn a_client_of_tls_1_2_is_refused_with_the_alert_that_says_so() {
    let server = TestServer::start(Limits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(&client_hello_of_tls_1_2()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap().unwrap();
    // An alert record of 2 bytes: fatal (2), protocol_version (70).
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
    assert_eq!(server.outcomes().await[0]["outcome"], "lost");
}

/// RFC 5246 §7.4.1.2, with ECDHE suites and the extensions that go with them.
fn client_hello_of_tls_1_2() -> Vec<u8> {
    let supported_groups = [0, 10, 0, 6, 0, 4, 0, 29, 0, 23];
    let point_formats = [0, 11, 0, 2, 1, 0];
    let signature_algorithms = [0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1];
    let extended_master_secret = [0, 23, 0, 0];
    let extensions =
        [&supported_groups[..], &point_formats, &signature_algorithms, &extended_master_secret].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]);
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1];
    hello.extend((length + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend(length.to_be_bytes());
    hello.extend(body);
    hello
}
