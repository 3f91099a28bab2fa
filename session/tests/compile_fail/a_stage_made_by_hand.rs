// The stages have private fields: they come from the stage before and from nowhere else.

use session::client::{Approved, Attested, Connected};

fn approve(connected: Connected, token: attestation::VerifiedToken, decision: policy::Decision) -> Approved {
    Approved { connected, token, decision }
}

fn attest(connected: Connected, token: attestation::VerifiedToken) -> Attested {
    Attested { connected, token }
}

fn main() {}
