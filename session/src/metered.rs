//! The stream under a websocket, which counts what a peer sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::Meter;

/// Counts the bytes that a peer has sent, so that "nothing yet" and "slowly" can be told apart, and stops reading where
/// a stage has had enough.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    pub(crate) read: u64,
    /// Where reading stops, counted like `read`.
    allowed: u64,
    /// Counts for others.
    meter: Option<Arc<Meter>>,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: 0, allowed: u64::MAX, meter: None }
    }

    /// Counts what comes and goes there too.
    pub(crate) fn counted_by(self, meter: Arc<Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Reads so many bytes more and then fails.
    pub(crate) fn read_at_most(&mut self, more: usize) {
        self.allowed = self.read.saturating_add(more as u64);
    }

    pub(crate) fn read_without_limit(&mut self) {
        self.allowed = u64::MAX;
    }

    /// Whether it has read as much as it may.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.read >= self.allowed
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_exhausted() {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.read += read as u64;
        if let Some(meter) = &self.meter {
            meter.received(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let (Some(meter), Poll::Ready(Ok(written))) = (&self.meter, &written) {
            meter.sent(*written);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
