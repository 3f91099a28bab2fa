//! Who is let in: how many at once, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::room::{Load, Room, Rooms};
use super::turns::Turns;
use crate::limits::Limits;

/// Handshakes under way with clients for whom there is no room, only to tell them so. Above it they are dropped.
const REFUSALS: usize = 64;

pub(super) struct Admission {
    /// Handshakes under way.
    pub(super) handshakes: Arc<Semaphore>,
    /// Whose they are.
    pub(super) turns: Arc<Turns>,
    /// Handshakes under way to say that there is no room.
    pub(super) refusals: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    connections_by_address: PerAddress,
    handshakes_by_address: PerAddress,
    waiting_by_address: PerAddress,
    rooms: Rooms,
}

/// Room for one connection, or one place to wait for a token; given back on drop.
pub(super) struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_address: AddressSeat,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let handshakes = semaphore(limits.handshakes);
        Self {
            turns: Turns::new(Arc::clone(&handshakes)),
            handshakes,
            refusals: semaphore(REFUSALS),
            connections: semaphore(limits.connections),
            waiting: semaphore(limits.waiting_for_token),
            connections_by_address: PerAddress::new(limits.connections_per_address),
            handshakes_by_address: PerAddress::new(limits.handshakes_per_address),
            waiting_by_address: PerAddress::new(limits.waiting_per_address),
            rooms: Rooms::new(limits),
        }
    }

    /// The way of a connection from `peer` to the room for what it sends.
    pub(super) fn room(&self, peer: IpAddr) -> Room {
        self.rooms.of(peer)
    }

    pub(super) fn load(&self) -> Load {
        self.rooms.load()
    }

    /// Room for one more connection from `peer`; `None`: full.
    pub(super) fn seat(&self, peer: IpAddr) -> Option<Seat> {
        seat(&self.connections, &self.connections_by_address, peer)
    }

    /// A place to wait for a token; `None`: full.
    pub(super) fn place(&self, peer: IpAddr) -> Option<Seat> {
        seat(&self.waiting, &self.waiting_by_address, peer)
    }

    /// Leave for one more handshake with `peer`, under way or waiting for its turn; `None`: it has too many already.
    pub(super) fn handshake(&self, peer: IpAddr) -> Option<AddressSeat> {
        self.handshakes_by_address.take(peer)
    }
}

fn seat(of_all: &Arc<Semaphore>, by_address: &PerAddress, peer: IpAddr) -> Option<Seat> {
    let of_address = by_address.take(peer)?;
    let of_all = Arc::clone(of_all).try_acquire_owned().ok()?;
    Some(Seat { _of_all: of_all, _of_address: of_address })
}

/// How much of something each address has, up to a limit. Nothing is kept of addresses that have none.
#[derive(Clone, Debug)]
pub(super) struct PerAddress {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limit: usize,
}

/// Some of the share of an address, given back on drop.
#[derive(Debug)]
pub(super) struct AddressSeat {
    address: IpAddr,
    amount: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl PerAddress {
    pub(super) fn new(limit: usize) -> Self {
        Self { counts: Arc::default(), limit }
    }

    fn take(&self, peer: IpAddr) -> Option<AddressSeat> {
        self.take_some(peer, 1)
    }

    /// So much of it; `None`: more than is left of this address' share.
    pub(super) fn take_some(&self, peer: IpAddr, amount: usize) -> Option<AddressSeat> {
        let address = network(peer);
        // A count is whole whatever panicked while it was held.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&address).copied().unwrap_or(0);
        if amount > self.limit.saturating_sub(count) {
            return None;
        }
        counts.insert(address, count.saturating_add(amount));
        Some(AddressSeat { address, amount, counts: Arc::clone(&self.counts) })
    }
}

impl AddressSeat {
    /// One with what another of the same address has taken.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.amount = self.amount.saturating_add(std::mem::take(&mut other.amount));
    }
}

impl Drop for AddressSeat {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.address) {
            Some(count) if *count > self.amount => *count -= self.amount,
            _ => {
                counts.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has to themselves.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_address: usize) -> Admission {
        Admission::new(&Limits { connections, connections_per_address, ..Limits::default() })
    }

    #[test]
    fn one_address_gets_its_share_and_not_one_more_until_it_gives_one_back() {
        let admission = admission(10, 2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = admission.seat(one).unwrap();
        let _second = admission.seat(one).unwrap();
        assert!(admission.seat(one).is_none());
        assert!(
            admission.seat("::ffff:192.0.2.1".parse().unwrap()).is_none(),
            "the same address, written as IPv6"
        );
        assert!(admission.seat("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(admission.seat(one).is_some());
    }

    #[test]
    fn one_ipv6_subscriber_is_one_address() {
        let admission = admission(10, 1);
        let _seat = admission.seat("2001:db8:0:1::1".parse().unwrap()).unwrap();
        assert!(admission.seat("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(admission.seat("2001:db8:0:2::1".parse().unwrap()).is_some());
    }

    #[test]
    fn all_together_get_what_there_is_and_nothing_is_kept_of_those_who_left() {
        let admission = admission(2, 2);
        let seats: Vec<_> =
            (1..=2).map(|host| admission.seat(IpAddr::from([192, 0, 2, host])).unwrap()).collect();
        assert!(admission.seat("192.0.2.3".parse().unwrap()).is_none());
        drop(seats);
        assert!(admission.connections_by_address.counts.lock().unwrap().is_empty());
        assert!(admission.seat("192.0.2.3".parse().unwrap()).is_some());
    }

    #[test]
    fn handshakes_and_places_to_wait_have_shares_for_each_address_too() {
        let limits = Limits {
            handshakes_per_address: 1,
            waiting_for_token: 2,
            waiting_per_address: 1,
            ..Limits::default()
        };
        let admission = Admission::new(&limits);
        let [one, other, third] = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
        let handshake = admission.handshake(one).unwrap();
        assert!(admission.handshake(one).is_none());
        assert!(admission.handshake(other).is_some());
        drop(handshake);
        assert!(admission.handshake(one).is_some());

        let _first = admission.place(one).unwrap();
        assert!(admission.place(one).is_none(), "its share");
        let second = admission.place(other).unwrap();
        assert!(admission.place(third).is_none(), "all there are");
        drop(second);
        assert!(admission.place(third).is_some());
    }
}
