//! Whatever answers at the address, nothing leaves without proof. Each row is a server: what it does, the exact
//! exit code, the words that the owner gets; and each time what the client sent is looked through for data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::pin::Pin;

use futures_util::SinkExt as _;
use serde_json::json;
use support::scripted::{Peer, Scripted, Seen, Tcp, Tls};
use support::{Ended, Owner, named, set, tokens};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

struct Row {
    server: &'static str,
    start: fn() -> Pin<Box<dyn Future<Output = Scripted> + Send>>,
    exit: i32,
    says: &'static [&'static str],
}

/// A row's server, started by this expression.
macro_rules! row {
    ($server:literal, $start:expr, $exit:literal, $says:expr) => {
        Row { server: $server, start: || Box::pin($start), exit: $exit, says: &$says }
    };
}

const MEGABYTE: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn no_server_that_proves_nothing_gets_a_byte() {
    let rows = [
        // Nothing at all. These take their five seconds, beside the others.
        row!("accepts and is silent", Scripted::tcp(silent), 3, ["not done within 5s", "try again"]),
        row!("TLS and silent", Scripted::tls(silent_tls), 3, ["not done within 5s"]),
        // No TLS.
        row!("nobody", async { Scripted::nobody() }, 3, ["cannot be reached", "check that USleep runs"]),
        row!("accepts and hangs up", Scripted::tcp(async |_| {}), 3, ["ended during the handshake"]),
        row!("HTTP without TLS", Scripted::tcp(|tcp| say(tcp, BAD_REQUEST)), 4, ["does not speak TLS"]),
        row!("SSH", Scripted::tcp(|tcp| say(tcp, b"SSH-2.0-OpenSSH_9.6\r\n")), 4, ["does not speak TLS"]),
        // No TLS 1.3.
        row!("TLS 1.2, ServerHello", Scripted::tcp(|tcp| say(tcp, &TLS_1_2_HELLO)), 4, ["not offer TLS 1.3"]),
        row!("TLS 1.2, alert", Scripted::tcp(|tcp| say(tcp, &TLS_1_2_ALERT)), 4, ["not offer TLS 1.3"]),
        row!("TLS, another alert", Scripted::tcp(|tcp| say(tcp, &ALERT)), 4, ["TLS failed"]),
        // No websocket.
        row!("TLS and hangs up", Scripted::tls(async |_| {}), 3, ["ended during the handshake"]),
        row!("HTTP 404", Scripted::tls(|tls| http(tls, "404 Not Found", "")), 6, ["HTTP 404"]),
        row!("HTTP 400", Scripted::tls(|tls| http(tls, "400 Bad Request", "")), 6, ["HTTP 400"]),
        row!("HTTP 200", Scripted::tls(|tls| http(tls, "200 OK", "")), 4, ["no websocket", "HTTP 200"]),
        row!("HTTP 302", Scripted::tls(|tls| http(tls, "302 Found", "location: /\r\n")), 4, ["HTTP 302"]),
        row!("HTTP 500", Scripted::tls(|tls| http(tls, "500 Oops", "")), 4, ["HTTP 500"]),
        row!(
            "HTTP 503",
            Scripted::tls(|tls| http(tls, "503 Service Unavailable", "retry-after: 7\r\n")),
            3,
            ["busy (HTTP 503)", "try again in 7 s"]
        ),
        row!("an accept of another key", Scripted::tls(wrong_accept), 4, ["no websocket"]),
        // No token.
        row!(
            "binary first",
            Scripted::websocket(|peer| send(peer, Message::binary("x"))),
            4,
            ["wrong message: wanted the token as text, got binary"]
        ),
        row!(
            "a megabyte of text",
            Scripted::websocket(|peer| send(peer, Message::text("A".repeat(MEGABYTE)))),
            4,
            ["too large"]
        ),
        row!("a megabyte in fragments with pings between", Scripted::websocket(fragments), 4, ["too large"]),
        row!(
            "a token one byte too long",
            Scripted::websocket(|peer| send(peer, Message::text("A".repeat(128 * 1024 + 1)))),
            4,
            ["too large: wanted at most 131072 bytes"]
        ),
        row!("text that is not UTF-8", Scripted::websocket(not_utf_8), 4, ["broke the protocol"]),
        row!("a masked frame", Scripted::websocket(masked), 4, ["broke the protocol"]),
        row!("draining", Scripted::websocket(|peer| peer.close(1001, "draining")), 3, ["1001 draining"]),
        row!(
            "no token from its launcher",
            Scripted::websocket(|peer| peer.close(1011, "attestation-unavailable")),
            3,
            ["1011 attestation-unavailable", "got no token from its launcher"]
        ),
        row!("busy", Scripted::websocket(|peer| peer.close(1013, "busy")), 3, ["1013 busy"]),
        row!("1003", Scripted::websocket(|peer| peer.close(1003, "type")), 6, ["1003 type"]),
        row!("1008", Scripted::websocket(|peer| peer.close(1008, "refused")), 6, ["1008 refused"]),
        row!(
            "a reason to clear the screen",
            Scripted::websocket(|peer| peer.close(1008, "\x1b[2J")),
            6,
            ["1008 \\u{1b}[2J"]
        ),
        row!("ends without a word", Scripted::websocket(async |_| {}), 3, ["the connection ended"]),
        // A token, but no proof.
        row!(
            "an empty token",
            Scripted::websocket(|peer| send(peer, Message::text(""))),
            4,
            ["Failed to validate PKI token", "shape"]
        ),
        row!(
            "garbage",
            Scripted::websocket(|peer| send(peer, Message::text("garbage"))),
            4,
            ["not a JWT in compact form: wanted 3 segments, got 1"]
        ),
        row!(
            "garbage to move the cursor",
            Scripted::websocket(|peer| send(peer, Message::text("\x1b[2J"))),
            4,
            ["token: (4 bytes)"]
        ),
        row!("an OIDC token", Scripted::websocket(oidc), 4, ["no x5c in the header: wanted a PKI token"]),
        row!(
            "a token for another session",
            Scripted::websocket(another_session),
            5,
            [
                "PKI token validated successfully",
                "[ nonce_verified ]: false",
                "the token is authentic, but for another TLS session",
                "bm90IHRoaXMgc2Vzc2lvbg==",
                "something between you and USleep ends TLS",
            ]
        ),
        row!(
            "a token and then text",
            Scripted::websocket(token_and_text),
            4,
            ["wrong message: wanted silence, got text"]
        ),
        row!("a token and then a close", Scripted::websocket(token_and_close), 3, ["1001 draining"]),
    ];

    support::all_pass(rows.map(async |row| {
        let (ended, seen) = meet((row.start)().await).await;
        let saw = format!("{}: {ended}", row.server);
        assert_eq!(ended.code, Some(row.exit), "{saw}");
        for words in row.says {
            assert!(saw.contains(words), "no {words:?}: {saw}");
        }
        assert!(saw.contains("nothing was sent"), "{saw}");
        assert!(!saw.contains('\x1b') && !saw.contains("Sent payload."), "{saw}");
        assert!(seen.connections <= 1, "{}: dialled again", row.server);
        seen.no_data(row.server);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_refused_learns_that_it_is_and_not_why() {
    // What goes over the wire after the upgrade, to the last frame.
    let rows: [(_, Scripted, Option<(u16, &str)>); 5] = [
        (
            "garbage",
            Scripted::websocket(|peer| send(peer, Message::text("garbage"))).await,
            Some((1008, "refused")),
        ),
        ("another session", Scripted::websocket(another_session).await, Some((1008, "refused"))),
        ("binary", Scripted::websocket(|peer| send(peer, Message::binary("x"))).await, Some((1003, "type"))),
        ("a megabyte", Scripted::websocket(fragments).await, Some((1009, "too-big"))),
        ("no word", Scripted::websocket(async |_| {}).await, None),
    ];
    for (server, scripted, close) in rows {
        let (_, seen) = meet(scripted).await;
        let frames = seen.frames().into_iter().filter(|(opcode, _)| *opcode != 10).count();
        assert_eq!(frames, usize::from(close.is_some()), "{server}: more than a close frame was sent");
        assert_eq!(seen.close(), close.map(|(code, reason)| (code, reason.to_owned())), "{server}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_in_json_says_how_far_it_came() {
    let owner = Owner::new();
    let report = owner.release(Scripted::nobody().address).json().ends().await.with_code(3).json();
    assert_eq!(report["outcome"], "not-reached");
    assert_eq!(report["exit_code"], 3);
    assert_eq!(report["released"], false);
    assert_eq!(report["wire"], json!(null));
    assert_eq!(report["checks"], json!([]));
    assert!(report["reason"].as_str().unwrap().contains("cannot be reached"), "{report}");
    assert!(report["next"].as_str().unwrap().contains("check that USleep runs"), "{report}");

    let server = Scripted::websocket(another_session).await;
    let report = owner.release(server.address).json().ends().await.with_code(5).json();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("not-acceptable"), &json!(5)));
    assert_eq!((&report["released"], &report["wire"]), (&json!(false), &json!(0)));
    assert_eq!(named(&report, Some(false)), set(&["session_nonce", "nonce_verified"]));
    server.seen().await.no_data("another session");
}

/// Sends a release there, and sees it through at both ends.
async fn meet(server: Scripted) -> (Ended, Seen) {
    let ended = Owner::new().release(server.address).ends().await;
    (ended, server.seen().await)
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\nclient sent a TLS hello\n";

/// Alert, fatal, protocol_version (RFC 8446 §6): what a server that knows TLS 1.2 at most says.
const TLS_1_2_ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];
/// Alert, fatal, handshake_failure.
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

/// A record with a ServerHello (RFC 5246 §7.4.1.3): version 1.2, 32 bytes of random, no session,
/// TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression, no extensions.
const TLS_1_2_HELLO: [u8; 47] = {
    let mut record = [0x42; 47];
    let head = [0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    let tail = [0, 0xc0, 0x2f, 0];
    let mut at = 0;
    while at < head.len() {
        record[at] = head[at];
        at += 1;
    }
    at = 0;
    while at < tail.len() {
        record[43 + at] = tail[at];
        at += 1;
    }
    record
};

async fn silent(mut tcp: Tcp) {
    tcp.listen().await;
}

async fn silent_tls(mut tls: Tls) {
    tls.listen().await;
}

/// Answers the ClientHello with these bytes.
async fn say(mut tcp: Tcp, bytes: &'static [u8]) {
    let _ = tcp.read(&mut [0; 4096]).await;
    let _ = tcp.write_all(bytes).await;
    tcp.listen().await;
}

/// Answers the request for an upgrade.
async fn http(mut tls: Tls, status: &'static str, headers: &'static str) {
    let _ = tls.read(&mut [0; 4096]).await;
    let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: 3\r\n\r\nno\n");
    let _ = tls.write_all(answer.as_bytes()).await;
    let _ = tls.flush().await;
    tls.listen().await;
}

async fn wrong_accept(tls: Tls) {
    let headers =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    http(tls, "101 Switching Protocols", headers).await;
}

async fn send(mut peer: Peer, message: Message) {
    peer.send(message).await;
    peer.listen().await;
}

/// A message that never ends, a ping before each of its fragments.
async fn fragments(mut peer: Peer) {
    let fragment = vec![b'A'; 32 * 1024];
    for number in 0..MEGABYTE / fragment.len() {
        peer.send(Message::Ping("still there".into())).await;
        let data = if number == 0 { Data::Text } else { Data::Continue };
        peer.send(Message::Frame(Frame::message(fragment.clone(), OpCode::Data(data), false))).await;
    }
    peer.listen().await;
}

async fn not_utf_8(mut peer: Peer) {
    peer.send(Message::Frame(Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true))).await;
    peer.listen().await;
}

/// Servers must not mask (RFC 6455 §5.1).
async fn masked(mut peer: Peer) {
    let _ = peer.websocket.get_mut().write_all(&[0x81, 0x81, 1, 2, 3, 4, b'x' ^ 1]).await;
    peer.listen().await;
}

async fn oidc(peer: Peer) {
    let token = tokens::oidc_token(&peer.nonce);
    send(peer, Message::text(token)).await;
}

async fn another_session(peer: Peer) {
    let token = tokens::token("bm90IHRoaXMgc2Vzc2lvbg==", &json!({}));
    send(peer, Message::text(token)).await;
}

/// The token first, which is good, and in the same breath something else.
async fn token_and(mut peer: Peer, second: Message) {
    let token = tokens::token(&peer.nonce, &json!({}));
    let _ = peer.websocket.feed(Message::text(token)).await;
    let _ = peer.websocket.feed(second).await;
    let _ = peer.websocket.flush().await;
    peer.listen().await;
}

async fn token_and_text(peer: Peer) {
    let second = tokens::token(&peer.nonce, &json!({}));
    token_and(peer, Message::text(second)).await;
}

async fn token_and_close(mut peer: Peer) {
    let token = tokens::token(&peer.nonce, &json!({}));
    let _ = peer.websocket.feed(Message::text(token)).await;
    peer.close(1001, "draining").await;
}
