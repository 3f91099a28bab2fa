// One decision, one allowance: neither can be doubled or made out of nothing.

use policy::{Allowance, Decision};

fn clone<T: Clone>() {}
fn default<T: Default>() {}

fn main() {
    clone::<Allowance>();
    default::<Allowance>();
    clone::<Decision>();
    default::<Decision>();
}
