// One proof, one release: no stage can be doubled or made out of nothing.

use session::client::{Approved, Attested};

fn clone<T: Clone>() {}
fn default<T: Default>() {}

fn main() {
    clone::<Approved>();
    default::<Approved>();
    clone::<Attested>();
    default::<Attested>();
}
