//! Client of the Confidential Space launcher's Unix socket, behind one trait, [`TokenSource`], and the
//! [`TokenDesk`], which asks one for everybody: batches, at a bounded rate, again where that helps.
//!
//! What a [`Token`] from here is: at most [`MAX_TOKEN_BYTES`](attestation::message::MAX_TOKEN_BYTES)
//! long, three base64url segments, with a certificate chain in its header. What it is *not*: verified.
//! Nothing is signed between the launcher and the workload, and whoever receives the token verifies it.
//!
//! Whatever the launcher does, a request ends within its time limit and holds no more memory than the
//! longest token; dropping the future closes the connection and leaves nothing behind. After a token the connection is
//! kept for the next request, for a second.

mod client;
mod desk;
mod error;
mod header;
mod kept;
mod request;

use std::pin::Pin;
use std::sync::Arc;

pub use attestation::Token;
pub use client::{DEFAULT_SOCKET, DEFAULT_TIMEOUT, Launcher};
pub use desk::{
    BatchSizes, DEFAULT_TOKENS_PER_SECOND, DeskError, DeskOptions, Failure, FailureCounts, Share, Snapshot,
    TOKENS_PER_SECOND, TokenDesk,
};
pub use error::{LauncherError, MAX_STATUS_TEXT_BYTES, Progress};
pub use request::{AUDIENCE_BYTES, NONCE_BYTES, RequestError, TokenRequest};

/// Somewhere attestation tokens come from: the launcher's socket in production.
///
/// Asking costs a hardware quote and a call to the attestation service, whose quota is small
/// (5 requests a second for one project and region), and peers can cause it: callers bound how often
/// they ask, or ask a [`TokenDesk`], which does.
pub trait TokenSource: Send + Sync + 'static {
    /// Asks for a fresh token over the audience and nonce of `request`.
    ///
    /// Cancel safe: dropping the future gives the request up.
    ///
    /// # Errors
    /// [`LauncherError`]; [`LauncherError::is_transient`] says whether asking again may help.
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a>;
}

/// What [`TokenSource::token`] returns, boxed so that the trait can be a `dyn` one.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, LauncherError>> + Send + 'a>>;

impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        (**self).token(request)
    }
}
