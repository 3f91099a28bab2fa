//! The program's report: plain lines on standard output, in the codelab's words.
//!
//! Whoever reads it may leave at any time. A line that nobody takes is dropped, and the server goes on.

use std::io::{self, Write};
use std::net::SocketAddr;

use attestation::Token;

/// The server accepts connections at `address`: the port it really has, also if it was asked for port 0.
pub fn started(address: SocketAddr) {
    line(&format!("Starting Server.. listening on {address}"));
}

/// A token has come. Its first 8 and last 5 characters are shown, never the whole.
pub fn token_received(token: &Token) {
    line(&format!("Token from the attestation service: {token}"));
}

/// One line.
pub(crate) fn line(text: &str) {
    text_with_line_break(&format!("{text}\n"));
}

/// Text that ends in a line break, in one write so that sessions do not interleave.
pub(crate) fn text_with_line_break(text: &str) {
    let mut stdout = io::stdout().lock();
    // println! would panic when the reader is gone.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
