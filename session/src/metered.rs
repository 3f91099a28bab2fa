//! The stream under a websocket: counts what a peer sends, and looks at the head of each frame before the websocket does,
//! which makes room for whatever a head announces.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::{Zeroize, Zeroizing};

use crate::frames::{Heads, MAX_CONTROL, MAX_HEAD};
use crate::incoming::{self, Begun, Incoming};
use crate::link::Place;
use crate::outgoing::Outgoing;
use crate::server::{Meter, NoRoom, Reserved, Room};

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
    watch: Option<Watch>,
    /// What goes out before anything else does.
    outgoing: Outgoing,
}

/// What a server knows of the frames that its client sends.
#[derive(Debug)]
struct Watch {
    room: Room,
    heads: Heads,
    /// Longest message at this stage in bytes.
    limit: u64,
    /// Messages whose first frame has been announced, and which nobody has taken out of the websocket yet.
    announced: VecDeque<Reserved>,
    /// What has been read and is not passed on before there is room for what it announces.
    held: Zeroizing<Vec<u8>>,
    /// What reading ahead has failed with.
    failed: Option<io::Error>,
    /// A message that is taken past the websocket, to which nothing is passed on meanwhile.
    taking: Option<Incoming>,
    /// Whether it is that room which is lacking.
    waiting: bool,
    stopped: Option<Stopped>,
}

/// Why nothing is passed on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// A message is too long for its stage.
    TooLarge,
    /// There is no room for it.
    NoRoom,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: 0, allowed: u64::MAX, meter: None, watch: None, outgoing: Outgoing::default() }
    }

    /// The stream itself. What is read or written there is not counted here.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Counts what comes and goes there too.
    pub(crate) fn counted_by(self, meter: Arc<Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Looks at every frame from now on: none is passed on that announces a message of more than `limit`, or for which
    /// there is no room. `early` has been read already, and comes first.
    pub(crate) fn watched(self, room: Room, limit: usize, early: &[u8]) -> Self {
        let mut watch = Watch {
            room,
            heads: Heads::default(),
            limit: limit as u64,
            announced: VecDeque::new(),
            held: Zeroizing::new(early.to_vec()),
            failed: None,
            taking: None,
            waiting: false,
            stopped: None,
        };
        watch.look(early);
        Self { watch: Some(watch), read: self.read.saturating_add(early.len() as u64), ..self }
    }

    /// Sends a message as a client does, past the websocket, which must have written all of its own. Flushing drives it;
    /// what the websocket writes meanwhile waits for its end.
    pub(crate) fn send(&mut self, payload: Bytes) -> io::Result<()> {
        self.outgoing.begin(payload)
    }

    /// Reads so many bytes more and then fails.
    pub(crate) fn read_at_most(&mut self, more: usize) {
        self.allowed = self.read.saturating_add(more as u64);
    }

    /// How much of what has been read is passed on, in bytes.
    pub(crate) fn passed_on(&self) -> u64 {
        let held = self.watch.as_ref().map_or(0, |watch| watch.held.len());
        self.read.saturating_sub(held as u64)
    }

    pub(crate) fn read_without_limit(&mut self) {
        self.allowed = u64::MAX;
    }

    /// Whether it has read as much as it may.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.read >= self.allowed
    }

    /// Longest message that is due now, in bytes. The beginning of it may have come already.
    pub(crate) fn limit_message(&mut self, limit: usize) {
        if let Some(watch) = &mut self.watch {
            watch.limit = limit as u64;
            watch.measure();
        }
    }

    /// Why it has stopped, if it has; [`Stopped::NoRoom`] also while it waits for room.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        let watch = self.watch.as_ref()?;
        watch.stopped.or(watch.waiting.then_some(Stopped::NoRoom))
    }

    /// The websocket has given out a message: what it takes is the taker's to give back.
    pub(crate) fn taken(&mut self) -> Option<Reserved> {
        let watch = self.watch.as_mut()?;
        let taken = watch.announced.pop_front();
        watch.measure();
        taken
    }

    /// Reads one byte, which is the first to be passed on later; so is the end of the stream or its error.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        if self.watch.as_ref().is_none_or(|watch| watch.failed.is_some() || !watch.held.is_empty()) {
            return Poll::Ready(());
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer));
        if let Some(watch) = &mut self.watch {
            watch.failed = read.err();
            watch.held.extend_from_slice(buffer.filled());
        }
        Poll::Ready(())
    }

    /// The length of the next message, if it is a long binary one, for which there is room then: it is to be read by
    /// [`Metered::poll_taking`]. `None`: the websocket is to read whatever comes, and has lost nothing of it.
    ///
    /// The websocket must have given out all that was passed on to it. `place` is where it is to come to, whose room it takes
    /// over.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, place: &mut Place) -> Poll<Option<usize>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            let exhausted = self.is_exhausted();
            let Some(watch) = &mut self.watch else { return Poll::Ready(None) };
            if exhausted || watch.failed.is_some() || watch.stopped.is_some() {
                return Poll::Ready(None);
            }
            let lacks = match incoming::begun(&watch.held) {
                Begun::Lacks(lacks) => lacks,
                Begun::Another => return Poll::Ready(None),
                Begun::Long(incoming) => {
                    if let (Some(message), Some(room)) =
                        (watch.announced.front_mut(), place.room_for(incoming.length()))
                    {
                        message.take_over(room);
                    }
                    // Without room the websocket finds out by itself.
                    let Ok(()) = ready!(watch.poll_room(cx)) else { return Poll::Ready(None) };
                    watch.held.zeroize();
                    let length = incoming.length();
                    watch.taking = Some(incoming);
                    return Poll::Ready(Some(length));
                }
            };
            let mut bytes = [0; MAX_HEAD];
            let mut buffer = ReadBuf::new(bytes.get_mut(..lacks).unwrap_or_default());
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            let new = buffer.filled();
            self.count(new.len());
            let Some(watch) = &mut self.watch else { return Poll::Ready(None) };
            watch.failed = read.err();
            watch.held.extend_from_slice(new);
            watch.look(new);
            if new.is_empty() {
                // The websocket finds the end, too.
                return Poll::Ready(None);
            }
        }
    }

    /// Reads the message that [`Metered::poll_take`] has found to `place`, which is as long as it at least. Until it has come
    /// nothing else is read.
    pub(crate) fn poll_taking(&mut self, cx: &mut Context<'_>, place: &mut [u8]) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        while let Some(watch) = &mut self.watch
            && let Some(incoming) = &mut watch.taking
        {
            let mut buffer = ReadBuf::new(incoming.lacks(place));
            if buffer.remaining() == 0 {
                watch.taking = None;
                break;
            }
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let come = buffer.filled().len();
            if come == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            watch.heads.skip(come);
            incoming.has_come(come, place);
            self.count(come);
        }
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, come: usize) {
        self.read = self.read.saturating_add(come as u64);
        if let Some(meter) = &self.meter {
            meter.received(come);
        }
    }

    /// Passes nothing on any more that waits for room.
    pub(crate) fn stop_waiting(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.waiting) {
            watch.stopped = Some(Stopped::NoRoom);
        }
    }

    /// Reads whatever comes from now on, to be thrown away.
    pub(crate) fn unwatched(&mut self) {
        self.watch = None;
        self.read_without_limit();
    }
}

impl Watch {
    /// Takes note of the heads in bytes that have just come.
    fn look(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.heads.next(&mut bytes) {
            if head.is_control {
                // Refused by the websocket too, but only once it has made room for all of it.
                if head.length > MAX_CONTROL {
                    self.stopped = Some(Stopped::TooLarge);
                }
                continue;
            }
            // A continuation of nothing is the websocket's to refuse: here it is a message.
            if !head.is_continuation || self.announced.is_empty() {
                self.announced.push_back(Reserved::default());
            }
            if let Some(message) = self.announced.back_mut() {
                message.announce(head.length);
            }
        }
        self.measure();
    }

    /// Stops at a message that is too long. Those behind the one that is due are measured in their turn.
    fn measure(&mut self) {
        if self.announced.front().is_some_and(|message| message.announced() > self.limit) {
            self.stopped = Some(Stopped::TooLarge);
        }
    }

    /// Waits until there is room for every message that has been announced.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stopped.is_some() {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        for message in &mut self.announced {
            let reserved = self.room.poll_reserve(cx, message);
            self.waiting = reserved.is_pending();
            if let Err(NoRoom) = ready!(reserved) {
                self.stopped = Some(Stopped::NoRoom);
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what was held.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = buffer.remaining().min(self.held.len());
        buffer.put_slice(self.held.get(..count).unwrap_or_default());
        if count == self.held.len() {
            self.held.zeroize();
        } else {
            self.held.drain(..count);
        }
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
        if let Some(watch) = &mut self.watch {
            if watch.taking.is_some() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if let Some(error) = watch.failed.take() {
                return Poll::Ready(Err(error));
            }
            ready!(watch.poll_room(cx))?;
            if !watch.held.is_empty() {
                watch.pass_on(buffer);
                return Poll::Ready(Ok(()));
            }
        }
        let before = buffer.filled().len();
        let Some(watch) = &self.watch else {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            self.count(buffer.filled().len().saturating_sub(before));
            return Poll::Ready(Ok(()));
        };
        // No further than the frame goes: what is behind it may not be the websocket's.
        let most = watch.heads.until_end().min(buffer.remaining());
        let mut of_frame = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut of_frame))?;
        let come = of_frame.filled().len();
        buffer.advance(come);
        self.count(come);
        let new = buffer.filled().get(before..).unwrap_or_default();
        let Some(watch) = &mut self.watch else { return Poll::Ready(Ok(())) };
        watch.look(new);
        let room = watch.poll_room(cx);
        if room.is_pending() {
            watch.held.extend_from_slice(new);
        }
        if !matches!(room, Poll::Ready(Ok(()))) {
            buffer.set_filled(before);
        }
        room
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { outgoing, stream, .. } = &mut *self;
        ready!(outgoing.poll_write(stream, cx))?;
        let written = Pin::new(stream).poll_write(cx, bytes);
        if let (Some(meter), Poll::Ready(Ok(written))) = (&self.meter, &written) {
            meter.sent(*written);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { outgoing, stream, .. } = &mut *self;
        ready!(outgoing.poll_write(stream, cx))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
