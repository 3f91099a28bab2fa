//! Long messages of a client past the websocket, one after the other to the same place: what a stream of them holds is one
//! message, and none is moved or allocated anew.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::{Deadline, Link, LinkError};
use crate::metered::Stopped;
use crate::server::Reserved;

/// How long a place is kept for a client that has nothing to say at the moment, or does not read.
const KEPT_FOR: Duration = Duration::from_millis(100);

/// Where long messages come to, one after the other, and the room that it takes. Wiped and given back on drop.
#[derive(Debug, Default)]
pub(crate) struct Place {
    bytes: Zeroizing<Vec<u8>>,
    room: Option<Reserved>,
}

/// Where a message has come to.
#[derive(Debug)]
pub(crate) enum Came {
    /// To the place that was given for it.
    InPlace,
    /// Not there: another than what is due there may be.
    Apart(Message),
}

impl Place {
    /// The place of a message that has been worked on, and the room that it took.
    pub(crate) fn of(bytes: Zeroizing<Vec<u8>>, room: Option<Reserved>) -> Self {
        Self { bytes, room }
    }

    /// The message that has come.
    pub(crate) fn take(&mut self) -> (Zeroizing<Vec<u8>>, Option<Reserved>) {
        let Self { bytes, room } = std::mem::take(self);
        (bytes, room)
    }

    /// The room for a message of this length, if there is some of about that size. Else there is none any more: who waits
    /// for room holds nothing that others wait for.
    pub(crate) fn room_for(&mut self, length: usize) -> Option<Reserved> {
        if !(length..=length.saturating_mul(2)).contains(&self.bytes.capacity()) {
            self.free();
        }
        self.room.take()
    }

    /// Length of the message that has come, in bytes.
    #[cfg(feature = "framing")]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Holds nothing any more.
    pub(crate) fn free(&mut self) {
        // The bytes first: what is there is never without its room.
        self.bytes = Zeroizing::default();
        self.room = None;
    }

    /// Waits, and frees the place if that takes long.
    pub(crate) async fn freed_in_time<T>(&mut self, waited_for: impl Future<Output = T>) -> T {
        let mut waited_for = pin!(waited_for);
        match timeout(KEPT_FOR, &mut waited_for).await {
            Ok(done) => done,
            Err(_) => {
                self.free();
                waited_for.await
            }
        }
    }

    /// As long as that. New memory is taken only where there is none: a buffer that grows leaves copies behind.
    fn make(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.capacity() < length {
            self.bytes = Zeroizing::default();
            self.bytes = Zeroizing::new(vec![0; length]);
        } else {
            self.bytes.resize(length, 0);
        }
        &mut self.bytes
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// The next message, where long ones are due: a long binary one comes to `place`, whose bytes it overwrites. Any other
    /// frees it; so does a client that keeps us waiting.
    pub(crate) async fn receive_into(
        &mut self,
        place: &mut Place,
        first_byte: Deadline,
        whole: Deadline,
    ) -> Result<Came, LinkError> {
        match self.take(place, first_byte, whole).await? {
            Some(length) => {
                let bytes = place.make(length);
                let stream = self.websocket.get_mut();
                let before = stream.passed_on();
                let taking = timeout_at(whole.at, poll_fn(|cx| stream.poll_taking(cx, bytes)));
                let taken = taking.await.map_err(|_| whole.missed())?;
                self.given_out += self.websocket.get_ref().passed_on() - before;
                taken.map_err(|error| self.explain(error.into()))?;
                place.room = self.websocket.get_mut().taken();
                Ok(Came::InPlace)
            }
            None => {
                place.free();
                self.receive_begun_by(first_byte, whole).await.map(Came::Apart)
            }
        }
    }

    /// The length of the next message if it is one that is taken past the websocket; waits for its head.
    async fn take(
        &mut self,
        place: &mut Place,
        first_byte: Deadline,
        whole: Deadline,
    ) -> Result<Option<usize>, LinkError> {
        let stream = self.websocket.get_mut();
        let before = stream.passed_on();
        // What the websocket holds of a message comes first.
        if before != self.given_out {
            return Ok(None);
        }
        let kept_until = Instant::now() + KEPT_FOR;
        let mut deadline = Deadline { at: kept_until.min(first_byte.at), ..first_byte };
        loop {
            // As in `receive_begun_by`: the clock is looked at, whatever is there.
            let in_time = Instant::now() < deadline.at;
            let taken = timeout_at(deadline.at, poll_fn(|cx| stream.poll_take(cx, place)));
            if let Some(taken) = if in_time { taken.await.ok() } else { None } {
                // Its head.
                self.given_out = stream.passed_on();
                return Ok(taken);
            }
            place.free();
            let begun = stream.read > before;
            if deadline.at >= whole.at || (!begun && deadline.at >= first_byte.at) {
                let waits_for_room = stream.stopped() == Some(Stopped::NoRoom);
                return Err(if waits_for_room { LinkError::NoRoom } else { deadline.missed() });
            }
            deadline = if begun { whole } else { first_byte };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;
    use crate::close::Close;
    use crate::limits::Limits;
    use crate::link::websocket_config;
    use crate::metered::Metered;
    use crate::server::Rooms;

    const LONGEST: usize = 100_000;

    /// Room for so many bytes, of which one address may have so many.
    fn rooms(room: usize, of_address: usize) -> Rooms {
        let limits =
            Limits { phi_in_flight: room, phi_in_flight_per_address: of_address, ..Limits::default() };
        Rooms::new(&limits)
    }

    /// A server's link and what is at its other end; there is room for so many bytes.
    async fn server(room: usize) -> (Link<DuplexStream>, DuplexStream, Rooms) {
        let rooms = rooms(room, room);
        let (link, far) = server_in(&rooms).await;
        (link, far, rooms)
    }

    async fn server_in(rooms: &Rooms) -> (Link<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(10_000);
        let near = Metered::new(near).watched(rooms.of(IpAddr::V4(Ipv4Addr::LOCALHOST)), LONGEST, &[]);
        let config = websocket_config(4096, LONGEST);
        let websocket = WebSocketStream::from_raw_socket(near, Role::Server, Some(config)).await;
        (Link::new(websocket, LONGEST, Duration::from_millis(100)), far)
    }

    async fn client(far: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(far, Role::Client, None).await
    }

    fn numbered(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    fn deadlines() -> (Deadline, Deadline) {
        (Deadline::after(Duration::from_secs(10)), Deadline::after(Duration::from_secs(30)))
    }

    async fn receive(link: &mut Link<DuplexStream>, place: &mut Place) -> Result<Came, LinkError> {
        let (first_byte, whole) = deadlines();
        link.receive_into(place, first_byte, whole).await
    }

    #[tokio::test]
    async fn long_messages_come_to_one_place_one_after_the_other() {
        let (mut link, far, rooms) = server(1_000_000).await;
        let mut client = client(far).await;
        let lengths = [4097, 70_000, 65_536, 5_000, LONGEST];
        let sending = tokio::spawn(async move {
            for length in lengths {
                client.send(Message::binary(numbered(length))).await.unwrap();
            }
            client
        });
        let mut place = Place::default();
        for length in lengths {
            assert!(matches!(receive(&mut link, &mut place).await, Ok(Came::InPlace)));
            assert!(*place.bytes == numbered(length), "{length}");
            // The place measures at least as much as what is there and at most twice that, and so does the room.
            let taken = 1_000_000 - rooms.available();
            assert_eq!(taken, place.bytes.capacity());
            assert!((length..=2 * length).contains(&taken), "{length}: {taken}");
        }
        sending.await.unwrap();
        drop(place);
        assert_eq!(rooms.available(), 1_000_000);
    }

    #[tokio::test]
    async fn what_is_not_long_binary_and_whole_comes_apart_and_frees_the_place() {
        let (mut link, far, rooms) = server(1_000_000).await;
        let mut client = client(far).await;
        let fragment = |opcode, last, length| {
            Message::Frame(Frame::message(numbered(length), OpCode::Data(opcode), last))
        };
        let sending = tokio::spawn(async move {
            let long = || Message::binary(numbered(50_000));
            let text = Message::text("t".repeat(60_000));
            for message in [long(), text, long(), Message::binary(numbered(4096)), long()] {
                client.send(message).await.unwrap();
            }
            client.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
            client.send(long()).await.unwrap();
            client.send(fragment(Data::Binary, false, 30_000)).await.unwrap();
            client.send(fragment(Data::Continue, true, 30_000)).await.unwrap();
            client.send(long()).await.unwrap();
            client.send(Message::text("end")).await.unwrap();
            // What was answered meanwhile.
            assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
            client
        });
        let mut place = Place::default();
        let (mut in_place, mut apart) = (0, Vec::new());
        while apart.last() != Some(&3) {
            match receive(&mut link, &mut place).await.unwrap() {
                Came::InPlace => {
                    assert!(*place.bytes == numbered(50_000));
                    in_place += 1;
                }
                Came::Apart(message) => {
                    assert_eq!(place.bytes.capacity(), 0);
                    apart.push(message.len());
                }
            }
        }
        // The one behind the ping is the websocket's, which has begun to read; so is all that comes after fragments, whose
        // heads it does not tell of.
        assert_eq!(apart, [60_000, 4096, 50_000, 60_000, 50_000, 3]);
        assert_eq!(in_place, 3);
        assert_eq!(rooms.available(), 1_000_000);
        link.send(Message::text("done"), deadlines().0).await.unwrap();
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_more_room_holds_none_that_others_wait_for() {
        let rooms = rooms(100_000, 200_000);
        let stream = async || {
            let (mut link, far) = server_in(&rooms).await;
            let mut client = client(far).await;
            let mut place = Place::default();
            for length in [50_000, 60_000] {
                let message = Message::binary(numbered(length));
                let (sent, received) = tokio::join!(client.send(message), receive(&mut link, &mut place));
                sent.unwrap();
                assert!(matches!(received, Ok(Came::InPlace)), "{received:?}");
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(stream(), stream());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_us_waiting_keeps_no_place() {
        let (mut link, far, rooms) = server(1_000_000).await;
        let mut client = client(far).await;
        let mut place = Place::default();
        let (sent, received) =
            tokio::join!(client.send(Message::binary(numbered(70_000))), receive(&mut link, &mut place));
        sent.unwrap();
        assert!(matches!(received, Ok(Came::InPlace)));
        assert_eq!(rooms.available(), 1_000_000 - 70_000);
        let waiting = tokio::spawn(async move { receive(&mut link, &mut place).await.err() });
        tokio::time::sleep(KEPT_FOR + Duration::from_millis(1)).await;
        assert_eq!(rooms.available(), 1_000_000);
        assert_eq!(waiting.await.unwrap(), Some(LinkError::Timeout { waited: Duration::from_secs(10) }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_frees_the_place() {
        let mut place = Place::of(Zeroizing::new(vec![7; 5000]), None);
        place.freed_in_time(tokio::time::sleep(KEPT_FOR / 2)).await;
        assert_eq!(place.bytes.len(), 5000);
        place.freed_in_time(tokio::time::sleep(KEPT_FOR * 2)).await;
        assert_eq!(place.bytes.capacity(), 0);
    }

    #[tokio::test]
    async fn one_that_is_too_long_or_finds_no_room_is_refused_before_it_is_read() {
        for (length, room, wanted) in [
            (LONGEST + 1, 1_000_000, LinkError::TooLarge { limit: LONGEST }),
            (50_001, 50_000, LinkError::NoRoom),
        ] {
            let (mut link, far, _rooms) = server(room).await;
            let mut client = client(far).await;
            let sending = tokio::spawn(async move { client.send(Message::binary(numbered(length))).await });
            let mut place = Place::default();
            assert_eq!(receive(&mut link, &mut place).await.err(), Some(wanted));
            assert_eq!(place.bytes.capacity(), 0);
            sending.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_first_deadline_and_a_message_that_has_begun_at_the_second() {
        // Nothing, a part of a head, a head, some of the payload.
        for (sent, waited) in [(0, 10), (1, 30), (8, 30), (5_000, 30)] {
            let (mut link, mut far, _rooms) = server(1_000_000).await;
            let frame = [&[0x82, 0xfe, 0x20, 0, 1, 2, 3, 4][..], &[7; 8192]].concat();
            far.write_all(&frame[..sent]).await.unwrap();
            let began = Instant::now();
            let ended = receive(&mut link, &mut Place::default()).await;
            let waited = Duration::from_secs(waited);
            assert_eq!(ended.err(), Some(LinkError::Timeout { waited }), "{sent}");
            assert_eq!(began.elapsed(), waited, "{sent}");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_in_the_middle_has_ended() {
        let (mut link, mut far, rooms) = server(1_000_000).await;
        far.write_all(&[0x82, 0xfe, 0x20, 0, 1, 2, 3, 4, 5, 6]).await.unwrap();
        drop(far);
        assert_eq!(receive(&mut link, &mut Place::default()).await.err(), Some(LinkError::Ended));
        drop(link);
        assert_eq!(rooms.available(), 1_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_message_that_was_given_up_is_never_read_as_frames() {
        let (mut link, mut far, rooms) = server(1_000_000).await;
        // A payload whose second half looks like the head of a frame of 64 KiB, had it not been announced.
        let payload = [&[9; 100][..], &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        far.write_all(&[0x82, 0xfe, 0x20, 0, 0, 0, 0, 0]).await.unwrap();
        far.write_all(&payload[..100]).await.unwrap();
        let ended = receive(&mut link, &mut Place::default()).await;
        assert!(matches!(ended, Err(LinkError::Timeout { .. })), "{ended:?}");
        far.write_all(&payload[100..]).await.unwrap();
        let before = rooms.available();
        let closing = tokio::spawn(link.close(Close::TooSlow));
        let mut said = vec![0; 2];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(said[0], 0x88, "a close frame");
        assert!(rooms.available() >= before);
        closing.await.unwrap();
        assert_eq!(rooms.available(), 1_000_000);
    }
}
