//! Whose handshake goes on. An address may have as many under way as are left for all others; what it has above that
//! waits for its own. So a few addresses that hold all they can, however slowly, leave room for whoever comes next: twenty
//! of them a twenty-first part. Without it they would have everybody wait who is not yet accepted.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::admission::network;

/// The turns of all addresses. Nothing is kept of addresses that have none.
pub(super) struct Turns {
    /// Handshakes that may be under way, of all addresses.
    all: Arc<Semaphore>,
    queues: Mutex<HashMap<IpAddr, Queue>>,
}

/// The handshakes of one address.
#[derive(Default)]
struct Queue {
    under_way: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// When a connection may shake hands.
pub(super) enum Turn {
    /// Now.
    Now(Slot),
    /// When others of its address have done so.
    Later(oneshot::Receiver<Slot>),
}

/// Leave to shake hands; the next one's on drop.
pub(super) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    /// `None`: it is of no address' share.
    of: Option<(Arc<Turns>, IpAddr)>,
}

impl Turns {
    pub(super) fn new(all: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { all, queues: Mutex::default() })
    }

    /// The turn of a connection from `peer`, for which there is a `permit`.
    pub(super) fn turn(self: &Arc<Self>, peer: IpAddr, permit: OwnedSemaphorePermit) -> Turn {
        let address = network(peer);
        let mut queues = self.queues();
        let queue = queues.entry(address).or_default();
        if queue.waiting.is_empty() && self.has_room(queue) {
            queue.under_way += 1;
            return Turn::Now(self.slot(address, permit));
        }
        let (sender, receiver) = oneshot::channel();
        // All wait equally long, so those who have given up are in front.
        while queue.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(sender);
        Turn::Later(receiver)
    }

    /// A handshake of this address has ended.
    fn ended(self: &Arc<Self>, address: IpAddr, mut permit: OwnedSemaphorePermit) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&address) else { return };
        queue.under_way = queue.under_way.saturating_sub(1);
        while self.has_room(queue)
            && let Some(next) = queue.waiting.pop_front()
        {
            // Who has given up gives it back, and not by a drop, which would come here again.
            match next.send(self.slot(address, permit)).map_err(|mut slot| slot.permit.take()) {
                Ok(()) => {
                    queue.under_way += 1;
                    return;
                }
                Err(Some(back)) => permit = back,
                Err(None) => return,
            }
        }
        if queue.under_way == 0 && queue.waiting.is_empty() {
            queues.remove(&address);
        }
    }

    /// Whether this address may have one more, for which there is a permit.
    fn has_room(&self, queue: &Queue) -> bool {
        queue.under_way == 0 || queue.under_way < self.all.available_permits()
    }

    fn slot(self: &Arc<Self>, address: IpAddr, permit: OwnedSemaphorePermit) -> Slot {
        Slot { permit: Some(permit), of: Some((Arc::clone(self), address)) }
    }

    /// What is kept is whole whatever panicked while it was held.
    fn queues(&self) -> MutexGuard<'_, HashMap<IpAddr, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits for it; `None`: there are no more.
    pub(super) async fn come(self) -> Option<Slot> {
        match self {
            Self::Now(slot) => Some(slot),
            Self::Later(slot) => slot.await.ok(),
        }
    }
}

impl Slot {
    /// One that takes nothing of its address' share.
    pub(super) fn apart(permit: OwnedSemaphorePermit) -> Self {
        Self { permit: Some(permit), of: None }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let (Some(permit), Some((turns, address))) = (self.permit.take(), self.of.take()) {
            turns.ended(address, permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    /// One more from this host, if there is a permit at all.
    fn come(turns: &Arc<Turns>, host: u8) -> Option<Turn> {
        let permit = Arc::clone(&turns.all).try_acquire_owned().ok()?;
        Some(turns.turn(address(host), permit))
    }

    /// So many from this host; those whose turn it is and those who wait.
    fn many(turns: &Arc<Turns>, host: u8, count: usize) -> (Vec<Slot>, Vec<oneshot::Receiver<Slot>>) {
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match come(turns, host).unwrap() {
                Turn::Now(slot) => now.push(slot),
                Turn::Later(waiting) => later.push(waiting),
            }
        }
        (now, later)
    }

    #[test]
    fn addresses_that_want_all_leave_a_share_to_who_comes_next() {
        let turns = Turns::new(Arc::new(Semaphore::new(512)));
        let crowd: Vec<_> = (0..64).flat_map(|_| 1..=20).map(|host| many(&turns, host, 1)).collect();
        let held: usize = crowd.iter().map(|(now, _)| now.len()).sum();
        // 512 / 21, and one more for some of them.
        assert!((480..=500).contains(&held), "{held}");
        let (now, _) = many(&turns, 21, 10);
        assert_eq!(now.len(), 10);
    }

    #[test]
    fn who_came_first_and_took_all_has_no_more_than_others_once_theirs_have_ended() {
        let turns = Turns::new(Arc::new(Semaphore::new(100)));
        let (first, waiting) = many(&turns, 1, 90);
        let (second, _) = many(&turns, 2, 20);
        let (third, _) = many(&turns, 3, 20);
        assert_eq!([first.len(), second.len(), third.len()], [50, 20, 15]);
        drop(first);
        let followed: Vec<_> = waiting.into_iter().filter_map(|mut turn| turn.try_recv().ok()).collect();
        assert_eq!(followed.len(), 32);
    }

    #[test]
    fn one_address_has_half_and_the_rest_waits_for_its_own() {
        let turns = Turns::new(Arc::new(Semaphore::new(8)));
        let (mut now, mut later) = many(&turns, 1, 10);
        assert_eq!((now.len(), later.len()), (4, 6));
        // Another's end is not theirs.
        drop(many(&turns, 2, 1));
        assert!(later[0].try_recv().is_err());
        drop(now.pop());
        let slot = later[0].try_recv().unwrap();
        assert!(later[1].try_recv().is_err());
        drop(slot);
        assert!(later[1].try_recv().is_ok());
    }

    #[test]
    fn whoever_has_none_gets_the_last_one() {
        let turns = Turns::new(Arc::new(Semaphore::new(3)));
        let slots: Vec<_> = (1..=3).map(|host| come(&turns, host).unwrap()).collect();
        assert!(slots.iter().all(|turn| matches!(turn, Turn::Now(_))));
        assert!(come(&turns, 4).is_none());
    }

    #[test]
    fn who_gives_up_waiting_is_passed_over_and_nothing_is_kept_of_who_has_left() {
        let turns = Turns::new(Arc::new(Semaphore::new(2)));
        let (now, mut later) = many(&turns, 1, 4);
        assert_eq!((now.len(), later.len()), (1, 3));
        drop(later.remove(0));
        drop(now);
        let slot = later[0].try_recv().unwrap();
        // Handed over, and never taken.
        drop(slot);
        drop(later);
        assert_eq!(turns.all.available_permits(), 2);
        assert!(turns.queues().is_empty());
    }

    #[test]
    fn those_who_gave_up_do_not_pile_up() {
        let turns = Turns::new(Arc::new(Semaphore::new(2)));
        let _now = come(&turns, 1);
        for _ in 0..100 {
            drop(come(&turns, 1));
        }
        assert!(turns.queues()[&address(1)].waiting.len() <= 1);
    }
}
