//! A model of wire version 1, searched for attacks.
//!
//! The model is small: a few TLS sessions between honest clients, honest servers, genuine copies of both that somebody
//! else runs, and an attacker on every path. From each moment the checker (the crate `stateright`) tries everything that
//! anybody can do next, until nothing new turns up. So *holds* means that no run of this model breaks it. Where a part of
//! the protocol is taken away, the shortest run that breaks it is the attack which that part is there to stop: the tests in
//! `attacks` show each in words.
//!
//! What the attacker can do. He leads a client to a server of his choice or ends its TLS himself, opens sessions of his
//! own to servers, and runs genuine copies of both images, whose code he cannot change. He knows every token as soon as it
//! is made, every leaf, node and key that is public, the exporter and the nonces of his own sessions and of those whose
//! evidence has been given away. He sends them wherever he likes, late, twice, to whom they came from, with any proof that
//! can be built of what he knows, of any length and shape. What he cannot do: break cryptography, read or change what
//! others say inside TLS, get a token from anybody but the genuine ends.
//!
//! What is bounded: at most two sessions that honest clients open and two that he opens, each used once; as a nonce he
//! sends one of his own, a nonce that he knows, or a leaf of a session that he knows. All this is searched to the end.
//!
//! What is left out, each time to his advantage: a tree's size and a leaf's index (the real nonce and proof hold both), the
//! hash over the transcript below the leaf and all lengths (the prefixes alone must tell a leaf from a node), the age of
//! tokens, most of the policy. What is left out and tested elsewhere: bytes and encodings, limits and deadlines, version
//! 0, many nights in one session, the commitments in a receipt, and whether the code does what the model does.
//!
//! Where to read: `variant` says what can be taken away, `properties` what must hold, `honest` and `attacker` what each can
//! do, `action` the steps in words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod action;
mod attacker;
mod attacks;
mod honest;
mod properties;
mod protocol;
mod search;
mod state;
mod terms;
mod variant;

use protocol::Setup;
use search::search;
use variant::{Variant, WIRE_1};

/// Nothing is broken, and all that should happen can happen.
fn assert_holds(variant: Variant, setup: Setup) {
    let found = search(variant, setup);
    println!("{} states, {setup:?}", found.states);
    assert!(found.broken.is_empty() && found.missing.is_empty(), "{found:?}, {setup:?}, {variant:?}");
}

#[test]
fn without_an_attacker_every_session_ends_with_phi_received_and_the_receipt_accepted() {
    for mutual in [false, true] {
        assert_holds(WIRE_1, Setup { mutual, clients: 2, attackers: 0 });
    }
}

#[test]
fn no_attacker_gets_phi_or_forges_a_receipt() {
    assert_holds(WIRE_1, Setup { mutual: false, clients: 2, attackers: 2 });
}

#[test]
fn no_attacker_gets_phi_passes_for_a_client_or_forges_a_receipt_where_both_ends_attest() {
    assert_holds(WIRE_1, Setup { mutual: true, clients: 2, attackers: 2 });
}

#[test]
fn what_is_there_twice_can_fail_once() {
    let variants = [
        // Role and audience both tell a client's token from a server's.
        Variant { role_in_transcript: false, ..WIRE_1 },
        Variant { audience_for_each_role: false, ..WIRE_1 },
        // Exporter, nonces and key all tell one session from another.
        Variant { nonces_in_transcript: false, ..WIRE_1 },
        Variant { exporter_repeats: true, ..WIRE_1 },
    ];
    for variant in variants {
        assert_holds(variant, Setup { mutual: true, clients: 2, attackers: 1 });
        assert_holds(variant, Setup { mutual: true, clients: 1, attackers: 2 });
    }
}
