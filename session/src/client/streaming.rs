//! Many documents in one approved session: each message brings a result, and the end of them a summary and the receipt
//! for all.
//!
//! One message is ahead of its result at most, and results are read while the next message is sent: two ends that
//! both only sent would wait for each other for ever. What is held is one message and two results, however long the
//! stream is.

use std::fmt;

use attestation::Phi;
use attestation::v1::End;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::approved::ends_a_line;
use super::exchange::Exchange;
use super::released::{Answer, AnswerError, Released, ToBeReceipted, ended};
use super::stages::ClientLink;
use crate::close::Close;
use crate::corked::ClientTls;
use crate::limits::Limits;
use crate::link::Deadline;

/// A connection over which a stream has begun: the last message that was handed to TLS has no result yet.
pub struct Streaming {
    exchange: Exchange<ClientTls>,
    receipted: ToBeReceipted,
    messages: u64,
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
        Self { exchange: Exchange::begun(link, limits), receipted, messages: 1 }
    }

    /// Sends the next message, which ends with a line feed, and gives the result of the one before it.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed by then.
    pub async fn send(mut self, phi: Phi) -> Result<(Self, PartResult), AnswerError> {
        if !ends_a_line(&phi) {
            return Err(self.fail(AnswerError::NoLineFeed).await);
        }
        self.receipted.phi.update(phi.expose());
        let message = Bytes::from_owner(phi.into_inner());
        let result = self.exchange.send(message).await;
        self.messages = self.messages.saturating_add(1);
        match result {
            Ok(result) => {
                let result = self.committed(result);
                Ok((self, result))
            }
            Err(error) => Err(self.fail(AnswerError::Link(error)).await),
        }
    }

    /// Gives the result of the last message, and ends the stream.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is closed by then.
    pub async fn end(mut self) -> Result<(Streamed, PartResult), AnswerError> {
        let result = match self.exchange.result().await {
            Ok(result) => self.committed(result),
            Err(error) => return Err(self.fail(AnswerError::Link(error)).await),
        };
        let end = Message::text(End { messages: self.messages }.to_json());
        let deadline = Deadline::after(self.exchange.limits.phi);
        if let Err(error) = self.exchange.link.send(end, deadline).await {
            return Err(self.fail(AnswerError::Link(error)).await);
        }
        let Self { exchange: Exchange { link, limits, .. }, receipted, .. } = self;
        Ok((Streamed(Released { link, limits, receipted: Some(receipted) }), result))
    }

    /// Closes without ending the stream: there is no summary, and no receipt.
    pub async fn close(self) {
        self.exchange.link.close(Close::Done).await;
    }

    fn committed(&mut self, result: Zeroizing<String>) -> PartResult {
        self.receipted.result.update(result.as_bytes());
        PartResult(result)
    }

    async fn fail(self, error: AnswerError) -> AnswerError {
        ended(self.exchange.link, error).await
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
