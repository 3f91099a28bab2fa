// The stages have private fields: they come from the stage before and from nowhere else.

use session::client::{Approved, Attested, Presented};
use session::server::{Admitted, PresentedClient};

fn approve(presented: Presented, token: attestation::VerifiedToken, decision: policy::Decision) -> Approved {
    Approved { presented, token, decision }
}

fn attest(presented: Presented, token: attestation::VerifiedToken) -> Attested {
    Attested { presented, token }
}

fn admit(client: PresentedClient) -> Admitted {
    Admitted { link: client.link, limits: client.limits, receipts: None }
}

fn main() {}
