//! The attack catalogue's second half: attacks that need a session.
//!
//! [`claims`] has authentic tokens of this instant whose nonce or audience is not what it must be, [`wire`] what a
//! server can do with messages, frames and TLS, [`relay`] those who stand between two honest ends or bring somebody
//! else's token, [`version_1`] what a server can do to proofs and [`receipts`] to receipts of wire version 1. A row of any of
//! them is an [`Attack`]. [`clients`] has what clients try on a USleep that wants them to prove themselves.

// Part of a test, whose items nobody else can reach.
#![allow(unreachable_pub)]

pub mod claims;
pub mod clients;
pub mod receipts;
pub mod relay;
pub mod version_1;
pub mod wire;

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::support::scripted::{Peer, Scripted};
use crate::support::{PHI, tokens};

/// One attack on a session of the real program.
pub struct Attack {
    /// What is done; unique.
    pub name: &'static str,
    /// The version of the wire that the owner asks for.
    pub wire: &'static str,
    /// The exact exit code.
    pub exit: i32,
    /// Checks and rules that fail, all of them; none where no token was judged, or where all is well.
    pub fails: &'static [&'static str],
    /// The reason that the report gives, or its beginning where the rest is the library's wording.
    pub reason: &'static str,
    /// Sets it up.
    pub stage: fn() -> BoxFuture<'static, Stage>,
}

/// An attack that is ready to be walked into.
pub struct Stage {
    /// Where the owner connects to.
    pub address: SocketAddr,
    /// To be awaited when the owner's program has ended: looks through what every hop received, and panics if
    /// it is not what it must be.
    pub end: BoxFuture<'static, ()>,
}

/// What the owner's peers must have received.
#[derive(Clone, Copy)]
pub enum Received {
    /// Not one byte of data.
    Nothing,
    /// The health data, once.
    Phi,
    /// In version 1: its hello, and not one byte of data.
    Hello,
    /// In version 1: its hello and the health data behind a key, once.
    PhiBehindKey,
}

impl Stage {
    /// One server, which records what it receives.
    pub fn of(server: Scripted, received: Received) -> Self {
        let address = server.address;
        let end = Box::pin(async move {
            let seen = server.seen().await;
            match received {
                Received::Nothing => seen.no_data("the server"),
                Received::Phi => assert_eq!(seen.data(), [PHI.as_bytes()]),
                Received::Hello => seen.only_a_hello("the server"),
                Received::PhiBehindKey => {
                    let data = seen.data();
                    assert_eq!(data.len(), 2);
                    assert_eq!(&data[1][32..], PHI.as_bytes());
                }
            }
        });
        Self { address, end }
    }
}

/// Shows an authentic token of now for this session, but for the patch.
pub async fn show(mut peer: Peer, patch: fn(&str) -> Value) {
    let token = tokens::token(&peer.nonce, &patch(&peer.nonce));
    peer.say(token).await;
    peer.listen().await;
}

/// Waits for the health data, and hangs up without a word, as a codelab USleep does.
pub async fn take_phi(mut peer: Peer) {
    let _ = peer.next().await;
}
