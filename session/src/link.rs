//! One websocket with deadlines: what both ends share.

mod closing;
mod heard;
mod resting;
mod taking;

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use attestation::printable;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::close::Close;
use crate::frames::frame_bytes;
use crate::metered::{Metered, Stopped};
use crate::server::Reserved;

pub(crate) use taking::{Came, Place};

/// Why a message did not come or go. Foreign text in it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing, or not all of it, within the deadline of this stage.
    #[error("nothing came in time: waited {}", Seconds(*.waited))]
    Timeout {
        /// The stage's limit.
        waited: Duration,
    },
    /// The peer closed the websocket.
    #[error("the other end closed the session: {}", ClosedBy { code, reason })]
    Closed {
        /// Its code, if it gave one.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The connection ended without a word.
    #[error("the connection ended")]
    Ended,
    /// The peer sent more than the limit.
    #[error("the message is too large: wanted at most {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The peer sent a message of another type.
    #[error("wrong message: wanted {wanted}, got {got}")]
    WrongType {
        /// What this stage expects.
        wanted: &'static str,
        /// What came.
        got: &'static str,
    },
    /// The peer sent a message of the right type that is not what this stage expects.
    #[error("malformed message: wanted {wanted}, got {got}")]
    Malformed {
        /// What this stage expects.
        wanted: &'static str,
        /// What is wrong with what came; safe to show.
        got: String,
    },
    /// The ends do not agree on whether the client proves itself too (wire version 1).
    #[error("mutual attestation: wanted {wanted}, got {got}")]
    Mutual {
        /// What this end has said.
        wanted: &'static str,
        /// What the other end has answered.
        got: &'static str,
    },
    /// Others have sent so much that there is no room for what the peer sends.
    #[error("no room for what it sends: others have sent too much at the same moment")]
    NoRoom,
    /// The peer broke the websocket protocol or TLS.
    #[error("the other end broke the protocol: {0}")]
    Protocol(String),
}

impl LinkError {
    /// A message that is not what it must be, and why. The reason quotes no value of it.
    pub(crate) fn malformed(wanted: &'static str, error: &attestation::v1::MessageError) -> Self {
        Self::Malformed { wanted, got: printable(&error.to_string()) }
    }

    /// What a peer is told of it.
    pub(crate) fn close(&self) -> Close {
        match self {
            Self::TooLarge { .. } => Close::TooBig,
            Self::Timeout { .. } => Close::TooSlow,
            Self::WrongType { .. } | Self::Malformed { .. } | Self::Protocol(_) => Close::Type,
            Self::Mutual { .. } => Close::Refused,
            Self::NoRoom => Close::Busy,
            Self::Closed { .. } | Self::Ended => Close::Done,
        }
    }
}

/// Why a message was not sent to its end.
enum Unsent {
    Link(LinkError),
    Broken(tungstenite::Error),
}

struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

struct ClosedBy<'a> {
    code: &'a Option<u16>,
    reason: &'a str,
}

impl std::fmt::Display for ClosedBy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.reason) {
            (None, _) => f.write_str("no code"),
            (Some(code), "") => write!(f, "{code}"),
            (Some(code), reason) => write!(f, "{code} {reason}"),
        }
    }
}

/// A stage's time: when it ends, and how long that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self::since(Instant::now(), limit)
    }

    /// Of a stage that began then.
    pub(crate) fn since(begun: Instant, limit: Duration) -> Self {
        Self { at: begun + limit, limit }
    }

    /// The one of the two that comes first.
    pub(crate) fn or_earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    fn missed(self) -> LinkError {
        LinkError::Timeout { waited: self.limit }
    }
}

/// Control frames that are read past in one look at a peer, so that one who sends nothing else cannot hold us up.
const CONTROL_FRAMES_IN_A_ROW: usize = 16;

/// What may come beside one message in bytes: heads of its fragments, pings, and what is read ahead.
const SMALL_TALK: usize = 16 * 1024;

/// An open websocket over `S`.
#[derive(Debug)]
pub(crate) struct Link<S> {
    /// On the heap: the stages hand it on by value, and futures hold it several times over.
    websocket: Box<WebSocketStream<Metered<S>>>,
    max_message: usize,
    close_within: Duration,
    /// What the frames of all that was received measure at least in bytes, if a client sent them.
    given_out: u64,
    /// The room that the last message takes, which its receiver may still hold.
    last: Option<Reserved>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(
        websocket: WebSocketStream<Metered<S>>,
        max_message: usize,
        close_within: Duration,
    ) -> Self {
        Self { websocket: Box::new(websocket), max_message, close_within, given_out: 0, last: None }
    }

    pub(crate) async fn send(&mut self, message: Message, deadline: Deadline) -> Result<(), LinkError> {
        match timeout_at(deadline.at, self.websocket.send(message)).await {
            Err(_) => Err(deadline.missed()),
            Ok(sent) => sent.map_err(|error| self.explain(error)),
        }
    }

    /// Sends a long binary message, at a client's end.
    pub(crate) async fn send_payload(&mut self, payload: Bytes, deadline: Deadline) -> Result<(), LinkError> {
        let websocket = &mut self.websocket;
        let sending = async {
            // Nothing of the websocket's own may be half sent.
            websocket.flush().await?;
            websocket.get_mut().send(payload)?;
            websocket.flush().await
        };
        match timeout_at(deadline.at, sending).await {
            Err(_) => Err(deadline.missed()),
            Ok(sent) => sent.map_err(|error| self.explain(error)),
        }
    }

    /// The same, and reads meanwhile: for an end that is answered before it has sent everything. What is heard is `hear`'s,
    /// which ends it where that is not due.
    pub(crate) async fn send_while_hearing(
        &mut self,
        payload: Bytes,
        deadline: Deadline,
        mut hear: impl FnMut(Message) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let websocket = &mut self.websocket;
        let mut payload = Some(payload);
        let sending = poll_fn(|cx| {
            if payload.is_some() {
                // Nothing of the websocket's own may be half sent.
                ready!(websocket.poll_flush_unpin(cx)).map_err(Unsent::Broken)?;
                if let Some(payload) = payload.take() {
                    let begun = websocket.get_mut().send(payload);
                    begun.map_err(|error| Unsent::Broken(error.into()))?;
                }
            }
            let sent = websocket.poll_flush_unpin(cx).map_err(Unsent::Broken)?;
            if sent.is_ready() {
                return Poll::Ready(Ok(()));
            }
            for _ in 0..CONTROL_FRAMES_IN_A_ROW {
                match ready!(websocket.poll_next_unpin(cx)) {
                    None => return Poll::Ready(Err(Unsent::Link(LinkError::Ended))),
                    Some(Err(error)) => return Poll::Ready(Err(Unsent::Broken(error))),
                    Some(Ok(Message::Close(frame))) => return Poll::Ready(Err(Unsent::Link(closed(frame)))),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(message)) => hear(message).map_err(Unsent::Link)?,
                }
            }
            // There may be more; first the clock is looked at.
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        match timeout_at(deadline.at, sending).await {
            Err(_) => Err(deadline.missed()),
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unsent::Link(error))) => Err(error),
            Ok(Err(Unsent::Broken(error))) => {
                let error = self.explain(error);
                // What the peer has said before it left explains more than a send that failed.
                Err(self.last_word().await.unwrap_or(error))
            }
        }
    }

    /// The next text or binary message.
    pub(crate) async fn receive(&mut self, deadline: Deadline) -> Result<Message, LinkError> {
        self.receive_begun_by(deadline, deadline).await
    }

    /// The next message where one of at most `limit` bytes is due, which is less than the connection takes at other
    /// stages: what is read before it is refused stays near that.
    pub(crate) async fn receive_at_most(
        &mut self,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Message, LinkError> {
        let stream = self.websocket.get_mut();
        stream.read_at_most(limit.saturating_mul(2).saturating_add(SMALL_TALK));
        stream.limit_message(limit);
        let received = self.receive(deadline).await;
        let stream = self.websocket.get_mut();
        let cut_off = stream.is_exhausted() || stream.stopped() == Some(Stopped::TooLarge);
        stream.read_without_limit();
        if received.is_ok() {
            stream.limit_message(self.max_message);
        }
        match received {
            Ok(message) if message.len() <= limit => Ok(message),
            Ok(_) => Err(LinkError::TooLarge { limit }),
            Err(_) if cut_off => Err(LinkError::TooLarge { limit }),
            Err(error) => Err(error),
        }
    }

    /// The next text or binary message, whose first byte must come by `first_byte`. Control frames do not count.
    pub(crate) async fn receive_begun_by(
        &mut self,
        first_byte: Deadline,
        whole: Deadline,
    ) -> Result<Message, LinkError> {
        if self.websocket.get_ref().stopped() == Some(Stopped::TooLarge) {
            return Err(LinkError::TooLarge { limit: self.max_message });
        }
        let before = self.websocket.get_ref().passed_on();
        let mut control_bytes = 0;
        let mut deadline = first_byte;
        loop {
            // `timeout_at` looks at the clock only when nothing is there: who floods us with control frames would
            // never meet it.
            let in_time = Instant::now() < deadline.at;
            let next = timeout_at(deadline.at, self.websocket.next());
            let Some(next) = (if in_time { next.await.ok() } else { None }) else {
                let begun = self.websocket.get_ref().read.saturating_sub(before) > control_bytes;
                if begun && deadline.at < whole.at {
                    deadline = whole;
                    continue;
                }
                let waits_for_room = self.websocket.get_ref().stopped() == Some(Stopped::NoRoom);
                return Err(if waits_for_room { LinkError::NoRoom } else { deadline.missed() });
            };
            match next {
                None => return Err(LinkError::Ended),
                Some(Err(error)) => return Err(self.explain(error)),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                    let frame = frame_bytes(payload.len());
                    control_bytes += frame;
                    self.given_out += frame;
                }
                Some(Ok(message)) => {
                    self.given_out += frame_bytes(message.len());
                    self.last = self.websocket.get_mut().taken();
                    return Ok(message);
                }
            }
        }
    }

    /// The last message that was received is here no more: the room that it took is for others.
    pub(crate) fn give_room_back(&mut self) {
        self.last = None;
    }

    /// The last message that was received takes this room.
    pub(crate) fn keep_room(&mut self, room: Option<Reserved>) {
        self.last = room;
    }

    /// The room that the last message takes, which is the caller's to give back.
    pub(crate) fn hand_room_over(&mut self) -> Option<Reserved> {
        self.last.take()
    }

    fn explain(&self, error: tungstenite::Error) -> LinkError {
        use tungstenite::Error;
        match self.websocket.get_ref().stopped() {
            Some(Stopped::TooLarge) => return LinkError::TooLarge { limit: self.max_message },
            Some(Stopped::NoRoom) => return LinkError::NoRoom,
            None => {}
        }
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => LinkError::Ended,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => LinkError::Ended,
            Error::Capacity(_) => LinkError::TooLarge { limit: self.max_message },
            Error::Io(error) if lost(&error) => LinkError::Ended,
            Error::Utf8(_) => LinkError::Protocol("text that is not UTF-8".to_owned()),
            other => LinkError::Protocol(printable(&other.to_string())),
        }
    }
}

fn lost(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut | UnexpectedEof
    )
}

fn closed(frame: Option<tungstenite::protocol::CloseFrame>) -> LinkError {
    match frame {
        None => LinkError::Closed { code: None, reason: String::new() },
        Some(frame) => {
            LinkError::Closed { code: Some(frame.code.into()), reason: printable(frame.reason.as_str()) }
        }
    }
}

/// Buffers that suit one small exchange, and a hard limit for each message. A message is refused by the
/// length that its frame announces, before it is read.
pub(crate) fn websocket_config(read_buffer: usize, max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(0)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}
