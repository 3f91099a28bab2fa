// Each step consumes the stage that it starts from.

use attestation::{Phi, Verifier};
use rustls::pki_types::UnixTime;
use session::client::{Approved, Attested, Presented};

fn attest_twice(presented: Presented, verifier: &Verifier, now: UnixTime) {
    let _ = presented.attest(verifier, now);
    let _ = presented.attest(verifier, now);
}

fn decide_twice(attested: Attested, policy: &policy::Policy, now: UnixTime) {
    let _ = attested.decide(policy, "uwear", now);
    let _ = attested.decide(policy, "somebody else", now);
}

async fn release_twice(approved: Approved, first: Phi, second: Phi) {
    let _ = approved.release(first).await;
    let _ = approved.release(second).await;
}

fn main() {}
