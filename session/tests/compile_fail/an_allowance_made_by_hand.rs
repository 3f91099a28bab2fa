// `Policy::decide` alone makes an allowance: there is no other way to write one down.

fn literal() -> policy::Allowance {
    policy::Allowance {}
}

fn main() {}
