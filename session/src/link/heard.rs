//! What the peer has said already, when nobody has waited for it.

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio_tungstenite::tungstenite::Message;

use super::{CONTROL_FRAMES_IN_A_ROW, Link, LinkError, closed};
use crate::corked::Cork;

impl<S: Cork + AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Whether the peer has closed, or spoken out of turn, as far as this machine has heard of it. Does not
    /// wait for the peer.
    pub(crate) async fn already_closed(&mut self) -> Option<LinkError> {
        if self.websocket.get_mut().get_mut().has_news() {
            // The stream gives it out only once the runtime has asked the system too.
            yield_now().await;
        }
        for _ in 0..CONTROL_FRAMES_IN_A_ROW {
            return match self.websocket.next().now_or_never()? {
                None => Some(LinkError::Ended),
                Some(Err(error)) => Some(self.explain(error)),
                Some(Ok(Message::Close(frame))) => Some(closed(frame)),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => Some(LinkError::WrongType { wanted: "silence", got: "text" }),
                Some(Ok(Message::Binary(_))) => {
                    Some(LinkError::WrongType { wanted: "silence", got: "binary" })
                }
            };
        }
        Some(LinkError::Protocol("nothing but control frames".to_owned()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// The close frame that the peer has sent, as far as this machine has heard of it; what came before it is dropped.
    pub(super) async fn last_word(&mut self) -> Option<LinkError> {
        // As in `already_closed`; there is news.
        yield_now().await;
        for _ in 0..CONTROL_FRAMES_IN_A_ROW {
            match self.websocket.next().now_or_never()? {
                None | Some(Err(_)) => return None,
                Some(Ok(Message::Close(frame))) => return Some(closed(frame)),
                Some(Ok(_)) => {}
            }
        }
        None
    }
}
