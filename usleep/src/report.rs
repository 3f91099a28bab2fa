//! The program's report: plain lines on standard output, in the codelab's words.
//!
//! Whoever reads it may leave at any time, or never come. A line that nobody takes is dropped, and the server goes on.

use std::net::SocketAddr;

use launcher::{TokenFuture, TokenRequest, TokenSource};

use crate::output::STANDARD_OUTPUT;

/// The server accepts connections at `address`: the port it really has, also if it was asked for port 0.
pub fn started(address: SocketAddr) {
    line(&format!("Starting Server.. listening on {address}"));
}

/// Reports each token that comes from a source for clients, once, however many sessions share it: its first 8 and last 5
/// characters, never the whole.
#[derive(Clone, Debug)]
pub struct Reported<S> {
    source: S,
    audience: String,
}

impl<S> Reported<S> {
    /// Clients are whom tokens are made for with this audience. Other tokens, such as readiness', are not reported.
    pub fn new(source: S, audience: impl Into<String>) -> Self {
        Self { source, audience: audience.into() }
    }
}

impl<S: TokenSource> TokenSource for Reported<S> {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(async move {
            let token = self.source.token(request).await?;
            if request.audience() == self.audience {
                line(&format!("Token from the attestation service: {token}"));
            }
            Ok(token)
        })
    }
}

/// One line.
pub(crate) fn line(text: &str) {
    text_with_line_break(&format!("{text}\n"));
}

/// Text that ends in a line break. Sessions do not interleave.
pub(crate) fn text_with_line_break(text: &str) {
    STANDARD_OUTPUT.put(text.as_bytes());
}
