//! Who is let in: how many at once, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

pub(super) struct Admission {
    /// Handshakes under way.
    pub(super) handshakes: Arc<Semaphore>,
    /// Sessions that wait for a token.
    pub(super) waiting: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address: usize,
}

/// Room for one connection, given back on drop.
pub(super) struct Seat {
    _connection: OwnedSemaphorePermit,
    address: IpAddr,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            handshakes: semaphore(limits.handshakes),
            waiting: semaphore(limits.waiting_for_token),
            connections: semaphore(limits.connections),
            addresses: Arc::default(),
            per_address: limits.connections_per_address,
        }
    }

    /// Room for one more connection from `peer`; `None`: full.
    pub(super) fn seat(&self, peer: IpAddr) -> Option<Seat> {
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let address = network(peer);
        // A count is whole whatever panicked while it was held.
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Seat { _connection: connection, address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has to themselves.
fn network(peer: IpAddr) -> IpAddr {
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
        assert!(admission.addresses.lock().unwrap().is_empty());
        assert!(admission.seat("192.0.2.3".parse().unwrap()).is_some());
    }
}
