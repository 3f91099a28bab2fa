//! The end of a websocket, and what is said together: one turn is one write.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout_at;

use super::{Deadline, Link};
use crate::close::Close;
use crate::corked::Cork;

/// What is read away is read in pieces of so many bytes. There is hardly ever any.
const WASTE: usize = 512;

impl<S: Cork + AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Says why, shakes hands on it where the peer does, and ends the connection; takes a bounded time.
    pub(crate) async fn close(mut self, close: Close) {
        let deadline = Deadline::after(self.close_within);
        let _ = timeout_at(deadline.at, async {
            self.say(close).await;
            self.hear_to_the_end().await;
        })
        .await;
    }

    /// The same after a message that was held back for it, which the peer may take until then.
    pub(crate) async fn close_with(mut self, close: Close, last_message: Deadline) {
        if timeout_at(last_message.at, self.say(close)).await.is_ok() {
            let deadline = Deadline::after(self.close_within);
            let _ = timeout_at(deadline.at, self.hear_to_the_end()).await;
        }
    }

    /// Nothing follows a close frame but the end of TLS and that of TCP's direction, which go with it.
    async fn say(&mut self, close: Close) {
        let websocket = &mut *self.websocket;
        websocket.get_mut().stop_waiting();
        websocket.get_mut().get_mut().cork();
        // If the peer has closed, this says nothing: what the flush sends is the answer to its close frame.
        let _ = websocket.close(Some(close.frame())).await;
        let _ = websocket.flush().await;
        let stream = websocket.get_mut();
        stream.get_mut().hold_for_the_end();
        stream.get_mut().uncork();
        // TLS' `close_notify` (RFC 8446 §6.1) comes first.
        let _ = stream.shutdown().await;
    }

    /// Bytes that nobody reads would make the kernel answer with a reset, which can overtake the close frame: what the peer
    /// still says is read to its end.
    async fn hear_to_the_end(&mut self) {
        while let Some(Ok(message)) = self.websocket.next().await {
            // Both have said it, and neither says more.
            if message.is_close() {
                break;
            }
        }
        let stream = self.websocket.get_mut();
        stream.unwatched();
        // On the heap: futures that may end so are many and wait long.
        let mut waste = vec![0; WASTE];
        while stream.read(&mut waste).await.is_ok_and(|count| count > 0) {}
    }

    /// Holds back what is sent from now on, until there is an answer to be read or the end.
    pub(crate) fn cork(&mut self) {
        self.websocket.get_mut().get_mut().cork();
    }

    /// What is sent goes at once again, and what was held back with it.
    pub(crate) fn uncork(&mut self) {
        self.websocket.get_mut().get_mut().uncork();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::link::LinkError;
    use crate::metered::Metered;

    /// A close frame of a server with code 1000 (RFC 6455 §5.5.1).
    const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];

    /// A client's end, and its peer's, which does as the test says.
    async fn link() -> (Link<DuplexStream>, DuplexStream) {
        let (stream, peer) = duplex(64 * 1024);
        let websocket = WebSocketStream::from_raw_socket(Metered::new(stream), Role::Client, None).await;
        (Link::new(websocket, 1024, Duration::from_secs(2)), peer)
    }

    /// Everything that the link has said until it ended.
    async fn heard(mut peer: DuplexStream) -> Vec<u8> {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_heard_the_other_end_to_its_end_goes_at_once() {
        let (link, mut peer) = link().await;
        peer.write_all(&CLOSE).await.unwrap();
        peer.shutdown().await.unwrap();
        timeout(Duration::from_millis(1), link.close(Close::Done)).await.unwrap();
        let said = heard(peer).await;
        assert_eq!(said[..2], [0x88, 0x82], "its own close frame, masked, with a code");
        assert_eq!(said.len(), 8, "and nothing else");
    }

    #[tokio::test(start_paused = true)]
    async fn who_closes_ends_its_direction_before_it_is_answered() {
        let (link, mut peer) = link().await;
        let closing = tokio::spawn(link.close(Close::Done));
        let mut said = Vec::new();
        peer.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), 8);
        assert!(!closing.is_finished());
        peer.write_all(&CLOSE).await.unwrap();
        peer.shutdown().await.unwrap();
        timeout(Duration::from_millis(1), closing).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_heard_a_close_answers_it_with_the_same_code() {
        let (mut link, mut peer) = link().await;
        peer.write_all(&[0x88, 2, 0x0f, 0xa0]).await.unwrap();
        peer.shutdown().await.unwrap();
        let heard_of = link.receive(Deadline::after(Duration::from_secs(2))).await.unwrap_err();
        assert_eq!(heard_of, LinkError::Closed { code: Some(4000), reason: String::new() });
        link.close(Close::Done).await;
        let said = heard(peer).await;
        let unmasked = [said[6] ^ said[2], said[7] ^ said[3]];
        assert_eq!((said.len(), unmasked), (8, [0x0f, 0xa0]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_after_the_close_is_read_away() {
        let (link, mut peer) = link().await;
        peer.write_all(&CLOSE).await.unwrap();
        let closing = tokio::spawn(link.close(Close::Done));
        // More than the pipe holds.
        peer.write_all(&vec![0; 300 * 1024]).await.unwrap();
        assert!(!closing.is_finished());
        peer.shutdown().await.unwrap();
        closing.await.unwrap();
        assert_eq!(heard(peer).await.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_answered_waits_a_bounded_time() {
        let (link, peer) = link().await;
        timeout(Duration::from_millis(2001), link.close(Close::Done)).await.unwrap();
        assert_eq!(heard(peer).await.len(), 8);
    }
}
