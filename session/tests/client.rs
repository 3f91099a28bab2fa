//! The client's end against servers of every kind: limits at the limit and one over, deadlines that no traffic
//! extends, and what a peer gets that speaks out of turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use attestation::{Anchors, Expectation, Phi, Verifier};
use futures_util::StreamExt as _;
use policy::{Baseline, Policy, PolicySource};
use rustls::pki_types::UnixTime;
use serde_json::json;
use session::client::{AnswerError, Approved, Connected, DEFAULT_PORT, ReleaseError};
use session::{ConnectError, ConnectOptions, Endpoint, Limits, LinkError, Wire, connect};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use zeroize::Zeroizing;

#[allow(dead_code, unreachable_pub)]
#[path = "peers/certificate.rs"]
mod certificate;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/scripted.rs"]
mod scripted;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/tokens.rs"]
mod tokens;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/version_1.rs"]
mod version_1;

use scripted::{Peer, Scripted};

const PHI: &[u8] = b"canary-name";

/// Longer than a busy machine takes for what is not meant to time out.
const SHORT: Duration = Duration::from_millis(400);

async fn dial(server: &Scripted, limits: &Limits) -> Connected {
    connect(&server.address.to_string().parse().unwrap(), &version_0(limits)).await.unwrap()
}

/// What a server without version 1 is dialled with.
fn version_0(limits: &Limits) -> ConnectOptions {
    ConnectOptions { limits: limits.clone(), wire: Wire::V0, ..ConnectOptions::default() }
}

/// Comes as far as an approved session with a server that shows good tokens.
async fn approve(connected: Connected) -> Approved {
    let presented = connected.receive_token().await.unwrap();
    let pki = tokens::pki();
    let verifier = Verifier::new(Anchors::from_der([pki.root()]).unwrap(), Expectation::default());
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
    let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
    let attested = presented.attest(&verifier, UnixTime::now()).map_err(|refused| refused.error);
    match attested.unwrap().decide(&policy, "uwear", UnixTime::now()) {
        Ok(approved) => approved,
        Err(denied) => panic!("{:?}", denied.decision),
    }
}

fn phi() -> Phi {
    Phi::new(Zeroizing::new(PHI.to_vec())).unwrap()
}

async fn say(mut peer: Peer, text: String) {
    peer.say(text).await;
    peer.listen().await;
}

/// Shows a good token, takes the PHI, answers.
async fn answer(mut peer: Peer, answer: Message) {
    let token = tokens::token(&peer.nonce, &json!({}));
    peer.say(token).await;
    assert_eq!(peer.next().await, Some(Message::binary(PHI)));
    peer.send(answer).await;
    peer.listen().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_work_out_the_same_nonce_and_every_session_has_its_own() {
    let server = Scripted::websocket(|peer| {
        let nonce = peer.nonce.clone();
        say(peer, nonce)
    });
    let server = server.await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let connected = dial(&server, &Limits::default()).await;
        assert_eq!(connected.info().key_exchange, "X25519MLKEM768");
        assert_eq!(connected.info().peer, server.address);
        let presented = connected.receive_token().await.unwrap();
        assert_eq!(presented.nonce().as_str(), presented.token().as_str());
        nonces.push(presented.nonce().clone());
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_at_the_limit_and_refused_one_byte_over() {
    let limits = Limits::default();
    let rows = [
        (128 * 1024, None),
        // Within what wire version 1 will add, but no token.
        (128 * 1024 + 1, Some(128 * 1024)),
        (limits.attestation_bytes, Some(128 * 1024)),
        // Refused by what the frame announces.
        (limits.attestation_bytes + 1, Some(limits.attestation_bytes)),
    ];
    for (length, refused) in rows {
        let server = Scripted::websocket(move |peer| say(peer, "A".repeat(length))).await;
        let received = dial(&server, &limits).await.receive_token().await;
        match (received, refused) {
            (Ok(presented), None) => assert_eq!(presented.token().as_str().len(), length),
            (Err(error), Some(limit)) => {
                assert_eq!(error, LinkError::TooLarge { limit });
                assert_eq!(server.seen().await.close(), Some((1009, "too-big".to_owned())), "{length}");
            }
            (Ok(_), Some(_)) => panic!("{length} bytes were taken"),
            (Err(error), None) => panic!("{length} bytes were refused: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_taken_at_the_limit_and_refused_one_byte_over() {
    let limit = Limits::default().result_bytes;
    assert_eq!(limit, 64 * 1024);
    let too_large = AnswerError::Link(LinkError::TooLarge { limit });
    for (length, wanted) in [(limit, Ok(limit)), (limit + 1, Err(too_large))] {
        let server = Scripted::websocket(move |peer| answer(peer, Message::text("A".repeat(length)))).await;
        let approved = approve(dial(&server, &Limits::default()).await).await;
        let result = approved.release(phi()).await.unwrap().result().await;
        assert_eq!(result.map(|answer| answer.expose().len()), wanted);
        let seen = server.seen().await;
        assert_eq!(seen.data(), [PHI]);
        assert_eq!(seen.close().unwrap().0, if wanted.is_ok() { 1000 } else { 1009 });
    }
}

/// Ways to send something for ever that is no message.
#[derive(Clone, Copy, Debug)]
enum Drip {
    Nothing,
    Pings,
    EmptyFragments,
    /// A frame that announces more than ever comes.
    Bytes,
}

impl Drip {
    const ALL: [Self; 4] = [Self::Nothing, Self::Pings, Self::EmptyFragments, Self::Bytes];

    /// Drips until the client hangs up.
    async fn run(self, mut peer: Peer) {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        let fragment = |data| Message::Frame(Frame::message(Vec::new(), OpCode::Data(data), false));
        let mut first = true;
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                message = peer.websocket.next() => match message {
                    Some(Ok(_)) => continue,
                    _ => return peer.listen().await,
                },
            }
            // That the client has hung up shows when reading.
            match self {
                Self::Nothing => {}
                Self::Pings => peer.send(Message::Ping("x".into())).await,
                Self::EmptyFragments if first => peer.send(fragment(Data::Text)).await,
                Self::EmptyFragments => peer.send(fragment(Data::Continue)).await,
                Self::Bytes => {
                    let stream = peer.websocket.get_mut();
                    // Text, 60 000 bytes.
                    let bytes: &[u8] = if first { &[0x81, 126, 0xea, 0x60] } else { b"A" };
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.flush().await;
                }
            }
            first = false;
        }
    }
}

/// A deadline that does not hold fails the test instead of hanging it.
async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(SHORT * 20, wait).await.expect("the deadline was extended")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_traffic_extends_the_wait_for_the_token() {
    for drip in Drip::ALL {
        let server = Scripted::websocket(move |peer| drip.run(peer)).await;
        let limits = Limits { attestation: SHORT, close: SHORT, ..Limits::default() };
        let connected = dial(&server, &limits).await;
        let began = Instant::now();
        let error = in_time(connected.receive_token()).await.err();
        assert_eq!(error, Some(LinkError::Timeout { waited: SHORT }), "{drip:?}");
        // With room for the closing handshake and a busy machine, but not for a default of seconds.
        assert!((SHORT..SHORT * 8).contains(&began.elapsed()), "{drip:?}: {:?}", began.elapsed());
        let seen = server.seen().await;
        seen.no_data("a drip");
        assert_eq!(seen.close(), Some((1008, "too-slow".to_owned())), "{drip:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_traffic_extends_the_wait_for_the_result() {
    for drip in Drip::ALL {
        let server = Scripted::websocket(move |mut peer| async move {
            let token = tokens::token(&peer.nonce, &json!({}));
            peer.say(token).await;
            assert_eq!(peer.next().await, Some(Message::binary(PHI)));
            drip.run(peer).await;
        });
        let server = server.await;
        let limits = Limits { result: SHORT, close: SHORT, ..Limits::default() };
        let released = approve(dial(&server, &limits).await).await.release(phi()).await.unwrap();
        let began = Instant::now();
        let error = in_time(released.result()).await.err();
        assert_eq!(error, Some(AnswerError::Link(LinkError::Timeout { waited: SHORT })), "{drip:?}");
        assert!((SHORT..SHORT * 8).contains(&began.elapsed()), "{drip:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_come_about_in_time_is_given_up() {
    // Nobody accepts, and the kernel's queue is full: who comes now hears nothing (listen(2)).
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(queued) = timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(queued.unwrap());
    }
    let limits = Limits { connect: SHORT, ..Limits::default() };
    let error = connect(&address.to_string().parse().unwrap(), &version_0(&limits)).await.err();
    assert_eq!(error.unwrap().to_string(), format!("nobody answered within {SHORT:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_the_upgrade_have_one_deadline() {
    let limits = Limits { handshake: SHORT, ..Limits::default() };
    let servers = [
        Scripted::tcp(async |mut tcp| tcp.listen().await).await,
        Scripted::tls(async |mut tls| tls.listen().await).await,
    ];
    for server in servers {
        let error = connect(&server.address.to_string().parse().unwrap(), &version_0(&limits)).await.err();
        assert!(
            matches!(error, Some(ConnectError::HandshakeTimeout { waited }) if waited == SHORT),
            "{error:?}"
        );
    }
}

#[test]
fn a_peer_that_speaks_or_leaves_before_the_release_gets_nothing() {
    let wrong = |got| LinkError::WrongType { wanted: "silence", got };
    let rows = [
        (vec![Message::text("another")], Some(wrong("text"))),
        (vec![Message::binary("another")], Some(wrong("binary"))),
        (vec![Message::Ping("x".into()), Message::text("another")], Some(wrong("text"))),
        (vec![Message::Close(None)], Some(LinkError::Closed { code: None, reason: String::new() })),
        // Control frames say nothing.
        (vec![Message::Ping("x".into()), Message::Pong("y".into())], None),
    ];
    // Two runtimes, so that the client's has heard nothing of what came while it was busy.
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (messages, refused) in rows {
        let go = Arc::new(Notify::new());
        let (told, sent) = mpsc::channel();
        let (start, script) = (Arc::clone(&go), messages.clone());
        let server = elsewhere.block_on(Scripted::websocket(move |mut peer| {
            let (start, told, messages) = (Arc::clone(&start), told.clone(), script.clone());
            async move {
                let token = tokens::token(&peer.nonce, &json!({}));
                peer.say(token).await;
                start.notified().await;
                for message in messages {
                    peer.send(message).await;
                }
                told.send(()).unwrap();
                peer.listen().await;
            }
        }));
        here.block_on(async {
            let approved = approve(dial(&server, &Limits::default()).await).await;
            go.notify_one();
            sent.recv().unwrap();
            match (approved.release(phi()).await, &refused) {
                (Err(ReleaseError::NotBegun(error)), Some(wanted)) => {
                    assert_eq!(error, *wanted, "{messages:?}");
                }
                (Ok(released), None) => released.close().await,
                (Err(error), _) => panic!("{messages:?}: {error}"),
                (Ok(_), Some(_)) => panic!("{messages:?}: released"),
            }
        });
        let seen = elsewhere.block_on(server.seen());
        match refused {
            Some(_) => seen.no_data("spoke out of turn"),
            None => assert_eq!(seen.data(), [PHI]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_stage_ends_the_connection_and_sends_nothing() {
    let server = Scripted::websocket(|mut peer| async move {
        let token = tokens::token(&peer.nonce, &json!({}));
        peer.say(token).await;
        peer.listen().await;
    });
    let server = server.await;
    drop(approve(dial(&server, &Limits::default()).await).await);
    server.seen().await.no_data("dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_session_can_be_ended_without_a_release() {
    let server = Scripted::websocket(|mut peer| async move {
        let token = tokens::token(&peer.nonce, &json!({}));
        peer.say(token).await;
        peer.listen().await;
    });
    let server = server.await;
    let mut approved = approve(dial(&server, &Limits::default()).await).await;
    assert_eq!(approved.commit(&phi()).unwrap(), None, "version 0 has no commitments");
    approved.close().await;
    let seen = server.seen().await;
    assert_eq!(seen.close(), Some((1000, String::new())));
    seen.no_data("ended");
}

#[test]
fn addresses_are_read_as_people_write_them() {
    let port = DEFAULT_PORT;
    let rows = [
        ("203.0.113.9", format!("wss://203.0.113.9:{port}/connection")),
        ("203.0.113.9:443", "wss://203.0.113.9:443/connection".to_owned()),
        ("usleep.example", format!("wss://usleep.example:{port}/connection")),
        ("usleep.example:443", "wss://usleep.example:443/connection".to_owned()),
        ("localhost:1", "wss://localhost:1/connection".to_owned()),
        ("::1", format!("wss://[::1]:{port}/connection")),
        ("[::1]", format!("wss://[::1]:{port}/connection")),
        ("[2001:db8::1]:443", "wss://[2001:db8::1]:443/connection".to_owned()),
    ];
    for (text, wanted) in rows {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), wanted);
    }
    let no_addresses = [
        "",
        ":",
        ":443",
        "usleep:",
        "usleep:port",
        "usleep:65536",
        "usleep:-1",
        "https://usleep",
        "us leep",
        "usleep/x",
        "[::1",
        "[::1]:",
        "user@usleep",
        "usleep\r\nx: y",
        "203.0.113.999:x",
    ];
    for text in no_addresses {
        let error = text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.starts_with("not an address: wanted HOST, HOST:PORT or [IPV6]:PORT, got "), "{text:?}");
        assert!(!error.contains('\n'), "{text:?}");
    }
}
