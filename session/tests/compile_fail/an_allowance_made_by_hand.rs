//! `Policy::decide` alone makes an allowance: there is no other way to write one down.

use policy::Allowance;

fn literal() -> Allowance {
    Allowance { token_sha256: String::new(), policy_sha256: String::new(), baseline_sha256: String::new() }
}

fn main() {}
