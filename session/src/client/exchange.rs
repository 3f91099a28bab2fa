//! The messages of a stream and their results: one message is ahead of its result at most, and results are read while
//! the next message is sent.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use crate::limits::Limits;
use crate::link::{Deadline, Link, LinkError};

/// A connection over which a stream has begun: the last message that was handed to TLS has no result yet.
pub(crate) struct Exchange<S> {
    pub(crate) link: Link<S>,
    pub(crate) limits: Limits,
    /// Results that have come before somebody waited for them.
    heard: VecDeque<Zeroizing<String>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// The first message has been sent.
    pub(crate) fn begun(link: Link<S>, limits: Limits) -> Self {
        Self { link, limits, heard: VecDeque::new() }
    }

    /// Sends the next message, and gives the result of the one before it.
    pub(crate) async fn send(&mut self, message: Bytes) -> Result<Zeroizing<String>, LinkError> {
        // Every message before this one may be answered, and nothing else is due.
        let (limit, heard) = (self.limits.part_result_bytes, &mut self.heard);
        let hear = |message: Message| {
            let text = text(message, limit)?;
            if !heard.is_empty() {
                return Err(LinkError::WrongType { wanted: "one result for each message", got: "another" });
            }
            heard.push_back(text);
            Ok(())
        };
        self.link.send_while_hearing(message, Deadline::after(self.limits.phi), hear).await?;
        self.result().await
    }

    /// The result of the oldest message that has none.
    pub(crate) async fn result(&mut self) -> Result<Zeroizing<String>, LinkError> {
        if let Some(heard) = self.heard.pop_front() {
            return Ok(heard);
        }
        let limit = self.limits.part_result_bytes;
        let received = self.link.receive_at_most(limit, Deadline::after(self.limits.result)).await?;
        text(received, limit)
    }
}

fn text(message: Message, limit: usize) -> Result<Zeroizing<String>, LinkError> {
    match message {
        Message::Text(text) if text.len() > limit => Err(LinkError::TooLarge { limit }),
        Message::Text(text) => Ok(Zeroizing::new(text.as_str().to_owned())),
        _ => Err(LinkError::WrongType { wanted: "a result as text", got: "binary" }),
    }
}
