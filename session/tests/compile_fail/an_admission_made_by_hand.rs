// At the other end too: who may send PHI is said by the stage before and by nobody else.

use session::server::{Admitted, AnyClient};

fn admit(another: Admitted) -> Admitted {
    Admitted { ..another }
}

fn any(another: AnyClient) -> AnyClient {
    AnyClient { ..another }
}

fn main() {}
