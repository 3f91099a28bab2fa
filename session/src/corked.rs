//! A socket that can hold back what is written to it until there is more, or until an answer is waited for: what one end has
//! to say in one turn is then one segment and one call of the system at each end, not one for each layer that speaks.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// Most that is held back, in bytes. What is longer is on its way at once: it does not gain from waiting.
const MOST: usize = 16 * 1024;

/// A stream below TLS: whatever it holds is encrypted.
///
/// While it is corked, flushing sends nothing. Reading does, so that nobody waits for an answer to what was never sent; so
/// do shutting down and uncorking with a flush.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    stream: S,
    held: Vec<u8>,
    corked: bool,
}

/// A TLS connection over a socket that can be corked, and what the socket tells of itself.
pub(crate) trait Cork {
    /// Holds back what is written from now on.
    fn cork(&mut self);
    /// Sends it with what is written or flushed next.
    fn uncork(&mut self);
    /// What is flushed from now on leaves together with the end of this direction, which has to follow at once.
    fn hold_for_the_end(&self);
    /// Whether the system has anything to be read: bytes, the end, an error.
    fn has_news(&self) -> bool;
}

/// TLS over a socket, at a client's end. On the heap: futures hand it on by value, and would each hold it several times over.
pub(crate) type ClientTls = Box<client::TlsStream<Corked<TcpStream>>>;
/// The same at a server's end.
pub(crate) type ServerTls = Box<server::TlsStream<Corked<TcpStream>>>;

impl<S> Corked<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), corked: false }
    }

    pub(crate) fn cork(&mut self) {
        self.corked = true;
    }

    pub(crate) fn uncork(&mut self) {
        self.corked = false;
    }
}

impl Cork for ClientTls {
    fn cork(&mut self) {
        self.get_mut().0.cork();
    }

    fn uncork(&mut self) {
        self.get_mut().0.uncork();
    }

    fn hold_for_the_end(&self) {
        hold_for_the_end(&self.get_ref().0.stream);
    }

    fn has_news(&self) -> bool {
        has_news(&self.get_ref().0.stream)
    }
}

impl Cork for ServerTls {
    fn cork(&mut self) {
        self.get_mut().0.cork();
    }

    fn uncork(&mut self) {
        self.get_mut().0.uncork();
    }

    fn hold_for_the_end(&self) {
        hold_for_the_end(&self.get_ref().0.stream);
    }

    fn has_news(&self) -> bool {
        has_news(&self.get_ref().0.stream)
    }
}

/// The kernel keeps what does not fill a segment for the end of the direction, or for 200 ms (`TCP_CORK`, tcp(7)).
fn hold_for_the_end(socket: &TcpStream) {
    // Where it cannot be had, the end is a segment of its own.
    let _ = set_tcp_cork(socket, true);
}

fn has_news(socket: &TcpStream) -> bool {
    let mut byte = [0];
    let looked = recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    !matches!(looked, Err(Errno::AGAIN))
}

/// Stands for TLS in tests of what is above it.
#[cfg(test)]
impl Cork for tokio::io::DuplexStream {
    fn cork(&mut self) {}

    fn uncork(&mut self) {}

    fn hold_for_the_end(&self) {}

    fn has_news(&self) -> bool {
        true
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if sent == self.held.len() {
                // An idle connection costs no buffer.
                self.held = Vec::new();
            } else {
                self.held.drain(..sent);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let fits = self.held.len().saturating_add(length) <= MOST;
        if !fits || (!self.corked && self.held.is_empty()) {
            ready!(self.poll_send(cx))?;
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.held.extend_from_slice(slice);
        }
        if !self.corked
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.corked {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A peer that does not read may still say something: it is listened to while the rest waits.
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Counts the writes that reach it.
    struct Counted(DuplexStream, usize);

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    fn pair(buffer: usize) -> (Corked<Counted>, DuplexStream) {
        let (near, far) = duplex(buffer);
        (Corked::new(Counted(near, 0)), far)
    }

    async fn come(far: &mut DuplexStream, length: usize) -> Vec<u8> {
        let mut come = vec![0; length];
        far.read_exact(&mut come).await.unwrap();
        come
    }

    #[tokio::test]
    async fn uncorked_every_write_goes_at_once() {
        let (mut near, mut far) = pair(100);
        near.write_all(b"one").await.unwrap();
        near.write_all(b"two").await.unwrap();
        assert_eq!(come(&mut far, 6).await, b"onetwo");
        assert_eq!(near.stream.1, 2);
    }

    #[tokio::test]
    async fn corked_writes_go_together_when_an_answer_is_waited_for() {
        let (mut near, mut far) = pair(100);
        near.cork();
        near.write_all(b"one").await.unwrap();
        near.flush().await.unwrap();
        near.write_all(b"two").await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(near.stream.1, 0);
        far.write_all(b"!").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'!');
        assert_eq!(come(&mut far, 6).await, b"onetwo");
        assert_eq!(near.stream.1, 1);
    }

    #[tokio::test]
    async fn uncorked_again_they_go_with_what_comes_next() {
        let (mut near, mut far) = pair(100);
        near.cork();
        near.write_all(b"one").await.unwrap();
        near.uncork();
        near.write_all(b"two").await.unwrap();
        assert_eq!(come(&mut far, 6).await, b"onetwo");
        near.cork();
        near.write_all(b"three").await.unwrap();
        near.uncork();
        near.flush().await.unwrap();
        assert_eq!(come(&mut far, 5).await, b"three");
        assert_eq!(near.stream.1, 2);
    }

    #[tokio::test]
    async fn shutting_down_sends_what_is_held() {
        let (mut near, mut far) = pair(100);
        near.cork();
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut come = Vec::new();
        far.read_to_end(&mut come).await.unwrap();
        assert_eq!(come, b"last");
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, accepted) = tokio::join!(near, listener.accept());
        (near.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn the_end_sends_what_is_held_for_it() {
        let (mut near, mut far) = connected().await;
        hold_for_the_end(&near);
        assert!(rustix::net::sockopt::tcp_cork(&near).unwrap());
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut come = Vec::new();
        far.read_to_end(&mut come).await.unwrap();
        assert_eq!(come, b"last");
    }

    #[tokio::test]
    async fn bytes_are_news_until_they_are_read_and_the_end_for_ever() {
        let (mut near, mut far) = connected().await;
        assert!(!has_news(&near));
        far.write_all(b"!").await.unwrap();
        near.readable().await.unwrap();
        assert!(has_news(&near) && has_news(&near));
        assert_eq!(near.read_u8().await.unwrap(), b'!');
        assert!(!has_news(&near));
        drop(far);
        assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
        assert!(has_news(&near), "the end can be read again and again");
    }

    #[tokio::test]
    async fn what_is_long_does_not_wait_and_keeps_its_place() {
        let (mut near, mut far) = pair(2 * MOST);
        near.cork();
        near.write_all(b"head").await.unwrap();
        near.write_all(&[7; MOST]).await.unwrap();
        assert_eq!(come(&mut far, 4).await, b"head");
        assert_eq!(come(&mut far, MOST).await, [7; MOST]);
    }

    #[tokio::test]
    async fn a_peer_that_takes_little_at_once_gets_everything_in_order() {
        let (mut near, mut far) = pair(3);
        let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let sending = async {
            for piece in all.chunks(700) {
                near.cork();
                near.write_all(piece).await.unwrap();
                near.uncork();
                near.write_all(b"").await.unwrap();
            }
            near.flush().await.unwrap();
        };
        let ((), received) = tokio::join!(sending, come(&mut far, all.len()));
        assert!(received == all);
    }
}
