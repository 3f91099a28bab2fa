//! Bodies of answers, framed as Go's server frames them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Go's server announces the length of bodies up to this many bytes and sends longer ones chunked
/// (`bufferBeforeChunkingSize` in net/http).
const LONGEST_WITH_LENGTH: usize = 2048;

/// The body of an answer.
pub(crate) struct AnswerBody {
    rest: Option<Bytes>,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length,
    Chunked,
    /// Chunked, and the connection breaks after what is there.
    Cut {
        /// Whether hyper had a turn to write it.
        flushed: bool,
    },
}

/// Makes hyper close the connection in the middle of a body.
#[derive(Debug)]
pub(crate) struct Cut;

impl AnswerBody {
    /// A whole body.
    pub(crate) fn new(text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        let framing = if bytes.len() > LONGEST_WITH_LENGTH { Framing::Chunked } else { Framing::Length };
        Self { rest: Some(bytes), framing }
    }

    /// The first half of a body, then nothing more.
    pub(crate) fn cut(text: impl Into<Bytes>) -> Self {
        let whole = text.into();
        Self { rest: Some(whole.slice(..whole.len() / 2)), framing: Framing::Cut { flushed: false } }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match (self.rest.take(), self.framing) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Framing::Cut { flushed: false }) => {
                // hyper throws away what it has not written when a body fails, and writes when one is
                // not ready: fail one turn later.
                self.framing = Framing::Cut { flushed: true };
                context.waker().wake_by_ref();
                Poll::Pending
            }
            (None, Framing::Cut { flushed: true }) => Poll::Ready(Some(Err(Cut))),
            (None, Framing::Length | Framing::Chunked) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.rest, &self.framing) {
            (Some(bytes), Framing::Length) => SizeHint::with_exact(bytes.len() as u64),
            (None, Framing::Length) => SizeHint::with_exact(0),
            (_, Framing::Chunked | Framing::Cut { .. }) => SizeHint::default(),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}
