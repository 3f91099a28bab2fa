//! A long message on its way to a server: framed and masked (RFC 6455 §5.2, §5.3) piece by piece as it goes, so that no
//! masked copy of all of it is made, and what is encrypted next is still in the cache.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustls::crypto::aws_lc_rs::default_provider;
use tokio::io::AsyncWrite;
use zeroize::Zeroizing;

use crate::frames::{BINARY, MASKED};
use crate::mask;
use crate::tls::WRITE_BUFFER;

/// How many masks are drawn together once a second message is sent.
const MASKS_AT_ONCE: usize = 32;

/// What is left to be sent of a message.
#[derive(Default)]
pub(crate) struct Outgoing {
    payload: Bytes,
    mask: [u8; 4],
    /// How much of the payload has been masked.
    masked: usize,
    /// Masks for the messages to come, drawn together: a mask costs less than the way to the generator.
    masks: Vec<[u8; 4]>,
    /// The head, and what has been masked last. It keeps its place for the next message.
    piece: Zeroizing<Vec<u8>>,
    /// How much of the piece is filled, and how much of that is written.
    filled: usize,
    written: usize,
}

impl Outgoing {
    /// Begins a message, where the one before has been written.
    ///
    /// # Errors
    /// There are no random bytes for the mask.
    pub(crate) fn begin(&mut self, payload: Bytes) -> io::Result<()> {
        self.mask = self.next_mask()?;
        let head = head(payload.len(), self.mask);
        let wanted = payload.len().saturating_add(head.len()).min(WRITE_BUFFER);
        if self.piece.len() < wanted {
            // New, since a buffer that grows leaves copies behind.
            self.piece = Zeroizing::new(vec![0; wanted]);
        }
        for (place, byte) in self.piece.iter_mut().zip(&head) {
            *place = *byte;
        }
        (self.payload, self.masked) = (payload, 0);
        (self.filled, self.written) = (head.len(), 0);
        self.fill();
        Ok(())
    }

    fn next_mask(&mut self) -> io::Result<[u8; 4]> {
        if let Some(mask) = self.masks.pop() {
            return Ok(mask);
        }
        // One for the message that may be the only one, some for each of many.
        let mut drawn = vec![0; if self.piece.is_empty() { 4 } else { 4 * MASKS_AT_ONCE }];
        let random = default_provider().secure_random;
        random.fill(&mut drawn).map_err(|_| io::Error::other("no random bytes"))?;
        self.masks.extend(drawn.as_chunks().0);
        self.masks.pop().ok_or_else(|| io::Error::other("no mask"))
    }

    /// Writes all that is left.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let left = self.piece.get(self.written..self.filled).unwrap_or_default();
            if left.is_empty() {
                if self.masked == self.payload.len() {
                    // Wiped as soon as it is on its way.
                    (self.payload, self.masked) = (Bytes::new(), 0);
                    return Poll::Ready(Ok(()));
                }
                (self.filled, self.written) = (0, 0);
                self.fill();
                continue;
            }
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
    }

    /// Fills the piece up.
    fn fill(&mut self) {
        let place = self.piece.get_mut(self.filled..).unwrap_or_default();
        let left = self.payload.get(self.masked..).unwrap_or_default();
        let length = place.len().min(left.len());
        if let (Some(place), Some(next)) = (place.get_mut(..length), left.get(..length)) {
            place.copy_from_slice(next);
            mask::apply(self.mask, self.masked, place);
        }
        self.masked += length;
        self.filled += length;
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing(..)")
    }
}

/// The head of a message that is one frame.
fn head(length: usize, mask: [u8; 4]) -> Vec<u8> {
    let mut head = vec![BINARY];
    match u16::try_from(length) {
        Ok(length @ ..=125) => head.extend(length.to_be_bytes().iter().skip(1).map(|length| MASKED | length)),
        Ok(length) => {
            head.push(MASKED | 126);
            head.extend(length.to_be_bytes());
        }
        Err(_) => {
            head.push(MASKED | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head.extend(mask);
    head
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::link::{Deadline, Link};
    use crate::metered::Metered;

    fn numbered(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    /// A client's link and what is at its other end, between them so many bytes.
    async fn pair(
        buffer: usize,
    ) -> (Link<tokio::io::DuplexStream>, WebSocketStream<tokio::io::DuplexStream>) {
        let (near, far) = tokio::io::duplex(buffer);
        let near = WebSocketStream::from_raw_socket(Metered::new(near), Role::Client, None).await;
        let far = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        (Link::new(near, 1 << 20, Duration::from_secs(1)), far)
    }

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_message_of_any_length_arrives_as_it_was_however_little_is_written_at_once() {
        let piece = WRITE_BUFFER - 14;
        let lengths = [0, 1, 3, 125, 126, 127, 65_535, 65_536, piece - 1, piece, piece + 1, 3 * piece + 5];
        for buffer in [1021, 1 << 20] {
            let (mut link, mut far) = pair(buffer).await;
            for length in lengths {
                let sending = link.send_payload(Bytes::from(numbered(length)), deadline());
                let (sent, received) = tokio::join!(sending, far.next());
                sent.unwrap();
                assert!(received.unwrap().unwrap() == Message::binary(numbered(length)), "{length}");
            }
        }
    }

    #[tokio::test]
    async fn what_the_websocket_answers_meanwhile_waits_for_the_end_of_the_message() {
        let (mut link, mut far) = pair(1000).await;
        far.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        far.send(Message::text("{}")).await.unwrap();
        let mut heard = Vec::new();
        let hear = |message| {
            heard.push(message);
            Ok(())
        };
        let sending = link.send_while_hearing(Bytes::from(numbered(300_000)), deadline(), hear);
        let (sent, received) = tokio::join!(sending, far.next());
        sent.unwrap();
        assert!(received.unwrap().unwrap() == Message::binary(numbered(300_000)));
        assert_eq!(heard, [Message::text("{}")]);
        let (sent, received) = tokio::join!(link.send(Message::text("next"), deadline()), far.next());
        sent.unwrap();
        assert_eq!(received.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
        assert_eq!(far.next().await.unwrap().unwrap(), Message::text("next"));
    }

    #[test]
    fn debug_shows_nothing_of_a_message() {
        let mut outgoing = Outgoing::default();
        outgoing.begin(Bytes::from_static(b"night")).unwrap();
        assert_eq!(format!("{outgoing:?}"), "Outgoing(..)");
    }

    #[test]
    fn every_message_has_a_mask_of_its_own() {
        let mut masks = std::collections::HashSet::new();
        for _ in 0..4 {
            let mut outgoing = Outgoing::default();
            for _ in 0..100 {
                outgoing.begin(Bytes::from_static(b"night")).unwrap();
                masks.insert(outgoing.mask);
            }
        }
        // Two of 400 are the same once in 50 000 runs, three times never.
        assert!(masks.len() > 397, "{}", masks.len());
    }
}
