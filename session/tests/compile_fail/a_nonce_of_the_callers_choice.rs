// The nonce is worked out from the connection itself: no caller passes one.

use attestation::{Nonce, Token, Verifier};
use rustls::pki_types::UnixTime;
use session::client::{Attested, Connected};

fn attest(connected: Connected, verifier: &Verifier, token: &Token, nonce: &Nonce, now: UnixTime) {
    let _ = connected.attest(verifier, token, nonce, now);
}

fn decide(attested: Attested, policy: &policy::Policy, nonce: &Nonce, now: UnixTime) {
    let _ = attested.decide(policy, "uwear", nonce, now);
}

fn main() {}
