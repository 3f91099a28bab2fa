//! Sessions of wire version 1, seen by a client that shares no code with the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::server::TestServer;
use common::version_1::{Client1, KEY};
use common::{CANARIES, Client, PHI, dial, peers};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use session::{Limits, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn words(outcomes: &[Value]) -> Vec<&str> {
    outcomes.iter().map(|logged| logged["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn phi_is_answered_with_a_result_and_a_receipt_that_the_token_vouches_for() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = Client1::greet(server.address, false).await;
    let attestation = client.attestation().await;
    assert_eq!((&attestation["attest"], &attestation["size"]), (&json!(false), &json!(1)));
    let (result, receipt) = client.ask(PHI, &attestation).await;
    let result: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["total_minutes"], 511.194);
    assert_eq!((&receipt["rules"], &receipt["program"]), (&json!("codelab"), &json!("usleep 0.1.0")));
    let age = common::tokens::now() - receipt["time"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{age}");
    for canary in CANARIES {
        assert!(!receipt.to_string().contains(canary), "{canary} in the receipt");
    }
    assert_eq!(client.client.closed().await, (1000, String::new()));
    drop(client);
    assert_eq!(words(&server.outcomes().await), ["answered"]);
}

#[tokio::test]
async fn sessions_that_wait_at_the_same_moment_share_a_token_and_each_has_a_proof_of_its_own() {
    const SESSIONS: usize = 12;
    // One session that keeps the launcher busy, so that the others wait together.
    let slow = |mock: mock_launcher::Builder| mock.latency(Duration::from_millis(400));
    let server = TestServer::configured(Limits::default(), slow, PATIENCE, |server| server).await;
    let mut first = Client1::greet(server.address, false).await;
    while server.launcher.issued() == 0 && first_waits(&mut first).await {}
    let mut others = Vec::new();
    for _ in 0..SESSIONS {
        others.push(Client1::greet(server.address, false).await);
    }
    let mut tokens = BTreeSet::new();
    let mut places = BTreeSet::new();
    for client in &mut others {
        let attestation = client.attestation().await;
        tokens.insert(attestation["token"].to_string());
        places.insert((attestation["token"].to_string(), attestation["index"].as_u64()));
        client.ask(PHI, &attestation).await;
    }
    assert_eq!(places.len(), SESSIONS, "each has its own place");
    // As they come: while one request is under way the others gather.
    assert!(tokens.len() <= 3, "{} tokens for {SESSIONS} sessions", tokens.len());
    drop((first, others));
    server.outcomes().await;
}

/// Gives the others a moment; whether the first is still without its token.
async fn first_waits(client: &mut Client1) -> bool {
    tokio::time::timeout(Duration::from_millis(5), client.client.websocket.next()).await.is_err()
}

#[tokio::test]
async fn sessions_of_version_1_take_no_places_of_version_0() {
    let limits = Limits { waiting_for_token: 1, ..Limits::default() };
    let slow = |mock: mock_launcher::Builder| mock.latency(Duration::from_millis(100));
    let server = TestServer::configured(limits, slow, PATIENCE, |server| server).await;
    let mut version_0 = Client::connect(server.address).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Client1::greet(server.address, false).await);
    }
    for client in &mut others {
        client.attestation().await;
    }
    version_0.token().await;
    drop((version_0, others));
    server.outcomes().await;
}

/// What a client does that is not as it should be, what it is told, and what the log says of it.
struct Row {
    what: &'static str,
    limits: Limits,
    /// Before its hello, or after the server's attestation.
    attested: bool,
    sends: Vec<Message>,
    /// Pings for as long as the server lets it.
    pings: bool,
    told: (u16, &'static str),
    outcome: &'static str,
    logged: &'static str,
}

fn hello(what: &'static str, message: Message, told: (u16, &'static str), logged: &'static str) -> Row {
    let limits = Limits::default();
    Row { what, limits, attested: false, sends: vec![message], pings: false, told, outcome: "lost", logged }
}

fn good_hello() -> String {
    json!({"v": 1, "client_nonce": "A".repeat(43) + "=", "attest": false}).to_string()
}

fn padded(mut json: String, length: usize) -> String {
    json.push_str(&" ".repeat(length - json.len()));
    json
}

fn rows() -> Vec<Row> {
    let (bad, too_big, wrong_type) = ((1008, "hello"), (1009, "too-big"), (1003, "type"));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut hello: Value = serde_json::from_str(&good_hello()).unwrap();
        change(&mut hello);
        Message::text(hello.to_string())
    };
    let impatient = Limits { hello: Duration::from_millis(60), ..Limits::default() };
    let begun = Message::Frame(Frame::message(b"{".to_vec(), OpCode::Data(Data::Text), false));
    let phi = |length: usize| Client1::message(padded(PHI.to_owned(), length).as_bytes());
    let limit = attestation::message::MAX_PHI_BYTES;
    let lost = |what, sends, told, logged| Row {
        attested: true,
        sends: vec![sends],
        ..hello(what, Message::text(""), told, logged)
    };
    vec![
        hello(
            "a hello one byte over the limit",
            Message::text(padded(good_hello(), 1025)),
            too_big,
            "the message is too large: wanted at most 1024 bytes",
        ),
        hello(
            "a hello of a megabyte",
            Message::text(padded(good_hello(), limit)),
            too_big,
            "the message is too large: wanted at most 1024 bytes",
        ),
        hello(
            "a binary hello",
            Message::binary(good_hello()),
            wrong_type,
            "wanted a hello as text, got binary",
        ),
        hello("no JSON", Message::text(PHI.replace('{', "")), bad, "no hello: hello: wanted one JSON object"),
        hello("an array", Message::text("[]"), bad, "no hello: "),
        hello("nothing", Message::text(""), bad, "no hello: "),
        hello(
            "an unknown key",
            changed(&|hello| hello["x"] = json!(1)),
            bad,
            "hello: wanted no other keys, got x",
        ),
        hello(
            "a key twice",
            Message::text(good_hello().replace("\"v\":1", "\"v\":1,\"v\":1")),
            bad,
            "hello: wanted each key once, got v twice",
        ),
        hello("no nonce", changed(&|hello| hello["client_nonce"] = Value::Null), bad, "client_nonce"),
        hello(
            "a nonce too short",
            changed(&|hello| hello["client_nonce"] = json!("AAAA")),
            bad,
            "client_nonce",
        ),
        hello(
            "a version with a fraction",
            changed(&|hello| hello["v"] = json!(1.0)),
            bad,
            "no hello: hello: v",
        ),
        hello(
            "another version",
            changed(&|hello| hello["v"] = json!(2)),
            (1008, "version"),
            "hello: wanted version 1, got 2",
        ),
        Row {
            limits: impatient.clone(),
            sends: Vec::new(),
            ..hello(
                "no hello in time",
                Message::text(""),
                (1008, "too-slow"),
                "nothing came in time: waited 60ms",
            )
        },
        Row {
            limits: impatient.clone(),
            sends: Vec::new(),
            pings: true,
            ..hello(
                "pings instead of a hello",
                Message::text(""),
                (1008, "too-slow"),
                "nothing came in time: waited 60ms",
            )
        },
        Row {
            limits: impatient,
            ..hello(
                "a hello that is begun and not ended",
                begun,
                (1008, "too-slow"),
                "nothing came in time: waited 60ms",
            )
        },
        Row {
            outcome: "phi-invalid",
            ..lost(
                "a message shorter than a key",
                Message::binary(vec![7; 31]),
                (1008, "phi-invalid"),
                "the PHI cannot be used: wanted a commitment key of 32 bytes before it",
            )
        },
        Row {
            outcome: "phi-invalid",
            ..lost(
                "a key and nothing behind it",
                Message::binary(KEY.to_vec()),
                (1008, "phi-invalid"),
                "the PHI cannot be used: top level",
            )
        },
        lost(
            "PHI one byte over the limit",
            phi(limit + 1),
            too_big,
            "the message is too large: wanted at most 104",
        ),
        lost(
            "text instead of PHI",
            Message::text(PHI),
            wrong_type,
            "wrong message: wanted PHI as binary, got text",
        ),
        lost(
            "a second hello",
            Message::text(good_hello()),
            wrong_type,
            "wrong message: wanted PHI as binary, got text",
        ),
    ]
}

#[tokio::test]
async fn each_is_told_a_code_and_one_word_and_the_log_has_the_rest_in_version_1_too() {
    for row in rows() {
        let server = TestServer::start_with(row.limits, None, PATIENCE).await;
        let mut client = if row.attested {
            let mut client = Client1::greet(server.address, false).await;
            client.attestation().await;
            client
        } else {
            Client1::connect(server.address).await
        };
        for message in row.sends {
            // A server that has had enough may be gone before the end.
            let _ = client.client.websocket.send(message).await;
        }
        let told = tokio::time::timeout(PATIENCE, told(&mut client.client, row.pings)).await;
        let told = told.unwrap_or_else(|_| panic!("{}: never told", row.what));
        assert_eq!((told.0, told.1.as_str()), row.told, "{}", row.what);
        drop(client);
        assert_eq!(server.launcher.issued(), u64::from(row.attested), "{}: tokens", row.what);
        let outcomes = server.outcomes().await;
        let [logged] = outcomes.as_slice() else { panic!("{}: {outcomes:?}", row.what) };
        assert_eq!(logged["outcome"], row.outcome, "{}: {logged}", row.what);
        assert!(logged.to_string().contains(row.logged), "{}: {logged}", row.what);
    }
}

async fn told(client: &mut Client, pings: bool) -> (u16, String) {
    let mut often = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            _ = often.tick(), if pings => {
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
async fn hello_and_phi_are_taken_at_their_limits() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = Client1::connect(server.address).await;
    client.bound.client_nonce = [0; 32];
    client.send(Message::text(padded(good_hello(), 1024))).await;
    let attestation = client.attestation().await;
    let phi = padded(PHI.to_owned(), attestation::message::MAX_PHI_BYTES);
    client.ask(&phi, &attestation).await;
    drop(client);
    assert_eq!(words(&server.outcomes().await), ["answered"]);
}

#[tokio::test]
async fn the_version_is_agreed_on_by_the_subprotocol_and_refused_with_400_where_it_is_not_allowed() {
    let offers = |names: &str| format!("Sec-WebSocket-Protocol: {names}\r\n");
    let none = String::new();
    let rows = [
        (Wire::Auto, none.clone(), 101, false),
        (Wire::Auto, offers("attested-sleep.v1"), 101, true),
        (Wire::Auto, offers("chat, attested-sleep.v1 ,x"), 101, true),
        (Wire::Auto, offers("chat") + &offers("attested-sleep.v1"), 101, true),
        (Wire::Auto, offers("attested-sleep.v10, Attested-Sleep.v1"), 101, false),
        (Wire::V0, offers("attested-sleep.v1"), 101, false),
        (Wire::V1, offers("attested-sleep.v1"), 101, true),
        (Wire::V1, none, 400, false),
        (Wire::V1, offers("chat"), 400, false),
    ];
    for (wire, header, status, agreed) in rows {
        let configure = |server: session::Server<_>| server.with_wire(wire);
        let server = TestServer::configured(Limits::default(), |mock| mock, Duration::ZERO, configure).await;
        let request = format!(
            "GET /connection HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{header}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut tls = dial(server.address).await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(tls.read_u8().await.unwrap()));
        }
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{wire} {header}: {head}");
        let echoed = head.to_ascii_lowercase().contains("\r\nsec-websocket-protocol: attested-sleep.v1\r\n");
        assert_eq!(echoed, agreed, "{wire} {header}: {head}");
        assert_eq!(head.to_ascii_lowercase().matches("sec-websocket-protocol").count(), usize::from(agreed));
        if status == 400 {
            let mut body = String::new();
            tls.read_to_string(&mut body).await.unwrap();
            assert_eq!(body, "wanted the websocket subprotocol attested-sleep.v1\n");
            assert_eq!(server.launcher.issued(), 0);
        }
        drop(tls);
        server.outcomes().await;
    }
}

#[tokio::test]
async fn a_session_that_has_not_greeted_yet_does_not_hold_up_the_end() {
    let server = TestServer::start_with(Limits::default(), None, Duration::from_millis(30)).await;
    let mut client = Client1::connect(server.address).await;
    server.shut_down();
    assert_eq!(client.client.closed().await, (1001, "draining".to_owned()));
    drop(client);
    assert_eq!(words(&server.outcomes().await), ["draining"]);
}

#[tokio::test]
async fn a_session_without_a_token_is_told_that_attestation_is_unavailable() {
    use mock_launcher::Fault;
    let server = TestServer::start_with(Limits::default(), Some(Fault::NoX5c), PATIENCE).await;
    let mut client = Client1::greet(server.address, false).await;
    assert_eq!(client.client.closed().await, (1011, "attestation-unavailable".to_owned()));
    drop(client);
    assert_eq!(words(&server.outcomes().await), ["no-token"]);
}

#[test]
fn the_peers_own_trees_are_those_of_the_rfc() {
    // Entries and root of the tree with 8 leaves in certificate-transparency's reference tests, whose leaves are hashed
    // like ours.
    let entries =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let leaves: Vec<_> = entries
        .iter()
        .map(|entry| {
            let bytes: Vec<u8> = (0..entry.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&entry[at..at + 2], 16).unwrap())
                .collect();
            peers::sha256(&[&[0], &bytes])
        })
        .collect();
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(peers::root(&leaves)), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    for size in 1..=8 {
        for index in 0..size {
            let proof = peers::Proof::of(index, &leaves[..size]);
            assert_eq!(peers::fold(&leaves[index], &proof), peers::root(&leaves[..size]));
        }
    }
}
