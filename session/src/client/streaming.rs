//! Many documents in one approved session: each message brings a result, and the end of them a summary and the receipt
//! for all.
//!
//! One message is ahead of its result at most, and results are read while the next message is sent: two ends that
//! both only sent would wait for each other for ever. What is held is one message and two results, however long the
//! stream is.

use std::collections::VecDeque;
use std::fmt;

use attestation::Phi;
use attestation::v1::End;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::approved::ends_a_line;
use super::released::{Answer, AnswerError, Released, ToBeReceipted, ended};
use super::stages::ClientLink;
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// A connection over which a stream has begun: the last message that was handed to TLS has no result yet.
pub struct Streaming {
    link: ClientLink,
    limits: Limits,
    receipted: ToBeReceipted,
    messages: u64,
    /// Results that have come before somebody waited for them.
    heard: VecDeque<Zeroizing<String>>,
}

/// A connection over which a whole stream has been handed to TLS, and each of its messages has a result.
pub struct Streamed(Released);

/// The result of one message of a stream, wiped on drop. It is computed from PHI and treated like it.
pub struct PartResult(Zeroizing<String>);

impl PartResult {
    /// The text, for its owner alone. The receipt that is to come vouches for it; until then it may be anything.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PartResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartResult(..)")
    }
}

impl Streaming {
    /// Its first message has been sent.
    pub(super) fn begun(link: ClientLink, limits: Limits, receipted: ToBeReceipted) -> Self {
        Self { link, limits, receipted, messages: 1, heard: VecDeque::new() }
    }

    /// Sends the next message, which ends with a line feed, and gives the result of the one before it.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed by then.
    pub async fn send(mut self, phi: Phi) -> Result<(Self, PartResult), AnswerError> {
        if !ends_a_line(&phi) {
            return Err(ended(self.link, AnswerError::NoLineFeed).await);
        }
        self.receipted.phi.update(phi.expose());
        let message = Message::Binary(Bytes::from_owner(phi.into_inner()));
        let sent = self.send_while_hearing(message).await;
        self.messages = self.messages.saturating_add(1);
        let result = match sent {
            Ok(()) => self.next_result().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(result) => Ok((self, result)),
            Err(error) => Err(ended(self.link, AnswerError::Link(error)).await),
        }
    }

    /// Gives the result of the last message, and ends the stream.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed by then.
    pub async fn end(mut self) -> Result<(Streamed, PartResult), AnswerError> {
        let result = match self.next_result().await {
            Ok(result) => result,
            Err(error) => return Err(ended(self.link, AnswerError::Link(error)).await),
        };
        let end = Message::text(End { messages: self.messages }.to_json());
        if let Err(error) = self.link.send(end, Deadline::after(self.limits.phi)).await {
            return Err(ended(self.link, AnswerError::Link(error)).await);
        }
        let Self { link, limits, receipted, .. } = self;
        Ok((Streamed(Released { link, limits, receipted: Some(receipted) }), result))
    }

    /// Closes without ending the stream: there is no summary, and no receipt.
    pub async fn close(self) {
        self.link.close(Close::Done).await;
    }

    async fn send_while_hearing(&mut self, message: Message) -> Result<(), LinkError> {
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
        self.link.send_while_hearing(message, Deadline::after(self.limits.phi), hear).await
    }

    async fn next_result(&mut self) -> Result<PartResult, LinkError> {
        if let Some(heard) = self.heard.pop_front() {
            self.receipted.result.update(heard.as_bytes());
            return Ok(PartResult(heard));
        }
        let limit = self.limits.part_result_bytes;
        let received = self.link.receive_at_most(limit, Deadline::after(self.limits.result)).await?;
        let text = text(received, limit)?;
        self.receipted.result.update(text.as_bytes());
        Ok(PartResult(text))
    }
}

fn text(message: Message, limit: usize) -> Result<Zeroizing<String>, LinkError> {
    match message {
        Message::Text(text) if text.len() > limit => Err(LinkError::TooLarge { limit }),
        Message::Text(text) => Ok(Zeroizing::new(text.as_str().to_owned())),
        _ => Err(LinkError::WrongType { wanted: "a result as text", got: "binary" }),
    }
}

impl Streamed {
    /// Waits for what the whole stream comes to, and for the receipt for all of it; then shakes hands on closing.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed by then.
    pub async fn summary(self) -> Result<Answer, AnswerError> {
        self.0.result().await
    }

    /// Closes without waiting for either.
    pub async fn close(self) {
        self.0.close().await;
    }
}
