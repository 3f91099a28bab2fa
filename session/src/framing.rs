//! The messages of a stream without its session, for benches: websocket, limits, deadlines and room as the two ends of
//! wire version 1 have them, and no attestation, commitment or workload. PHI has no business here; it leaves by
//! [`Approved`](crate::client::Approved) alone.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{self, Exchange};
use crate::limits::Limits;
use crate::link::{Came, Deadline, Link, LinkError, Place};
use crate::metered::Metered;
use crate::server::{self, Meter, Rooms};

/// Version 1, the only one with streams.
const WIRE: u8 = 1;

/// What the server's end reads at once, in bytes.
pub const READ_BUFFER: usize = server::READ_BUFFER;

/// The client's end.
pub struct Sender<S>(Exchange<S>);

/// The server's end.
pub struct Receiver<S> {
    link: Link<S>,
    place: Place,
    limits: Limits,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// Over an open TLS connection.
    pub async fn over(tls: S, limits: Limits) -> Self {
        let (largest, config) = client::websocket(&limits, WIRE);
        let tls = Metered::new(tls);
        let websocket = WebSocketStream::from_raw_socket(tls, Role::Client, Some(config)).await;
        Self(Exchange::begun(Link::new(websocket, largest, limits.close), limits))
    }

    /// Sends a message and waits for nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        let deadline = Deadline::after(self.0.limits.phi);
        self.0.link.send_payload(message, deadline).await
    }

    /// Sends a message as a stream does, one ahead of its result; gives the length of the result of the one before it, in
    /// bytes.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send_ahead(&mut self, message: Bytes) -> Result<usize, LinkError> {
        Ok(self.0.send(message).await?.len())
    }

    /// Waits for a result; gives its length in bytes.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn result(&mut self) -> Result<usize, LinkError> {
        Ok(self.0.result().await?.len())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// Over an open TLS connection with `peer`, who has all the room that the limits give.
    pub async fn over(tls: S, limits: Limits, peer: IpAddr) -> Self {
        let room = Rooms::new(&limits).of(peer);
        let link = server::link(tls, WIRE, Arc::<Meter>::default(), room, &[], &limits).await;
        Self { link, place: Place::default(), limits }
    }

    /// Receives a message and throws it away; gives its length in bytes.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn receive(&mut self) -> Result<usize, LinkError> {
        let (first_byte, whole) =
            (Deadline::after(self.limits.phi_first_byte), Deadline::after(self.limits.phi));
        Ok(match self.link.receive_into(&mut self.place, first_byte, whole).await? {
            Came::InPlace => self.place.len(),
            Came::Apart(message) => message.len(),
        })
    }

    /// Answers the last message.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn answer(&mut self, result: &str) -> Result<(), LinkError> {
        self.link.send(Message::text(result), Deadline::after(self.limits.result)).await
    }
}
