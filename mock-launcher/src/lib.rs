//! Plays the Confidential Space launcher and Google's attestation service, for local runs and tests.
//!
//! It answers on a Unix socket as the real launcher does and gives tokens like the real ones, signed
//! below a root of its own: a verifier with Google's root pinned refuses every one of them. Nothing
//! that ships depends on this crate, and it depends on none of the project's others, so that a
//! misunderstanding in one of them cannot hide in both.
//!
//! For tests there are three levels: [`MockLauncher`] serves a socket, [`Mint`] makes tokens, and
//! [`ChainSpec`] makes certificate chains that are wrong in exactly one way.

mod body;
mod chain;
pub mod claims;
mod fault;
mod keys;
mod mint;
mod options;
mod pki;
mod server;
mod service;
mod socket;

pub use chain::{
    Ca, CertSpec, Chain, ChainError, ChainSpec, INTERMEDIATE_NAME, LEAF_NAME, ROOT_NAME, TCG_EK_CERTIFICATE,
};
pub use claims::MOCK_IMAGE_DIGEST;
pub use fault::{Fault, UnknownFault};
pub use jsonwebtoken::Algorithm;
pub use keys::{Key, KeyError, KeyKind, TokenKey};
pub use mint::{Mint, MintError, assemble, sign_compact, signing_input};
pub use pki::{Pki, PkiError};
pub use server::{Builder, MockLauncher, Running};
pub use socket::StartError;
pub use {rcgen, time};
