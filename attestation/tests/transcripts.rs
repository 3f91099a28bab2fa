//! The transcript of wire version 1: each part of a session is in it, and nothing of the exporter is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use attestation::Role;
use attestation::v1::{HelloNonce, Leaf, SessionBinding, Transcript};

fn binding(exporter: u8, spki: &[u8]) -> SessionBinding {
    let export = |buffer: &mut [u8; 32], _: &[u8], _: Option<&[u8]>| {
        *buffer = [exporter; 32];
        Ok::<(), ()>(())
    };
    SessionBinding::of_session(export, spki).unwrap()
}

fn transcript(role: Role, exporter: u8, spki: &[u8], client: u8, server: u8) -> Transcript {
    let nonce = |byte| HelloNonce::from_bytes([byte; 32]);
    binding(exporter, spki).transcript(role, &nonce(client), &nonce(server))
}

#[test]
fn every_part_of_a_session_makes_another_leaf() {
    let leaves: [Leaf; 7] = [
        transcript(Role::Server, 0xee, b"key", 1, 2),
        transcript(Role::Client, 0xee, b"key", 1, 2),
        transcript(Role::Server, 0xef, b"key", 1, 2),
        transcript(Role::Server, 0xee, b"kez", 1, 2),
        transcript(Role::Server, 0xee, b"key", 3, 2),
        transcript(Role::Server, 0xee, b"key", 1, 3),
        transcript(Role::Server, 0xee, b"key", 2, 1),
    ]
    .map(|transcript| transcript.leaf());
    let different: BTreeSet<&[u8; 32]> = leaves.iter().map(Leaf::as_bytes).collect();
    assert_eq!(different.len(), leaves.len());
    assert_eq!(leaves[0], transcript(Role::Server, 0xee, b"key", 1, 2).leaf());
}

#[test]
fn an_exporter_that_fails_binds_nothing() {
    let failed = SessionBinding::of_session(|_, _, _| Err("handshake not complete"), b"key");
    assert_eq!(failed.map(drop), Err("handshake not complete"));
}

#[test]
fn nothing_of_the_exporter_is_shown() {
    assert_eq!(format!("{:?}", binding(0xee, b"key")), "SessionBinding(..)");
    let transcript = transcript(Role::Client, 0xee, b"key", 1, 2);
    assert_eq!(format!("{transcript:?}"), "Transcript { role: Client, .. }");
}

#[test]
fn no_two_hello_nonces_are_the_same() {
    let nonces: BTreeSet<[u8; 32]> = (0..100).map(|_| *HelloNonce::random().unwrap().as_bytes()).collect();
    assert_eq!(nonces.len(), 100);
    let shown = format!("{:?}", HelloNonce::from_bytes([0; 32]));
    assert_eq!(shown, "HelloNonce(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=)");
}
