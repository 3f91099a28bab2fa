// A decision gives its allowance up once.

use policy::Decision;

fn twice(decision: Decision) {
    let _ = decision.into_allowance();
    let _ = decision.into_allowance();
}

fn main() {}
