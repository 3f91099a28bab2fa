//! The attested websocket, both ends, its stages as types. It knows nothing of sleep.
//!
//! A server proves itself with an attestation token that is bound to the very TLS session; a client
//! verifies it, decides by a policy, and only then releases PHI over that same session. The stages are types
//! that consume each other, so that no other order compiles; see [`client`] and [`server`].

pub mod client;
mod close;
mod connect_error;
mod identity;
mod limits;
mod link;
pub mod server;
pub mod tls;

pub use client::{Endpoint, WIRE_VERSION, connect};
pub use close::Close;
pub use connect_error::ConnectError;
pub use identity::{Identity, IdentityError};
pub use limits::Limits;
pub use link::LinkError;
pub use server::{Server, Workload};
