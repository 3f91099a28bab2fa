//! The end of a websocket, and what is said together: one turn is one write.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout_at;

use super::{Deadline, Link};
use crate::close::Close;
use crate::corked::Cork;

impl<S: Cork + AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Says why, shakes hands on it where the peer does, and ends the connection; takes a bounded time.
    pub(crate) async fn close(mut self, close: Close) {
        let deadline = Deadline::after(self.close_within);
        let _ = timeout_at(deadline.at, async {
            self.say(close).await;
            self.hear_and_end().await;
        })
        .await;
    }

    /// The same after a message that was held back for it, which the peer may take until then.
    pub(crate) async fn close_with(mut self, close: Close, last_message: Deadline) {
        if timeout_at(last_message.at, self.say(close)).await.is_ok() {
            let deadline = Deadline::after(self.close_within);
            let _ = timeout_at(deadline.at, self.hear_and_end()).await;
        }
    }

    /// Nothing follows a close frame but the end of TLS, which goes with it.
    async fn say(&mut self, close: Close) {
        self.websocket.get_mut().stop_waiting();
        self.cork();
        // If the peer has closed, this says nothing; what is flushed is the answer to its close frame.
        let websocket = &mut *self.websocket;
        let said = websocket.close(Some(close.frame())).await;
        if said.is_ok() {
            self.websocket.get_mut().get_mut().send_close_notify();
        }
        self.uncork();
        let _ = self.websocket.flush().await;
    }

    async fn hear_and_end(&mut self) {
        while let Some(Ok(message)) = self.websocket.next().await {
            // Both have said it, and neither says more.
            if message.is_close() {
                break;
            }
        }
        // Bytes that nobody reads would make the kernel answer with a reset, which can overtake the
        // close frame: end our direction, then read the rest away.
        let stream = self.websocket.get_mut();
        stream.unwatched();
        let _ = stream.shutdown().await;
        // On the heap: futures that may end so are many and wait long.
        let mut waste = vec![0; 4096];
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
