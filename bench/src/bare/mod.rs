//! The yardstick: version 0 of the wire with the bare libraries and nothing around them.
//!
//! The same TLS, buffers and messages as USleep's and UWear's, a token made for each session, its chain and signature
//! verified with webpki, its nonce compared. No policy, no limits, no deadlines, no logs, no metrics, no analysis,
//! nothing wiped. It shows what the care around the libraries costs, less what is gained elsewhere, and is no program for anything else.

mod client;
mod server;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use client::{Owner, session};
pub use server::serve;

/// What can go wrong in a session; a bench shows its words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn websocket(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(read_buffer).write_buffer_size(0)
}
