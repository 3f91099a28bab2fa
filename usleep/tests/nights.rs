//! Many nights in one session of wire version 1, sent by a client that shares no code with the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::server::TestServer;
use common::version_1::{Client1, KEY};
use common::{PHI, peers};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use session::Limits;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many nights, a line each.
fn nights(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, _| {
        writeln!(text, "{PHI}").unwrap();
        text
    })
}

fn end(messages: &Value) -> Message {
    Message::text(json!({"end": true, "messages": messages}).to_string())
}

/// A client that has been shown a token.
async fn attested(server: &TestServer) -> (Client1, Value) {
    let mut client = Client1::greet(server.address, false).await;
    let attestation = client.attestation().await;
    (client, attestation)
}

#[tokio::test]
async fn each_message_brings_a_result_and_the_end_a_summary_and_a_receipt_for_all() {
    let server = TestServer::start(Limits::default()).await;
    let (mut client, attestation) = attested(&server).await;
    let messages = [nights(2), nights(1), nights(3)];
    let mut results = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let key = if index == 0 { &KEY[..] } else { &[] };
        client.send(Message::binary([key, message.as_bytes()].concat())).await;
        results.push(client.text().await);
    }
    client.send(end(&json!(3))).await;
    results.push(client.text().await);
    let first = |text: &str| serde_json::from_str::<Value>(text).unwrap()["first_night"].clone();
    assert_eq!([first(&results[0]), first(&results[1]), first(&results[2])], [json!(1), json!(3), json!(4)]);
    let summary: Value = serde_json::from_str(&results[3]).unwrap();
    assert_eq!(summary["nights"], 6);

    let signed: Value = serde_json::from_str(&client.text().await).unwrap();
    let text = signed["receipt"].as_str().unwrap();
    peers::verify(text, signed["signature"].as_str().unwrap(), &client.bound.spki);
    let receipt: Value = serde_json::from_str(text).unwrap();
    let token = attestation["token"].as_str().unwrap();
    let phi = [&KEY[..], messages.concat().as_bytes()].concat();
    let wanted = peers::receipt(&client.bound, token, &phi, &results.concat());
    for digest in ["transcript", "token", "phi", "result"] {
        assert_eq!(receipt[digest], wanted[digest], "{digest}");
    }
    assert_eq!(client.client.closed().await, (1000, String::new()));
    drop(client);
    assert_eq!(server.outcomes().await[0]["outcome"], "answered");
}

/// What follows a first message of one night, what the client is told, and what the log says of it.
struct Row {
    what: &'static str,
    limits: Limits,
    sends: Vec<Message>,
    told: (u16, &'static str),
    outcome: &'static str,
    logged: &'static str,
}

/// Messages need not begin for a while, but the stream as a whole is to be this fast.
fn paced(stream_bytes_per_second: u64) -> Limits {
    Limits {
        phi: Duration::from_millis(100),
        phi_first_byte: Duration::from_millis(300),
        stream_bytes_per_second,
        ..Limits::default()
    }
}

fn rows() -> Vec<Row> {
    let (invalid, wrong_type, too_big) = ((1008, "phi-invalid"), (1003, "type"), (1009, "too-big"));
    let one = nights(1).len() as u64;
    let row = |what, sends, told, logged| {
        let outcome = if told == wrong_type { "lost" } else { "phi-invalid" };
        Row { what, limits: Limits::default(), sends, told, outcome, logged }
    };
    let more = |text: String| vec![Message::binary(text)];
    vec![
        row(
            "too few messages",
            vec![end(&json!(0))],
            invalid,
            "wanted an end with the number of messages that came",
        ),
        row(
            "too many messages",
            vec![end(&json!(2))],
            invalid,
            "wanted an end with the number of messages that came",
        ),
        row(
            "an end that is none",
            vec![Message::text("{\"end\":false,\"messages\":1}")],
            wrong_type,
            "malformed message",
        ),
        row("a number with a fraction", vec![end(&json!(1.0))], wrong_type, "malformed message"),
        row("no line feed", more(PHI.to_owned()), invalid, "wanted a line feed at the end of each message"),
        row("nothing", more(String::new()), invalid, "wanted a line feed at the end of each message"),
        row("an empty line", more("\n".to_owned()), invalid, "PHI cannot be used: empty, wanted one night"),
        row(
            "another person",
            more(nights(1).replace("Canary", "C.")),
            invalid,
            "PHI cannot be used: name: not that of line 1",
        ),
        row(
            "a line over the limit",
            more(" ".repeat(4097) + "\n"),
            invalid,
            "PHI cannot be used: too long, wanted at most 4096 bytes",
        ),
        Row {
            limits: Limits { stream_bytes: 3 * one - 1, ..Limits::default() },
            ..row(
                "one byte more than a session may send in all",
                more(nights(2)),
                too_big,
                "the stream is too long: wanted at most",
            )
        },
        Row {
            outcome: "lost",
            ..row(
                "a message over the limit",
                more(" ".repeat(1024 * 1024 + 1)),
                too_big,
                "the message is too large",
            )
        },
        Row {
            limits: Limits { phi_first_byte: Duration::from_millis(60), ..Limits::default() },
            outcome: "lost",
            ..row("nothing in time", Vec::new(), (1008, "too-slow"), "nothing came in time: waited 60ms")
        },
        Row {
            limits: Limits { stream: Duration::from_millis(60), ..Limits::default() },
            outcome: "lost",
            ..row("no end in time", Vec::new(), (1008, "too-slow"), "nothing came in time: waited 60ms")
        },
        Row {
            limits: paced(one + 1),
            outcome: "lost",
            ..row(
                "a byte less than buys a second more",
                Vec::new(),
                (1008, "too-slow"),
                "nothing came in time: waited 100ms",
            )
        },
        Row {
            limits: paced(one),
            outcome: "lost",
            ..row(
                "as much as buys a second more, and then nothing",
                Vec::new(),
                (1008, "too-slow"),
                "nothing came in time: waited 300ms",
            )
        },
        Row {
            limits: Limits {
                phi: Duration::from_millis(300),
                phi_first_byte: Duration::from_millis(100),
                ..paced(1)
            },
            outcome: "lost",
            ..row(
                "a message that begins and does not end",
                vec![Message::Frame(Frame::message(nights(1), OpCode::Data(Data::Binary), false))],
                (1008, "too-slow"),
                "nothing came in time: waited 300ms",
            )
        },
        Row {
            limits: Limits { part_result_bytes: 64, ..Limits::default() },
            ..row(
                "a result over its limit",
                Vec::new(),
                invalid,
                "the result is too large: wanted at most 64 bytes",
            )
        },
    ]
}

#[tokio::test]
async fn a_stream_that_goes_wrong_is_ended_with_a_word_and_has_no_summary() {
    for row in rows() {
        let server = TestServer::start_with(row.limits, None, PATIENCE).await;
        let (mut client, _) = attested(&server).await;
        client.send(Client1::message(nights(1).as_bytes())).await;
        if row.logged.contains("result is too large") {
            // Told instead of a first result.
        } else {
            assert!(client.text().await.contains("\"first_night\":1"), "{}", row.what);
        }
        for message in row.sends {
            // A server that has had enough may be gone before the end.
            let _ = client.client.websocket.send(message).await;
        }
        let told = tokio::time::timeout(PATIENCE, client.client.closed()).await;
        let told = told.unwrap_or_else(|_| panic!("{}: never told", row.what));
        assert_eq!((told.0, told.1.as_str()), row.told, "{}", row.what);
        drop(client);
        let outcomes = server.outcomes().await;
        let [logged] = outcomes.as_slice() else { panic!("{}: {outcomes:?}", row.what) };
        assert_eq!(logged["outcome"], row.outcome, "{}: {logged}", row.what);
        assert!(logged.to_string().contains(row.logged), "{}: {logged}", row.what);
    }
}

#[tokio::test]
async fn a_stream_is_taken_at_the_limit_of_all_its_messages() {
    let limits = Limits { stream_bytes: 2 * nights(1).len() as u64, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let (mut client, _) = attested(&server).await;
    client.send(Client1::message(nights(1).as_bytes())).await;
    client.text().await;
    client.send(Message::binary(nights(1))).await;
    client.text().await;
    client.send(end(&json!(2))).await;
    assert!(client.text().await.contains("\"nights\":2"));
    drop(client);
    assert_eq!(server.outcomes().await[0]["outcome"], "answered");
}

#[tokio::test]
async fn a_message_of_a_megabyte_is_answered_with_one_result_of_at_most_a_megabyte() {
    let server = TestServer::start(Limits::default()).await;
    let (mut client, _) = attested(&server).await;
    // The shortest lines there can be make for the longest result.
    let line = format!(
        "{}\n",
        PHI.replace("270.4182937", "9").replace("135.5517384", "9").replace("105.2240119", "9")
    );
    let count = attestation::message::MAX_PHI_BYTES / line.len();
    client.send(Client1::message(line.repeat(count).as_bytes())).await;
    let result = client.text().await;
    assert!(result.len() <= attestation::message::MAX_PART_RESULT_BYTES);
    assert_eq!(serde_json::from_str::<Value>(&result).unwrap()["nights"].as_array().unwrap().len(), count);
    drop(client);
    assert_eq!(server.outcomes().await[0]["outcome"], "lost");
}

#[tokio::test]
async fn a_stream_under_way_is_cut_off_when_the_server_ends() {
    let server = TestServer::start_with(Limits::default(), None, Duration::from_millis(30)).await;
    let (mut client, _) = attested(&server).await;
    client.send(Client1::message(nights(1).as_bytes())).await;
    client.text().await;
    server.shut_down();
    assert_eq!(client.client.closed().await, (1001, "draining".to_owned()));
    drop(client);
    assert_eq!(server.outcomes().await[0]["outcome"], "draining");
}

#[tokio::test]
async fn in_version_0_a_line_feed_opens_nothing() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = common::Client::connect(server.address).await;
    client.token().await;
    assert_eq!(client.ask(&nights(1)).await["total_minutes"], 511.194);
    drop(client);
    server.outcomes().await;
}
