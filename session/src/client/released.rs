//! After the release: the result, and in wire version 1 the receipt.

use std::fmt;

use attestation::v1::{
    Commit, CommitmentKey, Evidence, ExpectedReceipt, Receipt, ReceiptError, SignedReceipt,
};
use attestation::{Phi, Token};
use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::stages::{ClientLink, Version1};
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// A connection over which all of the PHI has been handed to TLS.
pub struct Released {
    pub(super) link: ClientLink,
    pub(super) limits: Limits,
    /// `None`: wire version 0, which has no receipts.
    pub(super) receipted: Option<ToBeReceipted>,
}

/// What a receipt has to repeat, and what it is kept with.
pub(super) struct ToBeReceipted {
    pub(super) version_1: Box<Version1>,
    pub(super) token: Token,
    pub(super) key: CommitmentKey,
    /// To the PHI that has been handed to TLS.
    pub(super) phi: Commit,
    /// To the results that have come.
    pub(super) result: Commit,
    pub(super) approved_at: UnixTime,
}

/// Why there is no answer, or none to rely on. The connection is closed by then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Result or receipt did not come.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The receipt is not for this session, or not the server's.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// What was to be sent next does not end with a line feed: none of it was sent.
    #[error("a message of a stream ends with a line feed, this one does not: it was not sent")]
    NoLineFeed,
}

/// The peer's result message, wiped on drop. It is computed from PHI and treated like it.
pub struct Answer {
    text: Zeroizing<String>,
    receipted: Option<Box<Receipted>>,
}

/// What is left of a session of wire version 1 beside its result.
pub struct Receipted {
    /// What the server has signed, verified.
    pub receipt: Receipt,
    /// Everything by which others can verify it later. It holds the whole token: for a file of its owner alone.
    pub evidence: Evidence,
    /// Shows what the receipt commits to, to whoever has PHI or result. For a file of its owner alone.
    pub key: CommitmentKey,
}

impl Answer {
    /// The text, for its owner alone.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Receipt and evidence; `None` in wire version 0, which has none.
    pub fn receipted(&self) -> Option<&Receipted> {
        self.receipted.as_deref()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

impl Released {
    /// Waits for the result, in wire version 1 for the receipt too, which must be this session's; then shakes hands on
    /// closing.
    ///
    /// # Errors
    /// [`AnswerError`]. In wire version 0 [`LinkError::Ended`] and a close with 1000 or no code are what a codelab USleep
    /// does, which analyses without answering.
    pub async fn result(mut self) -> Result<Answer, AnswerError> {
        match self.answer().await {
            Ok(answer) => {
                self.link.close(Close::Done).await;
                Ok(answer)
            }
            Err(error) => Err(ended(self.link, error).await),
        }
    }

    async fn answer(&mut self) -> Result<Answer, AnswerError> {
        // One deadline for both: what the receipt takes is not worth one of its own.
        let deadline = Deadline::after(self.limits.result);
        let text =
            receive_text(&mut self.link, self.limits.result_bytes, deadline, "the result as text").await?;
        let receipted = match self.receipted.take() {
            None => None,
            Some(mut expected) => {
                let limit = self.limits.receipt_bytes;
                let receipt = receive_text(&mut self.link, limit, deadline, "the receipt as text").await?;
                expected.result.update(text.as_bytes());
                Some(Box::new(expected.receipted(&receipt)?))
            }
        };
        Ok(Answer { text, receipted })
    }

    /// Closes without waiting for a result, as a codelab UWear does.
    pub async fn close(self) {
        self.link.close(Close::Done).await;
    }
}

async fn receive_text(
    link: &mut ClientLink,
    limit: usize,
    deadline: Deadline,
    wanted: &'static str,
) -> Result<Zeroizing<String>, LinkError> {
    match link.receive_at_most(limit, deadline).await? {
        Message::Text(text) => Ok(Zeroizing::new(text.as_str().to_owned())),
        _ => Err(LinkError::WrongType { wanted, got: "binary" }),
    }
}

/// Tells the server, as far as it may learn it, and ends the connection.
pub(super) async fn ended(link: ClientLink, error: AnswerError) -> AnswerError {
    match &error {
        AnswerError::Link(LinkError::TooLarge { .. }) => link.close(Close::TooBig).await,
        AnswerError::Link(LinkError::WrongType { .. } | LinkError::Malformed { .. })
        | AnswerError::Receipt(_) => link.close(Close::Type).await,
        AnswerError::NoLineFeed => link.close(Close::Done).await,
        AnswerError::Link(_) => {}
    }
    error
}

impl ToBeReceipted {
    /// Of a session whose first PHI this is.
    pub(super) fn new(
        version_1: Box<Version1>,
        token: Token,
        key: CommitmentKey,
        first: &Phi,
        approved_at: UnixTime,
    ) -> Self {
        let (mut phi, result) = (key.commit_phi(), key.commit_result());
        phi.update(first.expose());
        Self { version_1, token, key, phi, result, approved_at }
    }

    /// Verifies the receipt that came after these results.
    fn receipted(self, receipt: &str) -> Result<Receipted, AnswerError> {
        let Self { version_1, token, key, phi, result, approved_at } = self;
        let Version1 { spki, transcript, proof, .. } = *version_1;
        let expected = ExpectedReceipt {
            transcript: transcript.sha256(),
            token: token.digest(),
            phi: phi.finish(),
            result: result.finish(),
        };
        let signed = SignedReceipt::parse(receipt);
        let signed = signed.map_err(|error| LinkError::malformed("a receipt", &error))?;
        let receipt = signed.verify(&spki, &expected)?;
        let evidence = Evidence::new(&transcript, &spki, token, proof, signed, approved_at);
        Ok(Receipted { receipt, evidence, key })
    }
}
