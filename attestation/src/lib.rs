//! The pure parts of an attested session: its binding, its messages, the verification of its token.
//!
//! Roles are those of RFC 9334: an attester's token is an *attestation result* of Google's verifier,
//! and this crate is what a *relying party* needs to judge it. Nothing here opens a socket, reads a file or
//! a clock, or panics on any input; time is an argument everywhere.
//!
//! ```no_run
//! use attestation::{Anchors, Expectation, Token, Verifier};
//! use rustls_pki_types::UnixTime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::new(Anchors::google(), Expectation::default());
//! let token = Token::new(std::fs::read_to_string("token.jwt")?)?;
//! let verified = verifier.verify(&token, UnixTime::now())?;
//! println!("authentic, made by the workload {:?}", verified.claims().image_digest);
//! # Ok(())
//! # }
//! ```

mod binding;
mod chain;
mod chain_cache;
mod claims;
mod error;
mod inspect;
pub mod json;
mod key_usage;
mod known_header;
mod known_keys;
pub mod message;
mod printable;
mod report;
mod role;
mod token;
pub mod v1;
mod verify;

pub use binding::{EXPORTER_BYTES, EXPORTER_LABEL, NONCE_CHARS, Nonce};
pub use chain::{AnchorError, Anchors, Certificate, CertificateSummary, GOOGLE_ROOT_SHA256};
pub use chain_cache::MAX_KNOWN_CHAINS;
pub use claims::Claims;
pub use error::{Check, VerifyError};
pub use inspect::{Unverified, decode_unverified};
pub use message::{Phi, Token};
pub use printable::{MAX_PRINTABLE_CHARS, printable};
pub use report::{CheckOutcome, Report};
pub use role::Role;
pub use token::{ALGORITHM, UnverifiedToken, X5C_CERTIFICATES, X5c};
pub use verify::{Expectation, GOOGLE_ISSUER, VerifiedToken, Verifier, verify_compact_rs256, verify_rs256};
