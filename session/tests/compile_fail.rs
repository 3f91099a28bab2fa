//! What must not compile: each file in `compile_fail/` breaks one promise of the types, and the compiler's
//! words stand beside it.
//!
//! `cargo test --package session --test compile_fail -- --ignored` runs it, and so does `.ci/run`.
//!
//! After a change of the compiler's wording: `TRYBUILD=overwrite cargo test -p session --test compile_fail`, and
//! read the difference.

use attestation::VerifiedToken;
use policy::{Allowance, Decision};
use serde::de::DeserializeOwned;
use session::client::{Approved, Attested, Connected};

/// The release of the compiler whose words stand beside the files; other releases word errors differently.
const WORDS_OF: &str = "rustc 1.95.";

#[test]
#[ignore = "builds every dependency a second time; the documentation tests of does_not_compile.rs are the quick form"]
fn what_would_release_data_without_proof_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(rustc).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(WORDS_OF) {
        eprintln!("LEFT OUT: the wanted errors are worded as by {WORDS_OF}*, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// Two ways to be `Ambiguous`, one for every type and one for those that can be read from a file: only
/// where the second does not apply the compiler knows which is meant.
trait Ambiguous<Way> {
    fn only_one_way() {}
}

struct Deserialized;

impl<T> Ambiguous<()> for T {}
impl<T: DeserializeOwned> Ambiguous<Deserialized> for T {}

/// Compiles if no proof can be read from a file; the list of types in the compiler's own words would change
/// with every release.
#[test]
fn no_proof_can_be_deserialized() {
    <VerifiedToken as Ambiguous<_>>::only_one_way();
    <Allowance as Ambiguous<_>>::only_one_way();
    <Decision as Ambiguous<_>>::only_one_way();
    <Connected as Ambiguous<_>>::only_one_way();
    <Attested as Ambiguous<_>>::only_one_way();
    <Approved as Ambiguous<_>>::only_one_way();
}
