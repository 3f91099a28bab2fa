//! Room for what clients send, in all and for one address: taken by the length that a frame announces, before anything is
//! allocated for it, and given back when the message has been worked on.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

use super::admission::{AddressSeat, PerAddress};
use super::upgrade::READ_BUFFER;
use crate::limits::Limits;

/// What a message may measure without taking room: it fits into the buffer that every connection has anyway. So the
/// sessions of most clients, who send one night, go on however much others send.
pub(super) const UNCOUNTED: u64 = READ_BUFFER as u64;

/// What [`Load::phi_in_flight`] is rounded up to: the longest message.
const LOAD_UNIT: u64 = 1024 * 1024;

/// The room that all sessions share.
pub(crate) struct Rooms {
    all: Arc<Semaphore>,
    size: usize,
    by_address: PerAddress,
}

impl Rooms {
    pub(crate) fn new(limits: &Limits) -> Self {
        let size = limits.phi_in_flight.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(size)),
            size,
            by_address: PerAddress::new(limits.phi_in_flight_per_address),
        }
    }

    pub(super) fn load(&self) -> Load {
        Load { room: Arc::clone(&self.all), size: self.size }
    }

    /// How much nobody has taken, in bytes.
    #[cfg(test)]
    pub(crate) fn available(&self) -> usize {
        self.all.available_permits()
    }

    /// The way to it of a connection from `peer`.
    pub(crate) fn of(&self, peer: IpAddr) -> Room {
        Room { all: PollSemaphore::new(Arc::clone(&self.all)), by_address: self.by_address.clone(), peer }
    }
}

/// How full a server is, at the moment when it is asked.
#[derive(Clone, Debug)]
pub struct Load {
    room: Arc<Semaphore>,
    size: usize,
}

impl Load {
    /// Bytes of PHI that are held, rounded up to whole MiB so that no message can be measured. Messages that
    /// need no room are not in it.
    pub fn phi_in_flight(&self) -> u64 {
        let held = self.size.saturating_sub(self.room.available_permits()) as u64;
        held.div_ceil(LOAD_UNIT).saturating_mul(LOAD_UNIT)
    }
}

/// One connection's way to the room.
#[derive(Debug)]
pub(crate) struct Room {
    all: PollSemaphore,
    by_address: PerAddress,
    peer: IpAddr,
}

/// What one message has taken; given back on drop.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    announced: u64,
    taken: u64,
    /// Of all, and of the address.
    of: Option<(OwnedSemaphorePermit, AddressSeat)>,
}

/// There is none for this address, and waiting would not help soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Reserved {
    /// A frame of the message announces so much more.
    pub(crate) fn announce(&mut self, length: u64) {
        self.announced = self.announced.saturating_add(length);
    }

    /// Has the room that another has taken, whose place it takes.
    pub(crate) fn take_over(&mut self, other: Self) {
        self.taken = self.taken.saturating_add(other.taken);
        if let Some((of_all, of_address)) = other.of {
            self.add(of_all, of_address);
        }
    }

    fn add(&mut self, more_of_all: OwnedSemaphorePermit, more_of_address: AddressSeat) {
        match &mut self.of {
            Some((of_all, of_address)) => {
                of_all.merge(more_of_all);
                of_address.merge(more_of_address);
            }
            none => *none = Some((more_of_all, more_of_address)),
        }
    }

    /// What all frames of the message announce, in bytes.
    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }
}

impl Room {
    /// Takes what the message lacks; waits while others have it.
    pub(crate) fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Reserved,
    ) -> Poll<Result<(), NoRoom>> {
        let lacks = message.announced.saturating_sub(message.taken);
        if message.announced <= UNCOUNTED || lacks == 0 {
            return Poll::Ready(Ok(()));
        }
        let Ok(bytes) = u32::try_from(lacks) else { return Poll::Ready(Err(NoRoom)) };
        // The share of the address first: who has used it up does not wait in the row of the others.
        let Some(of_address) = self.by_address.take_some(self.peer, bytes as usize) else {
            return Poll::Ready(Err(NoRoom));
        };
        // The semaphore is never closed.
        let Some(of_all) = ready!(self.all.poll_acquire_many(cx, bytes)) else {
            return Poll::Ready(Err(NoRoom));
        };
        message.taken = message.taken.saturating_add(lacks);
        message.add(of_all, of_address);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn rooms(phi_in_flight: usize, phi_in_flight_per_address: usize) -> Rooms {
        Rooms::new(&Limits { phi_in_flight, phi_in_flight_per_address, ..Limits::default() })
    }

    #[test]
    fn what_is_held_is_told_in_whole_mebibytes() {
        let rooms = rooms(4 << 20, 4 << 20);
        let (mut room, mut other) = (rooms.of(ONE), rooms.of(ONE));
        let (mut message, mut second) = (Reserved::default(), Reserved::default());
        assert_eq!(rooms.load().phi_in_flight(), 0);
        assert!(reserve(&mut room, &mut message, 5_000).is_ready());
        assert_eq!(rooms.load().phi_in_flight(), 1 << 20);
        assert!(reserve(&mut other, &mut second, 1 << 20).is_ready());
        assert_eq!(rooms.load().phi_in_flight(), 2 << 20);
        drop((message, second));
        assert_eq!(rooms.load().phi_in_flight(), 0);
    }

    fn reserve(room: &mut Room, message: &mut Reserved, length: u64) -> Poll<Result<(), NoRoom>> {
        message.announce(length);
        room.poll_reserve(&mut Context::from_waker(Waker::noop()), message)
    }

    #[test]
    fn a_message_takes_what_there_is_and_one_byte_over_waits_until_it_is_given_back() {
        let rooms = rooms(10_000, 10_000);
        let (mut first, mut second) = (rooms.of(ONE), rooms.of(OTHER));
        let (mut one, mut other) = (Reserved::default(), Reserved::default());
        assert_eq!(reserve(&mut first, &mut one, 5000), Poll::Ready(Ok(())));
        assert_eq!(reserve(&mut second, &mut other, 5001), Poll::Pending);
        drop(one);
        assert_eq!(reserve(&mut second, &mut other, 0), Poll::Ready(Ok(())));
        // Exactly what is left.
        let mut last = Reserved::default();
        assert_eq!(reserve(&mut first, &mut last, 4999), Poll::Ready(Ok(())));
        assert_eq!(rooms.all.available_permits(), 0);
        drop((other, last));
        assert_eq!(rooms.all.available_permits(), 10_000);
    }

    #[test]
    fn one_address_gets_its_share_and_is_told_at_once_that_there_is_no_more() {
        let rooms = rooms(100_000, 10_000);
        let mut room = rooms.of(ONE);
        let (mut one, mut over, mut of_other) =
            (Reserved::default(), Reserved::default(), Reserved::default());
        assert_eq!(reserve(&mut room, &mut one, 5000), Poll::Ready(Ok(())));
        assert_eq!(reserve(&mut room, &mut over, 5001), Poll::Ready(Err(NoRoom)));
        assert_eq!(reserve(&mut rooms.of(OTHER), &mut of_other, 5001), Poll::Ready(Ok(())));
        drop(one);
        assert_eq!(reserve(&mut room, &mut over, 0), Poll::Ready(Ok(())));
    }

    #[test]
    fn what_is_short_takes_no_room_until_its_fragments_are_long_together() {
        let rooms = rooms(0, 0);
        let mut message = Reserved::default();
        assert_eq!(reserve(&mut rooms.of(ONE), &mut message, UNCOUNTED), Poll::Ready(Ok(())));
        assert_eq!(reserve(&mut rooms.of(ONE), &mut message, 1), Poll::Ready(Err(NoRoom)));
    }

    #[test]
    fn a_message_in_the_place_of_another_takes_what_it_has_more_and_keeps_what_it_has_less() {
        let rooms = rooms(10_000, 10_000);
        let mut room = rooms.of(ONE);
        let [mut first, mut longer, mut shorter] = [(); 3].map(|()| Reserved::default());
        assert!(reserve(&mut room, &mut first, 5000).is_ready());
        longer.take_over(first);
        assert_eq!(reserve(&mut room, &mut longer, 9000), Poll::Ready(Ok(())));
        assert_eq!(rooms.all.available_permits(), 1000);
        shorter.take_over(longer);
        assert_eq!(reserve(&mut room, &mut shorter, 6000), Poll::Ready(Ok(())));
        assert_eq!(rooms.all.available_permits(), 1000);
        // 9000 of the share of the address are taken, and given back at the end.
        assert!(rooms.by_address.take_some(ONE, 1001).is_none());
        assert!(rooms.by_address.take_some(ONE, 1000).is_some());
        drop(shorter);
        assert_eq!(rooms.all.available_permits(), 10_000);
        assert!(rooms.by_address.take_some(ONE, 10_000).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_gave_up_waiting() {
        let rooms = rooms(5000, 10_000);
        let mut one = Reserved::default();
        assert_eq!(reserve(&mut rooms.of(ONE), &mut one, 5000), Poll::Ready(Ok(())));
        let (mut room, mut waits) = (rooms.of(OTHER), Reserved::default());
        assert_eq!(reserve(&mut room, &mut waits, 5000), Poll::Pending);
        drop((room, waits, one));
        assert_eq!(rooms.all.available_permits(), 5000);
        let mut again = Reserved::default();
        assert_eq!(reserve(&mut rooms.of(OTHER), &mut again, 5000), Poll::Ready(Ok(())));
    }
}
