//! What operators and balancers rely on: health checks, an identity that is renewed, a log that no flood drowns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::server::TestServer;
use common::version_1::Client1;
use common::{Client, PHI, dial};
use mock_launcher::Fault;
use serde_json::Value;
use session::server::{CurrentIdentity, Readiness};
use session::{Identity, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any session of a test takes to end by itself.
const DRAIN: Duration = Duration::from_secs(20);

/// Not ready, for a reason that is set.
#[derive(Default)]
struct Says(Mutex<Option<&'static str>>);

impl Readiness for Says {
    fn ready(&self) -> Result<(), &'static str> {
        self.0.lock().unwrap().map_or(Ok(()), Err)
    }
}

/// One request over TLS, and everything that is answered until the server closes.
async fn asked(server: &TestServer, method: &str, path: &str) -> String {
    let mut tls = dial(server.address).await;
    tls.write_all(request(method, path).as_bytes()).await.unwrap();
    answer(&mut tls).await
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

async fn answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Status, headers and body.
#[track_caller]
fn parts(answer: &str) -> (u16, String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body)
}

#[tokio::test]
async fn checks_are_answered_on_the_port_of_the_sessions_and_close_the_connection() {
    let says = Arc::new(Says::default());
    let readiness = Arc::clone(&says);
    let server = TestServer::configured(
        Limits::default(),
        |mock| mock,
        DRAIN,
        |server| server.with_readiness(readiness),
    )
    .await;
    let rows = [
        (None, "GET", "/healthz", 200, "alive\n"),
        (None, "GET", "/readyz", 200, "ready\n"),
        (None, "HEAD", "/healthz", 200, ""),
        (Some("quota"), "GET", "/healthz", 200, "alive\n"),
        (Some("quota"), "GET", "/readyz", 503, "not ready: quota\n"),
        (Some("quota"), "HEAD", "/readyz", 503, ""),
        (None, "POST", "/readyz", 405, "wanted GET or HEAD\n"),
        (None, "GET", "/readyz/", 404, "the websocket is at /connection\n"),
        (None, "GET", "/metrics", 404, "the websocket is at /connection\n"),
    ];
    for (why, method, path, status, text) in rows {
        *says.0.lock().unwrap() = why;
        let answer = asked(&server, method, path).await;
        let (got, head, body) = parts(&answer);
        assert_eq!((got, body), (status, text), "{method} {path}");
        assert!(head.contains("\r\nconnection: close"), "{head}");
    }
    assert_eq!(server.launcher.issued(), 0);
    server.outcomes().await;
}

#[tokio::test]
async fn checks_take_no_place_of_a_session_and_are_answered_when_there_is_none() {
    let limits = Limits { waiting_for_token: 1, connections: 1, ..Limits::default() };
    let server = TestServer::start_with(limits, Some(Fault::Hang), Duration::ZERO).await;
    let mut waits = Client::connect(server.address).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(parts(&asked(&server, "GET", path).await).0, 200, "{path}");
    }
    assert_eq!(parts(&asked(&server, "GET", "/connection").await).0, 426);
    server.shut_down();
    assert_eq!(waits.closed().await.0, 1001);
    drop(waits);
    server.outcomes().await;
}

#[tokio::test]
async fn once_it_is_told_to_end_nobody_is_told_that_it_is_well() {
    let server = TestServer::start(Limits::default()).await;
    let mut session = Client::connect(server.address).await;
    session.token().await;
    let mut connected = Vec::new();
    for _ in 0..2 {
        connected.push(dial(server.address).await);
    }
    server.shut_down();
    // The port is closed as soon as the server has heard of it.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for (tls, path) in connected.iter_mut().zip(["/healthz", "/readyz"]) {
        tls.write_all(request("GET", path).as_bytes()).await.unwrap();
        let answer = answer(tls).await;
        assert_eq!((parts(&answer).0, parts(&answer).2), (503, "not ready: draining\n"), "{path}");
    }
    // The session under way is not disturbed.
    session.ask(PHI).await;
    drop((session, connected));
    server.outcomes().await;
}

#[tokio::test]
async fn a_connection_keeps_the_identity_of_its_handshake_when_another_takes_its_place() {
    let mut current: Option<CurrentIdentity> = None;
    let server = TestServer::configured(
        Limits::default(),
        |mock| mock,
        DRAIN,
        |server| {
            current = Some(server.identity());
            server
        },
    )
    .await;
    let mut before = Client1::connect(server.address).await;
    current.unwrap().renew(Identity::generate().unwrap()).unwrap();
    let mut after = Client1::greet(server.address, false).await;
    assert_ne!(before.bound.spki, after.bound.spki);

    // Token and receipt are of the key that each has seen: that of the older one is asked for after the renewal.
    let hello = common::peers::hello(&before.bound, false).to_string();
    before.send(tokio_tungstenite::tungstenite::Message::text(hello)).await;
    for client in [&mut before, &mut after] {
        let attestation = client.attestation().await;
        client.ask(PHI, &attestation).await;
    }
    drop((before, after));
    let outcomes = server.outcomes().await;
    assert!(outcomes.iter().all(|logged| logged["outcome"] == "answered"), "{outcomes:?}");
}

#[tokio::test]
async fn a_flood_of_garbage_gets_few_lines_and_what_is_left_out_is_told() {
    const GARBAGE: u64 = 10_000;
    let server = TestServer::start(Limits::default()).await;
    let started = Instant::now();
    for _ in 0..GARBAGE {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        // An alert, and the end.
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    }
    let log = server.log().await;
    let seconds = started.elapsed().as_secs() + 2;
    let left_out: u64 = log.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    let lines = log.iter().filter(|line| line["message"] == "no session came about").count() as u64;
    assert_eq!(lines + left_out, GARBAGE);
    assert!(lines <= 10 * seconds, "{lines} lines in {seconds} s");
    assert!(left_out > 0);
    let told: Vec<&Value> = log.iter().filter(|line| line.get("left_out").is_some()).collect();
    assert!(told.iter().all(|line| line["kind"] == "no-session"), "{told:?}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_bounded_too_and_answers_are_all_logged() {
    const REFUSALS: u64 = 30;
    let server = TestServer::start(Limits::default()).await;
    for _ in 0..REFUSALS {
        let mut client = Client::connect(server.address).await;
        client.token().await;
        client.send(tokio_tungstenite::tungstenite::Message::binary("{}")).await;
        assert_eq!(client.closed().await.0, 1008);
    }
    for _ in 0..15 {
        let mut client = Client::connect(server.address).await;
        client.token().await;
        client.ask(PHI).await;
    }
    let log = server.log().await;
    let outcome = |word: &str| log.iter().filter(|line| line["outcome"] == word).count() as u64;
    let left_out: u64 = log.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert_eq!((outcome("phi-invalid") + left_out, outcome("answered")), (REFUSALS, 15));
}
