// `Verifier::verify` alone makes a verified token: not a copy, not a default.

use attestation::VerifiedToken;

fn clone<T: Clone>() {}
fn default<T: Default>() {}

fn main() {
    clone::<VerifiedToken>();
    default::<VerifiedToken>();
}
