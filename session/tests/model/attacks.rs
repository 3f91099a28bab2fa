//! Each part of version 1 taken away, and the attack that it is there to stop.

use crate::properties::{CLIENT, OPERATOR, PHI, RECEIPT};
use crate::protocol::Setup;
use crate::search::{search, shortest_attack};
use crate::variant::{Variant, WIRE_1};

/// One client, and one session that the attacker opens.
const ONE_SIDED: Setup = Setup { mutual: false, clients: 1, attackers: 1 };
/// The same where clients attest too.
const MUTUAL: Setup = Setup { mutual: true, clients: 1, attackers: 1 };

/// Exactly these properties are broken.
fn assert_broken(variant: Variant, setup: Setup, broken: &[&'static str]) {
    let found = search(variant, setup);
    println!("{} states, {setup:?}", found.states);
    assert_eq!(found.broken, broken.iter().copied().collect(), "{setup:?}, {variant:?}");
}

/// This is how the property is broken with the fewest steps.
fn assert_attack(variant: Variant, setup: Setup, property: &'static str, run: &[&str]) {
    let steps = shortest_attack(variant, setup, property);
    println!("broken: {property}\n  {}", steps.join("\n  "));
    assert_eq!(steps, run, "{setup:?}, {variant:?}");
}

#[test]
fn without_the_role_a_server_takes_its_own_token_for_the_clients() {
    // An audience for each role would tell as much: see `what_is_there_twice_can_fail_once`.
    let variant = Variant { role_in_transcript: false, audience_for_each_role: false, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[CLIENT]);
    assert_attack(
        variant,
        MUTUAL,
        CLIENT,
        &[
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 2: the server gets its token",
            "session 2: the attacker sends the token of the server for session 2 and an empty proof; the server \
             approves him",
            "session 2: the server receives PHI and sends a receipt",
        ],
    );
}

#[test]
fn without_the_prefixes_a_leaf_that_holds_another_passes_for_a_node() {
    let variant = Variant { prefixes: false, ..WIRE_1 };
    assert_broken(variant, ONE_SIDED, &[PHI, RECEIPT]);
    // The leaf of the session between client and attacker goes into the server's tree in the place of a nonce.
    assert_attack(
        variant,
        ONE_SIDED,
        PHI,
        &[
            "session 1: the client is led to the attacker, who shows the key of the attacker",
            "session 2: the attacker connects to the server and sends the server's leaf of session 1",
            "session 2: the server gets its token",
            "session 1: the attacker sends a nonce of his own, the token of the server for session 2 and the proof \
             (role server, exporter of session 2, key of the server) before and (the server's nonce of session 2) \
             after it; the client approves him",
            "session 1: the client sends PHI",
        ],
    );
}

#[test]
fn without_the_check_of_the_nonce_a_token_is_relayed() {
    let variant = Variant { nonce_checked: false, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[PHI, CLIENT, RECEIPT]);
    assert_attack(
        variant,
        ONE_SIDED,
        PHI,
        &[
            "session 1: the client is led to the attacker, who shows the key of the attacker",
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 2: the server gets its token",
            "session 1: the attacker sends a nonce of his own, the token of the server for session 2 and an empty \
             proof; the client approves him",
            "session 1: the client sends PHI",
        ],
    );
}

#[test]
fn without_the_key_in_the_transcript_a_receipt_is_forged_and_nothing_else() {
    let variant = Variant { spki_in_transcript: false, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[RECEIPT]);
    assert_attack(
        variant,
        MUTUAL,
        RECEIPT,
        &[
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 2: the server gets its token",
            "session 2: the attacker's evidence is believed: the key of the attacker, the token of the server for \
             session 2, an empty proof and a receipt of his own",
        ],
    );
}

#[test]
fn without_the_nonces_an_exporter_that_repeats_lets_a_clients_token_serve_twice() {
    let variant = Variant { nonces_in_transcript: false, exporter_repeats: true, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[CLIENT, RECEIPT]);
    assert_attack(
        variant,
        MUTUAL,
        CLIENT,
        &[
            "session 1: the client connects to the server",
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 1 and session 2: the server gets its token",
            "session 1: the client approves the server",
            "session 1: the client gets a token for itself and sends it",
            "session 2: the attacker sends the token of the client for session 1 and an empty proof; the server \
             approves him",
            "session 2: the server receives PHI and sends a receipt",
        ],
    );
}

#[test]
fn without_the_key_an_exporter_that_repeats_lets_a_relay_pass_the_nonces_on() {
    let variant = Variant { spki_in_transcript: false, exporter_repeats: true, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[PHI, CLIENT, RECEIPT]);
    assert_attack(
        variant,
        ONE_SIDED,
        PHI,
        &[
            "session 1: the client is led to the attacker, who shows the key of the attacker",
            "session 2: the attacker connects to the server and sends the client's nonce of session 1",
            "session 2: the server gets its token",
            "session 1: the attacker sends the server's nonce of session 2, the token of the server for session 2 and \
             an empty proof; the client approves him",
            "session 1: the client sends PHI",
        ],
    );
}

#[test]
fn whoever_steals_the_servers_key_forges_receipts_but_gets_no_phi() {
    let stolen = Variant { server_key_stolen: true, ..WIRE_1 };
    assert_broken(stolen, MUTUAL, &[RECEIPT]);
    // It is the exporter that binds the session and not the key alone.
    assert_broken(Variant { exporter_repeats: true, ..stolen }, MUTUAL, &[PHI, CLIENT, RECEIPT]);
}

#[test]
fn without_the_transcript_a_receipt_passes_for_that_of_another_session() {
    let variant = Variant { transcript_in_receipt: false, ..WIRE_1 };
    assert_broken(variant, ONE_SIDED, &[RECEIPT]);
    assert_attack(
        variant,
        ONE_SIDED,
        RECEIPT,
        &[
            "session 1: the client connects to the server",
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 1 and session 2: the server gets its token",
            "session 1: the client approves the server",
            "session 1: the client sends PHI",
            "session 1: the server receives PHI and sends a receipt",
            "session 2: the attacker's evidence is believed: the key of the server, the token of the server for \
             session 1 and session 2, the proof (a hash) before it and the receipt of session 1",
        ],
    );
}

#[test]
fn without_waiting_for_the_clients_token_a_server_takes_phi_from_anybody() {
    let variant = Variant { phi_after_approval: false, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[CLIENT]);
    assert_attack(
        variant,
        MUTUAL,
        CLIENT,
        &[
            "session 2: the attacker connects to the server and sends a nonce of his own",
            "session 2: the server gets its token",
            "session 2: the server receives PHI and sends a receipt",
        ],
    );
}

#[test]
fn where_no_policy_pins_the_operator_a_genuine_copy_run_by_somebody_else_gets_phi() {
    let variant = Variant { operator_pinned: false, ..WIRE_1 };
    assert_broken(variant, MUTUAL, &[OPERATOR]);
    assert_attack(
        variant,
        ONE_SIDED,
        OPERATOR,
        &[
            "session 1: the client connects to somebody else's copy of the server",
            "session 1: somebody else's copy of the server gets its token",
            "session 1: the client approves the server",
            "session 1: the client sends PHI",
        ],
    );
}
