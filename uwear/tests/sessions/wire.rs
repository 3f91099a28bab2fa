//! What a server can do with TLS, frames and messages. Its tokens are authentic and made for this very session.

use std::io::Write as _;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{Attack, Received, Stage, take_phi};
use crate::support::scripted::{Peer, Scripted, Tcp};
use crate::support::tokens;

/// A row whose server is started by this expression and must receive nothing.
macro_rules! attack {
    ($name:literal, $server:expr, $exit:literal, $reason:literal) => {
        Attack {
            name: $name,
            wire: "0",
            exit: $exit,
            fails: &[],
            reason: $reason,
            stage: || Box::pin(async { Stage::of($server.await, Received::Nothing) }),
        }
    };
}

/// A row that is odd and allowed.
macro_rules! genuine {
    ($name:literal, $script:expr) => {
        Attack {
            name: $name,
            wire: "0",
            exit: 0,
            fails: &[],
            reason: "",
            stage: || Box::pin(async { Stage::of(Scripted::websocket($script).await, Received::Phi) }),
        }
    };
}

/// What the report says where the library has its own words for the rest.
macro_rules! broke {
    ($name:literal, $script:expr) => {
        attack!($name, Scripted::websocket($script), 4, "no token: the other end broke the protocol: ")
    };
}

pub const TLS: &[Attack] = &[
    attack!(
        "TLS 1.2 offered only",
        Scripted::tcp(|tcp| say(tcp, server_hello([0x42; 8]))),
        4,
        "the server does not offer TLS 1.3"
    ),
    attack!(
        "TLS 1.2 with the mark of a server that was talked down from 1.3",
        // The last eight bytes of the random (RFC 8446 §4.1.3).
        Scripted::tcp(|tcp| say(tcp, server_hello(*b"DOWNGRD\x01"))),
        4,
        "the server does not offer TLS 1.3"
    ),
    attack!(
        "TLS 1.2 at most, said by an alert",
        // Fatal, protocol_version (RFC 8446 §6).
        Scripted::tcp(|tcp| say(tcp, vec![0x15, 3, 3, 0, 2, 2, 70])),
        4,
        "the server does not offer TLS 1.3"
    ),
];

pub const MESSAGES: &[Attack] = &[
    attack!(
        "binary first",
        Scripted::websocket(|peer| token_as(peer, |token| vec![Message::binary(token)])),
        4,
        "no token: wrong message: wanted the token as text, got binary; nothing was sent"
    ),
    attack!(
        "binary first, the token behind it",
        Scripted::websocket(|peer| token_as(peer, |token| vec![Message::binary("x"), Message::text(token)])),
        4,
        "no token: wrong message: wanted the token as text, got binary; nothing was sent"
    ),
    attack!(
        "two tokens",
        Scripted::websocket(|peer| token_as(peer, |token| vec![
            Message::text(token.clone()),
            Message::text(token)
        ])),
        4,
        "no token: wrong message: wanted silence, got text; nothing was sent"
    ),
    attack!(
        "a token and a word",
        Scripted::websocket(|peer| token_as(peer, |token| vec![
            Message::text(token),
            Message::text("go on")
        ])),
        4,
        "no token: wrong message: wanted silence, got text; nothing was sent"
    ),
    attack!(
        "a token and the token as binary",
        Scripted::websocket(|peer| token_as(peer, |token| vec![
            Message::text(token.clone()),
            Message::binary(token)
        ])),
        4,
        "no token: wrong message: wanted silence, got binary; nothing was sent"
    ),
    attack!(
        "a token and an empty message",
        Scripted::websocket(|peer| token_as(peer, |token| vec![Message::text(token), Message::text("")])),
        4,
        "no token: wrong message: wanted silence, got text; nothing was sent"
    ),
    attack!(
        "a token after a close frame",
        // 1000 without a reason.
        Scripted::websocket(
            |peer| token_within(peer, |token| [frame(0x88, &[3, 0xe8]), text(token)].concat())
        ),
        3,
        "no token: the other end closed the session: 1000; nothing was sent"
    ),
    attack!(
        "a close frame right behind a good token",
        Scripted::websocket(|peer| {
            token_within(peer, |token| {
                [text(token), frame(0x88, &[&[3, 0xf3], &b"attestation-unavailable"[..]].concat())].concat()
            })
        }),
        3,
        "no token: the other end closed the session: 1011 attestation-unavailable; nothing was sent"
    ),
    attack!(
        "the end of TLS right behind a good token",
        Scripted::websocket(token_and_close_notify),
        3,
        "no token: the connection ended; nothing was sent"
    ),
    genuine!("a token in 200 fragments", |peer| fragments(peer, false)),
    genuine!("a token in 200 fragments with pings between", |peer| fragments(peer, true)),
    genuine!("pings and pongs around a token", async |mut peer: Peer| {
        let token = tokens::token(&peer.nonce, &json!({}));
        for message in [ping(), Message::Pong("x".into()), Message::text(token), ping()] {
            peer.send(message).await;
        }
        take_phi(peer).await;
    }),
];

pub const FRAMES: &[Attack] = &[
    broke!("a token marked as compressed", |peer| token_within(peer, |token| frame(0xc1, token))),
    broke!("a token with the second reserved bit", |peer| token_within(peer, |token| frame(0xa1, token))),
    broke!("a token with the third reserved bit", |peer| token_within(peer, |token| frame(0x91, token))),
    broke!("a token in a frame of a reserved data kind", |peer| token_within(peer, |token| frame(
        0x83, token
    ))),
    broke!("a token in a frame of a reserved control kind", |peer| token_within(peer, |token| frame(
        0x8b, token
    ))),
    broke!("a token in a masked frame", |peer| token_within(peer, masked)),
    broke!("a token in the rest of no message", |peer| token_within(peer, |token| frame(0x80, token))),
    broke!("a token within the fragments of another", |peer| {
        token_within(peer, |token| [frame(0x01, &token[..50]), text(token)].concat())
    }),
    broke!("a token in a ping", |peer| token_within(peer, |token| frame(0x89, token))),
    broke!("a ping in fragments", |peer| {
        token_within(peer, |token| [frame(0x09, b"x"), frame(0x80, b"x"), text(token)].concat())
    }),
    broke!("a byte in the token that is not UTF-8", |peer| {
        token_within(peer, |token| text(&[token, &[0xff]].concat()))
    }),
    broke!("a byte before the token that is not UTF-8", |peer| {
        token_within(peer, |token| text(&[&[0xc0, 0x80], token].concat()))
    }),
    attack!(
        "a frame that announces more than a token may be long",
        Scripted::websocket(|peer| token_within(peer, |token| announced(1 << 32, token))),
        4,
        "no token: the message is too large: wanted at most 135168 bytes; nothing was sent"
    ),
    attack!(
        "a frame that announces more than there is memory",
        Scripted::websocket(|peer| token_within(peer, |token| announced(u64::MAX >> 1, token))),
        4,
        "no token: the message is too large: wanted at most 135168 bytes; nothing was sent"
    ),
    attack!(
        "a frame that announces more than is allowed to be said",
        // RFC 6455 §5.2: the most significant bit must be 0.
        Scripted::websocket(|peer| token_within(peer, |token| announced(u64::MAX, token))),
        4,
        "no token: the message is too large: wanted at most 135168 bytes; nothing was sent"
    ),
];

/// Answers the ClientHello with these bytes.
async fn say(mut tcp: Tcp, bytes: Vec<u8>) {
    let _ = tcp.read(&mut [0; 4096]).await;
    let _ = tcp.write_all(&bytes).await;
    tcp.listen().await;
}

/// A record with a ServerHello (RFC 5246 §7.4.1.3): version 1.2, a random that ends so, no session,
/// TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression, no extensions.
fn server_hello(end_of_random: [u8; 8]) -> Vec<u8> {
    let head = [0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    [&head[..], &[0x42; 24], &end_of_random, &[0, 0xc0, 0x2f, 0]].concat()
}

/// Sends messages made from the token in one breath.
async fn token_as(mut peer: Peer, messages: fn(String) -> Vec<Message>) {
    for message in messages(tokens::token(&peer.nonce, &json!({}))) {
        let _ = peer.websocket.feed(message).await;
    }
    let _ = peer.websocket.flush().await;
    peer.listen().await;
}

/// Sends bytes made from the token, past the websocket library.
async fn token_within(mut peer: Peer, bytes: fn(&[u8]) -> Vec<u8>) {
    let token = tokens::token(&peer.nonce, &json!({}));
    let stream = peer.websocket.get_mut();
    let _ = stream.write_all(&bytes(token.as_bytes())).await;
    let _ = stream.flush().await;
    peer.listen().await;
}

/// The token and TLS' own farewell (RFC 8446 §6.1) in one write, so that both are there when the first is read.
async fn token_and_close_notify(mut peer: Peer) {
    let token = tokens::token(&peer.nonce, &json!({}));
    let stream = peer.websocket.get_mut();
    let (_, tls) = stream.stream.get_mut();
    tls.writer().write_all(&text(token.as_bytes())).unwrap();
    tls.send_close_notify();
    let _ = stream.flush().await;
    stream.listen().await;
}

async fn fragments(mut peer: Peer, pings: bool) {
    let token = tokens::token(&peer.nonce, &json!({}));
    let parts: Vec<&[u8]> = token.as_bytes().chunks(token.len().div_ceil(200)).collect();
    for (number, part) in parts.iter().enumerate() {
        if pings {
            peer.send(ping()).await;
        }
        let data = if number == 0 { Data::Text } else { Data::Continue };
        let last = number + 1 == parts.len();
        peer.send(Message::Frame(Frame::message(part.to_vec(), OpCode::Data(data), last))).await;
    }
    take_phi(peer).await;
}

fn ping() -> Message {
    Message::Ping("still there".into())
}

/// A text message in one frame.
fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

/// A frame (RFC 6455 §5.2) with this first byte: FIN, three reserved bits, opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = match length {
        0..126 => vec![first, payload.len() as u8],
        _ => [&[first, 126][..], &length.to_be_bytes()].concat(),
    };
    frame.extend(payload);
    frame
}

/// A text frame that says it is so long and is not.
fn announced(length: u64, payload: &[u8]) -> Vec<u8> {
    [&[0x81, 127][..], &length.to_be_bytes(), payload].concat()
}

/// A good text frame but for its mask, which servers must not use (RFC 6455 §5.1).
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = text(payload);
    let head = if payload.len() < 126 { 2 } else { 4 };
    frame[1] |= 0x80;
    let mask = [1, 2, 3, 4];
    for (byte, mask) in frame[head..].iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    frame.splice(head..head, mask);
    frame
}
