//! The attested websocket, both ends, its stages as types. It knows nothing of sleep.
//!
//! A server proves itself with an attestation token that is bound to the very TLS session; a client
//! verifies it, decides by a policy, and only then releases PHI over that same session. The stages are types
//! that consume each other, so that no other order compiles; see [`client`] and [`server`].
//!
//! ```no_run
//! # async fn example(
//! #     verifier: attestation::Verifier, policy: policy::Policy, phi: attestation::Phi,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use rustls::pki_types::UnixTime;
//! use session::{ConnectOptions, connect};
//!
//! let connected = connect(&"203.0.113.9".parse()?, &ConnectOptions::default()).await?;
//! let presented = connected.receive_token().await?;
//! let attested = match presented.attest(&verifier, UnixTime::now()) {
//!     Ok(attested) => attested,
//!     Err(unproven) => return Ok(unproven.close().await),
//! };
//! let approved = match attested.decide(&policy, "uwear", UnixTime::now()) {
//!     Ok(approved) => approved,
//!     Err(denied) => return Ok(denied.close().await),
//! };
//! let answer = approved.release(phi).await?.result().await?;
//! println!("{}", answer.expose());
//! # Ok(())
//! # }
//! ```

pub mod client;
mod close;
mod connect_error;
mod corked;
#[cfg(doctest)]
mod does_not_compile;
mod frames;
#[cfg(feature = "framing")]
pub mod framing;
mod identity;
mod incoming;
mod limits;
mod link;
mod mask;
mod metered;
mod outgoing;
pub mod server;
pub mod tls;
mod wire;

pub use client::{Attest, ConnectOptions, Endpoint, connect};
pub use close::Close;
pub use connect_error::ConnectError;
pub use identity::{Identity, IdentityError};
pub use limits::Limits;
pub use link::LinkError;
pub use server::{Server, Workload};
pub use wire::{WIRE_VERSION, Wire, WireError};
