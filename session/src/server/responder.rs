//! A client that may send PHI: it is received, answered, and in wire version 1 receipted.

use attestation::Phi;
use attestation::v1::COMMITMENT_KEY_BYTES;
use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::receipts::{Committing, Receipts};
use super::stages::{ServerLink, end};
use super::streamed::PartResponder;
use super::workload::{About, PhiInvalid, Reply};
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// The client may send PHI.
pub struct Admitted {
    link: ServerLink,
    limits: Limits,
    /// `None`: wire version 0.
    receipts: Option<Box<Receipts>>,
}

/// PHI has come, and its client waits.
pub enum Received {
    /// One document, which is all there is.
    Document(Phi, Responder),
    /// The first message of a stream of documents.
    Stream(Phi, PartResponder),
}

/// The client has sent one document and waits for the result.
pub struct Responder {
    pub(super) link: ServerLink,
    pub(super) limits: Limits,
    /// `None`: wire version 0.
    pub(super) committing: Option<Box<Committing>>,
}

impl Admitted {
    pub(super) fn new(link: ServerLink, limits: Limits, receipts: Option<Box<Receipts>>) -> Self {
        Self { link, limits, receipts }
    }

    /// Receives one message of PHI. In wire version 1 one that ends with a line feed opens a stream.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn receive(self, closing: &CancellationToken) -> Result<Received, SessionError> {
        let Self { link, limits, receipts } = self;
        let first_byte = Deadline::after(limits.phi_first_byte);
        let whole = Deadline::after(limits.phi);
        let mut link = match link.rest() {
            Ok(mut resting) => {
                tokio::select! {
                    () = closing.cancelled() => {}
                    () = resting.roused(first_byte) => {}
                }
                Box::pin(resting.wake()).await
            }
            Err(link) => link,
        };
        let received = tokio::select! {
            () = closing.cancelled() => None,
            received = link.receive_begun_by(first_byte, whole) => Some(received),
        };
        let (close, error) = match received {
            None => (Close::Draining, SessionError::Draining),
            Some(Ok(Message::Binary(bytes))) => {
                match taken(Zeroizing::new(Vec::from(bytes)), receipts, &limits) {
                    Ok((phi, Some(committing))) if ends_a_line(&phi) => {
                        // What the websocket has read the message into goes with it.
                        let link = match link.rest() {
                            Ok(resting) => Box::pin(resting.wake()).await,
                            Err(link) => link,
                        };
                        return Ok(PartResponder::opened(link, limits, committing, phi));
                    }
                    Ok((phi, committing)) => {
                        return Ok(Received::Document(phi, Responder { link, limits, committing }));
                    }
                    Err(refused) => refused,
                }
            }
            Some(Ok(_)) => {
                let wrong = LinkError::WrongType { wanted: "PHI as binary", got: "text" };
                (Close::Type, SessionError::Link(wrong))
            }
            Some(Err(LinkError::Closed { code: Some(1008), .. })) => (Close::Done, SessionError::Refused),
            Some(Err(error)) => (error.close(), SessionError::Link(error)),
        };
        Err(end(link, close, error).await)
    }
}

/// What the client is told, and what the log.
pub(super) type Refused = (Close, SessionError);

/// Parts what came in version 1 into the key that leads it and the PHI, and begins to commit; in version 0 it is the PHI.
fn taken(
    mut message: Zeroizing<Vec<u8>>,
    receipts: Option<Box<Receipts>>,
    limits: &Limits,
) -> Result<(Phi, Option<Box<Committing>>), Refused> {
    let Some(receipts) = receipts else {
        return Ok((phi(message, limits)?, None));
    };
    let Some(mut committing) = Committing::begin(&message, receipts) else {
        return Err(invalid("wanted a commitment key of 32 bytes before it, got less than that"));
    };
    // In place: no second copy. What is left behind the end is wiped with the buffer.
    message.drain(..COMMITMENT_KEY_BYTES);
    let phi = phi(message, limits)?;
    committing.phi(&phi);
    Ok((phi, Some(committing)))
}

pub(super) fn phi(message: Zeroizing<Vec<u8>>, limits: &Limits) -> Result<Phi, Refused> {
    let limit = limits.phi_bytes;
    let too_large = || (Close::TooBig, SessionError::Link(LinkError::TooLarge { limit }));
    if message.len() > limit {
        return Err(too_large());
    }
    Phi::new(message).map_err(|_| too_large())
}

pub(super) fn ends_a_line(phi: &Phi) -> bool {
    phi.expose().last() == Some(&b'\n')
}

pub(super) fn invalid(reason: &str) -> Refused {
    (Close::PhiInvalid, SessionError::PhiInvalid(PhiInvalid(reason.to_owned())))
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
        self.link.give_room_back();
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
        let receipt = match self.committing.take().map(|committing| committing.receipt(&text, about, now)) {
            Some(Ok(receipt)) => Some(receipt.to_json()),
            Some(Err(error)) => {
                let close = Close::AttestationUnavailable;
                return Err(end(self.link, close, SessionError::Receipt(error)).await);
            }
            None => None,
        };
        let deadline = Deadline::after(self.limits.result);
        // Result, receipt and the close go together.
        self.link.cork();
        let mut sent = self.link.send(Message::text(text.as_str()), deadline).await;
        if let (Ok(()), Some(receipt)) = (&sent, receipt) {
            sent = self.link.send(Message::text(receipt), deadline).await;
        }
        // Who has left has left.
        drop(sent);
        self.link.close_with(Close::Done, deadline).await;
        Ok(())
    }
}
