//! A client that may send PHI: it is received, answered, and in wire version 1 receipted.

use attestation::Phi;
use attestation::v1::{COMMITMENT_KEY_BYTES, Commitment, CommitmentKey, Receipt, SignedReceipt};
use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::stages::{ServerLink, end};
use super::workload::{About, PhiInvalid, Reply};
use crate::close::Close;
use crate::identity::ReceiptKey;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// The client may send PHI.
pub struct Admitted {
    link: ServerLink,
    limits: Limits,
    /// `None`: wire version 0.
    receipts: Option<Box<Receipts>>,
}

/// What a receipt says of the session, and what signs it.
pub(super) struct Receipts {
    key: ReceiptKey,
    /// SHA-256 of the transcript in which this end attests.
    transcript: [u8; 32],
    /// SHA-256 of the token.
    token: [u8; 32],
}

/// The client has sent PHI and waits for the result.
pub struct Responder {
    link: ServerLink,
    limits: Limits,
    committed: Option<Committed>,
}

/// A session of version 1 whose PHI has come.
struct Committed {
    receipts: Box<Receipts>,
    key: CommitmentKey,
    phi: Commitment,
}

impl Receipts {
    pub(super) fn new(key: ReceiptKey, transcript: [u8; 32], token: [u8; 32]) -> Box<Self> {
        Box::new(Self { key, transcript, token })
    }
}

impl Admitted {
    pub(super) fn new(link: ServerLink, limits: Limits, receipts: Option<Box<Receipts>>) -> Self {
        Self { link, limits, receipts }
    }

    /// Receives one message of PHI.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn receive(mut self, closing: &CancellationToken) -> Result<(Phi, Responder), SessionError> {
        let first_byte = Deadline::after(self.limits.phi_first_byte);
        let whole = Deadline::after(self.limits.phi);
        let received = tokio::select! {
            () = closing.cancelled() => None,
            received = self.link.receive_begun_by(first_byte, whole) => Some(received),
        };
        let (close, error) = match received {
            None => (Close::Draining, SessionError::Draining),
            Some(Ok(Message::Binary(bytes))) => {
                let message = Zeroizing::new(Vec::from(bytes));
                match self.receipts.take() {
                    None => match phi(message, &self.limits) {
                        Ok(phi) => return Ok((phi, self.responder(None))),
                        Err(refused) => refused,
                    },
                    Some(receipts) => match committed_phi(message, receipts, &self.limits) {
                        Ok((phi, committed)) => return Ok((phi, self.responder(Some(committed)))),
                        Err(refused) => refused,
                    },
                }
            }
            Some(Ok(_)) => {
                let wrong = LinkError::WrongType { wanted: "PHI as binary", got: "text" };
                (Close::Type, SessionError::Link(wrong))
            }
            Some(Err(LinkError::Closed { code: Some(1008), .. })) => (Close::Done, SessionError::Refused),
            Some(Err(error)) => (error.close(), SessionError::Link(error)),
        };
        Err(end(self.link, close, error).await)
    }

    fn responder(self, committed: Option<Committed>) -> Responder {
        Responder { link: self.link, limits: self.limits, committed }
    }
}

/// What the client is told, and what the log.
type Refused = (Close, SessionError);

fn phi(message: Zeroizing<Vec<u8>>, limits: &Limits) -> Result<Phi, Refused> {
    let limit = limits.phi_bytes;
    let too_large = || (Close::TooBig, SessionError::Link(LinkError::TooLarge { limit }));
    if message.len() > limit {
        return Err(too_large());
    }
    Phi::new(message).map_err(|_| too_large())
}

/// Parts what came in version 1 into the key that leads it and the PHI, and commits to the latter.
fn committed_phi(
    mut message: Zeroizing<Vec<u8>>,
    receipts: Box<Receipts>,
    limits: &Limits,
) -> Result<(Phi, Committed), Refused> {
    let Some((key, payload)) = CommitmentKey::lead(&message) else {
        let reason = "wanted a commitment key of 32 bytes before it, got less than that".to_owned();
        return Err((Close::PhiInvalid, SessionError::PhiInvalid(PhiInvalid(reason))));
    };
    let mut commit = key.commit_phi();
    commit.update(payload);
    // In place: no second copy. What is left behind the end is wiped with the buffer.
    message.drain(..COMMITMENT_KEY_BYTES);
    let phi = phi(message, limits)?;
    Ok((phi, Committed { receipts, key, phi: commit.finish() }))
}

impl Responder {
    /// Sends the result and in wire version 1 the receipt, in which the workload tells `about` itself; or says that the
    /// PHI cannot be used. Then closes.
    ///
    /// A client of the codelab has left by now; that the result does not reach it is no error.
    ///
    /// # Errors
    /// [`SessionError::PhiInvalid`], [`SessionError::ReplyTooLarge`] or [`SessionError::Receipt`].
    pub async fn respond(
        mut self,
        answered: Result<Reply, PhiInvalid>,
        about: About,
        now: UnixTime,
    ) -> Result<(), SessionError> {
        let text = match answered {
            Ok(reply) => reply.into_text(),
            Err(reason) => {
                return Err(end(self.link, Close::PhiInvalid, SessionError::PhiInvalid(reason)).await);
            }
        };
        let limit = self.limits.result_bytes;
        if text.len() > limit {
            return Err(end(self.link, Close::PhiInvalid, SessionError::ReplyTooLarge { limit }).await);
        }
        let receipt = match self.committed.take().map(|committed| committed.receipt(&text, about, now)) {
            Some(Ok(receipt)) => Some(receipt.to_json()),
            Some(Err(error)) => {
                let close = Close::AttestationUnavailable;
                return Err(end(self.link, close, SessionError::Receipt(error)).await);
            }
            None => None,
        };
        let deadline = Deadline::after(self.limits.result);
        let mut sent = self.link.send(Message::text(text.as_str()), deadline).await;
        if let (Ok(()), Some(receipt)) = (&sent, receipt) {
            sent = self.link.send(Message::text(receipt), deadline).await;
        }
        // Who has left has left.
        drop(sent);
        self.link.close(Close::Done).await;
        Ok(())
    }
}

impl Committed {
    fn receipt(self, result: &str, about: About, now: UnixTime) -> Result<SignedReceipt, rustls::Error> {
        let mut commit = self.key.commit_result();
        commit.update(result.as_bytes());
        let About { rules, program } = about;
        let Receipts { key, transcript, token } = *self.receipts;
        let receipt = Receipt {
            transcript,
            token,
            phi: self.phi,
            result: commit.finish(),
            rules,
            program,
            time: now.as_secs(),
        };
        SignedReceipt::sign(&receipt, |message| key.sign(message))
    }
}
