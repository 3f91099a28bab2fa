// The nonce is worked out from the connection itself: no caller passes one.

use attestation::{Nonce, Verifier};
use rustls::pki_types::UnixTime;
use session::client::{Attested, Presented};

fn attest(presented: Presented, verifier: &Verifier, nonce: &Nonce, now: UnixTime) {
    let _ = presented.attest(verifier, nonce, now);
}

fn decide(attested: Attested, policy: &policy::Policy, nonce: &Nonce, now: UnixTime) {
    let _ = attested.decide(policy, "uwear", nonce, now);
}

fn main() {}
