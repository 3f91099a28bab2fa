//! The pure parts of an attested session: binding, messages, token verification.
//!
//! Nothing here opens a socket, reads a file or a clock, or panics on any input.

pub mod message;
mod printable;

pub use message::{Phi, Token};
pub use printable::{MAX_PRINTABLE_CHARS, printable};
