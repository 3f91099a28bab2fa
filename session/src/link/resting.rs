//! A server's link whose client has nothing to say yet: thousands of clients think at the same time, and none of them
//! should cost a buffer.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout_at;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Deadline, Link};
use crate::metered::Metered;
use crate::server::Reserved;

/// An open websocket without the websocket: what came of its buffers is done with, and new ones are made when the client
/// speaks.
#[derive(Debug)]
pub(crate) struct Resting<S> {
    stream: Box<Metered<S>>,
    config: WebSocketConfig,
    max_message: usize,
    close_within: Duration,
    last: Option<Reserved>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Lays the buffers down, at a server's end, when all that was sent is on its way.
    ///
    /// # Errors
    /// The link itself, where its websocket may hold some of what the client has sent: that would be lost, and the
    /// frames that are read from then on would not be those that were looked at.
    pub(crate) fn rest(self) -> Result<Resting<S>, Self> {
        if self.websocket.get_ref().passed_on() != self.given_out {
            return Err(self);
        }
        let Self { websocket, max_message, close_within, last, .. } = self;
        let config = *websocket.get_config();
        let stream = Box::new(websocket.into_inner());
        Ok(Resting { stream, config, max_message, close_within, last })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Resting<S> {
    /// Returns when the client has sent a byte, has left, or at the deadline.
    pub(crate) async fn roused(&mut self, deadline: Deadline) {
        let ahead = poll_fn(|cx| self.stream.poll_ahead(cx));
        // Who calls meets the deadline again.
        let _ = timeout_at(deadline.at, ahead).await;
    }

    /// The link as it was.
    pub(crate) async fn wake(self) -> Link<S> {
        let Self { stream, config, max_message, close_within, last } = self;
        let given_out = stream.passed_on();
        let websocket = WebSocketStream::from_raw_socket(*stream, Role::Server, Some(config)).await;
        Link { websocket: Box::new(websocket), max_message, close_within, given_out, last }
    }
}
