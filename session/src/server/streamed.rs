//! Many documents in one session of wire version 1: each message is answered before the next is read, so that what is
//! held of a stream is one message and one result, however long it is.

use attestation::Phi;
use attestation::v1::End;
use rustls::pki_types::UnixTime;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::receipts::Committing;
use super::responder::{Received, Refused, Responder, ends_a_line, invalid, phi};
use super::stages::{ServerLink, end};
use super::workload::{About, PhiInvalid, Reply};
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Came, Deadline, LinkError, Place};

/// The client has sent a message of a stream and waits for its result.
pub struct PartResponder(Stream);

/// All that has come of a stream is answered; the client may go on or end it.
pub struct Answered(Stream);

/// The client has ended its stream and waits for what all of it comes to.
pub struct StreamEnd(Stream);

/// How a stream goes on.
pub enum Next {
    /// With another message.
    Part(Phi, PartResponder),
    /// It has ended.
    End(StreamEnd),
}

struct Stream {
    link: ServerLink,
    limits: Limits,
    committing: Box<Committing>,
    /// Where the next message comes to.
    place: Place,
    messages: u64,
    /// Of PHI, in all messages.
    bytes: u64,
    begun: Instant,
}

impl PartResponder {
    /// A stream whose first message this is.
    pub(super) fn opened(
        link: ServerLink,
        limits: Limits,
        committing: Box<Committing>,
        first: Phi,
    ) -> Received {
        let begun = Instant::now();
        let bytes = length(&first);
        let place = Place::default();
        Received::Stream(first, Self(Stream { link, limits, committing, place, messages: 1, bytes, begun }))
    }

    /// Lets the next message take the place of this one, which has been worked on, and the room that it takes: without it
    /// each takes new memory. To be called before [`PartResponder::answer`], with the PHI that came with this.
    pub fn reuse(&mut self, phi: Phi) {
        let Self(stream) = self;
        stream.place = Place::of(phi.into_inner(), stream.link.hand_room_over());
    }

    /// Sends the result of this message; or says that the PHI cannot be used, and closes.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code. One that has left is an error, for it cannot end the
    /// stream.
    pub async fn answer(
        self,
        answered: Result<Reply, PhiInvalid>,
        closing: &CancellationToken,
    ) -> Result<Answered, SessionError> {
        let Self(mut stream) = self;
        // Unless it has been handed over with the place.
        stream.link.give_room_back();
        let text = match answered {
            Ok(reply) => reply.into_text(),
            Err(reason) => {
                return Err(stream.end((Close::PhiInvalid, SessionError::PhiInvalid(reason))).await);
            }
        };
        let limit = stream.limits.part_result_bytes;
        if text.len() > limit {
            return Err(stream.end((Close::PhiInvalid, SessionError::ReplyTooLarge { limit })).await);
        }
        stream.committing.result(&text);
        let deadline = Deadline::after(stream.limits.result).or_earlier(stream.ends());
        let sent = tokio::select! {
            () = closing.cancelled() => Err((Close::Draining, SessionError::Draining)),
            sent = stream.place.freed_in_time(stream.link.send(Message::text(text.as_str()), deadline)) => {
                sent.map_err(told)
            }
        };
        match sent {
            Ok(()) => Ok(Answered(stream)),
            Err(refused) => Err(stream.end(refused).await),
        }
    }
}

impl Answered {
    /// Receives the next message of the stream, or its end, which must give the right number of messages.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn receive(self, closing: &CancellationToken) -> Result<Next, SessionError> {
        let Self(mut stream) = self;
        let first_byte = Deadline::after(stream.limits.phi_first_byte).or_earlier(stream.ends());
        let whole = Deadline::after(stream.limits.phi).or_earlier(stream.ends());
        let received = tokio::select! {
            () = closing.cancelled() => Err((Close::Draining, SessionError::Draining)),
            received = stream.link.receive_into(&mut stream.place, first_byte, whole) => received.map_err(told),
        };
        let next = received.and_then(|came| match came {
            Came::InPlace => {
                let (message, room) = stream.place.take();
                stream.link.keep_room(room);
                stream.part(message).map(Some)
            }
            Came::Apart(Message::Binary(bytes)) => stream.part(Zeroizing::new(Vec::from(bytes))).map(Some),
            Came::Apart(Message::Text(text)) => stream.ended(text.as_str()).map(|()| None),
            Came::Apart(_) => {
                Err(told(LinkError::WrongType { wanted: "PHI or the end of the stream", got: "another" }))
            }
        });
        match next {
            Ok(Some(phi)) => Ok(Next::Part(phi, PartResponder(stream))),
            Ok(None) => Ok(Next::End(StreamEnd(stream))),
            Err(refused) => Err(stream.end(refused).await),
        }
    }
}

impl StreamEnd {
    /// Sends what all of it comes to and the receipt for the whole stream, as [`Responder::respond`] does.
    ///
    /// # Errors
    /// Those of [`Responder::respond`].
    pub async fn respond(
        self,
        answered: Result<Reply, PhiInvalid>,
        about: About,
        now: UnixTime,
    ) -> Result<(), SessionError> {
        let Stream { link, limits, committing, .. } = self.0;
        Responder { link, limits, committing: Some(committing) }.respond(answered, about, now).await
    }
}

impl Stream {
    /// When it is too slow, by what has come so far.
    fn ends(&self) -> Deadline {
        Deadline::since(self.begun, self.limits.stream_for(self.bytes))
    }

    fn part(&mut self, message: Zeroizing<Vec<u8>>) -> Result<Phi, Refused> {
        let phi = phi(message, &self.limits)?;
        self.bytes = self.bytes.saturating_add(length(&phi));
        let limit = self.limits.stream_bytes;
        if self.bytes > limit {
            return Err((Close::TooBig, SessionError::StreamTooLong { limit }));
        }
        if !ends_a_line(&phi) {
            return Err(invalid("wanted a line feed at the end of each message of a stream"));
        }
        self.messages = self.messages.saturating_add(1);
        self.committing.phi(&phi);
        Ok(phi)
    }

    fn ended(&self, text: &str) -> Result<(), Refused> {
        let ended =
            End::parse(text).map_err(|error| told(LinkError::malformed("the end of the stream", &error)))?;
        if ended.messages != self.messages {
            return Err(invalid("wanted an end with the number of messages that came, got another"));
        }
        Ok(())
    }

    async fn end(self, (close, error): Refused) -> SessionError {
        let Self { link, place, .. } = self;
        drop(place);
        end(link, close, error).await
    }
}

fn told(error: LinkError) -> Refused {
    (error.close(), SessionError::Link(error))
}

fn length(phi: &Phi) -> u64 {
    phi.expose().len() as u64
}
