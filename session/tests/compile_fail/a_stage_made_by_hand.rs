// The stages have private fields: they come from the stage before and from nowhere else.

use session::client::{Approved, Attested};

fn approve(another: Approved) -> Approved {
    Approved { ..another }
}

fn attest(another: Attested) -> Attested {
    Attested { ..another }
}

fn main() {}
