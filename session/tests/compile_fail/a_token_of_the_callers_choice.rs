// What is judged is the token that came over this very connection: no caller passes one.

use attestation::{Token, Verifier};
use rustls::pki_types::UnixTime;
use session::client::{Connected, Presented};

fn another(presented: Presented, verifier: &Verifier, token: &Token, now: UnixTime) {
    let _ = presented.attest(verifier, token, now);
}

fn none_yet(connected: Connected, verifier: &Verifier, now: UnixTime) {
    let _ = connected.attest(verifier, now);
}

fn main() {}
