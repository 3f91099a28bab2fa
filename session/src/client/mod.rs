//! The data owner's end: dial, receive the token, verify it for this very session, decide, release.
//!
//! Each stage consumes the one before and holds the connection that it proves something about:
//!
//! ```text
//! connect → Connected ─receive_token→ Presented ─attest→ Attested ─decide→ Approved ─release→ Released ─result→ the answer
//!                                                  └ Unproven      └ Denied      └ prove, where the server asks for it
//! ```
//!
//! Many documents go the same way by [`Approved::release_stream`], which gives a [`Streaming`] instead. These two are the
//! only functions that begin to send PHI, and an [`Approved`] comes from
//! [`Attested::decide`] alone, which takes its token from [`Presented::attest`] alone, whose token came over this very
//! connection and whose nonce is worked out from it. No caller passes a token or a nonce, and no other order compiles.

mod approved;
mod connect;
mod endpoint;
mod exchange;
mod released;
mod stages;
mod streaming;

pub use approved::{Approved, ProveError, ReleaseError};
pub use connect::{Attest, ConnectOptions, ConnectionInfo, connect};
pub use endpoint::{DEFAULT_PORT, Endpoint, EndpointError, PATH};
pub use released::{Answer, AnswerError, Receipted, Released};
pub use stages::{Attested, Connected, Denied, Presented, Unproven};
pub use streaming::{PartResult, Streamed, Streaming};
#[cfg(feature = "framing")]
pub(crate) use {connect::websocket, exchange::Exchange};
