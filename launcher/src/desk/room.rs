//! Where sessions wait for their turn: bounded, in order of arrival, and who leaves is gone at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// A waiting room: each who waits wants a `W` and is answered with an `A`.
pub(super) struct Room<W, A> {
    inner: Arc<Inner<W, A>>,
}

struct Inner<W, A> {
    max: usize,
    /// Told of each arrival.
    arrivals: Arc<Notify>,
    state: Mutex<State<W, A>>,
}

struct State<W, A> {
    /// Those who wait for a request to be made for them, by the number of their arrival.
    waiting: BTreeMap<u64, Waiter<W, A>>,
    /// Those who wait, and those for whom a request is under way.
    seated: usize,
    arrived: u64,
    closed: bool,
}

/// One who waits, in the hands of those who serve.
pub(super) struct Waiter<W, A> {
    number: u64,
    pub(super) want: W,
    pub(super) deadline: Instant,
    answer: oneshot::Sender<A>,
}

/// One who waits, in the hands of the one who waits. Dropped, it leaves.
pub(super) struct Seat<W, A> {
    inner: Arc<Inner<W, A>>,
    number: u64,
    deadline: Instant,
    answer: oneshot::Receiver<A>,
}

/// Why nobody sits down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// As many wait as may.
    Full,
    /// Nobody serves any more.
    Closed,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Not in time.
    Deadline,
    /// Nobody serves any more.
    Closed,
}

impl<W, A> Room<W, A> {
    /// A room for `max`, those for whom a request is under way among them.
    pub(super) fn new(max: usize, arrivals: Arc<Notify>) -> Self {
        let state = State { waiting: BTreeMap::new(), seated: 0, arrived: 0, closed: false };
        Self { inner: Arc::new(Inner { max, arrivals, state: Mutex::new(state) }) }
    }

    /// Sits down to wait until `deadline`.
    ///
    /// # Errors
    /// [`NoSeat`].
    pub(super) fn enter(&self, want: W, deadline: Instant) -> Result<Seat<W, A>, NoSeat> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.inner.state();
        if state.closed {
            return Err(NoSeat::Closed);
        }
        if state.seated >= self.inner.max {
            return Err(NoSeat::Full);
        }
        let number = state.arrived;
        state.arrived += 1;
        state.seated += 1;
        state.waiting.insert(number, Waiter { number, want, deadline, answer: sender });
        drop(state);
        self.inner.arrivals.notify_one();
        Ok(Seat { inner: Arc::clone(&self.inner), number, deadline, answer })
    }

    /// Whether nobody waits for a request to be made.
    pub(super) fn is_empty(&self) -> bool {
        self.inner.state().waiting.is_empty()
    }

    /// How many have not been answered yet.
    pub(super) fn seated(&self) -> usize {
        self.inner.state().seated
    }

    /// The one who came first.
    pub(super) fn take_first(&self) -> Option<Waiter<W, A>> {
        self.inner.state().waiting.pop_first().map(|(_, waiter)| waiter)
    }

    /// The one who came first and those after it who want what goes `together` with it, `max` in all, in order of
    /// arrival.
    pub(super) fn take_group(&self, max: usize, together: impl Fn(&W, &W) -> bool) -> Vec<Waiter<W, A>> {
        let mut state = self.inner.state();
        let Some((_, first)) = state.waiting.pop_first() else {
            return Vec::new();
        };
        let others: Vec<u64> = state
            .waiting
            .values()
            .filter(|waiter| together(&first.want, &waiter.want))
            .map(|waiter| waiter.number)
            .take(max.saturating_sub(1))
            .collect();
        let mut group = vec![first];
        group.extend(others.iter().filter_map(|number| state.waiting.remove(number)));
        group
    }

    /// Those who have not left meanwhile wait again, in their old place.
    pub(super) fn put_back(&self, waiters: Vec<Waiter<W, A>>) {
        let mut state = self.inner.state();
        if state.closed {
            return;
        }
        for waiter in waiters {
            // Whoever leaves closes first and then takes itself out: one of us two sees the other.
            if !waiter.has_left() {
                state.waiting.insert(waiter.number, waiter);
            }
        }
    }

    /// Nobody is let in any more; whoever waits is told that it is closed.
    pub(super) fn close(&self) {
        let mut state = self.inner.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

impl<W, A> Clone for Room<W, A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<W, A> Waiter<W, A> {
    /// Answers; nothing happens if the one who waited has left.
    pub(super) fn answer(self, answer: A) {
        let _ = self.answer.send(answer);
    }

    /// Whether nobody wants the answer any more.
    pub(super) fn has_left(&self) -> bool {
        self.answer.is_closed()
    }
}

impl<W, A> Seat<W, A> {
    /// Waits for the answer.
    ///
    /// Cancel safe: dropping the future leaves.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub(super) async fn answered(mut self) -> Result<A, NoAnswer> {
        match timeout_at(self.deadline, &mut self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Closed),
            Err(_) => Err(NoAnswer::Deadline),
        }
    }
}

impl<W, A> Drop for Seat<W, A> {
    fn drop(&mut self) {
        self.answer.close();
        let mut state = self.inner.state();
        state.seated = state.seated.saturating_sub(1);
        let left = state.waiting.remove(&self.number);
        drop(state);
        drop(left);
    }
}

impl<W, A> Inner<W, A> {
    /// The state is whole whatever panicked while it was held.
    fn state(&self) -> MutexGuard<'_, State<W, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn room(max: usize) -> Room<char, usize> {
        Room::new(max, Arc::default())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(12)
    }

    fn wants(group: &[Waiter<char, usize>]) -> String {
        group.iter().map(|waiter| waiter.want).collect()
    }

    #[test]
    fn it_is_full_at_the_limit_and_not_after_somebody_left() {
        let room = room(2);
        let first = room.enter('a', later()).unwrap();
        let _second = room.enter('b', later()).unwrap();
        assert_eq!(room.enter('c', later()).err(), Some(NoSeat::Full));
        drop(first);
        assert!(room.enter('c', later()).is_ok());
    }

    #[tokio::test]
    async fn whoever_is_being_served_has_a_place_until_it_is_answered() {
        let room = room(1);
        let seat = room.enter('a', later()).unwrap();
        let waiter = room.take_first().unwrap();
        assert!(room.is_empty() && room.seated() == 1);
        assert_eq!(room.enter('b', later()).err(), Some(NoSeat::Full));
        waiter.answer(7);
        assert_eq!(seat.answered().await, Ok(7));
        assert_eq!(room.seated(), 0);
        assert!(room.enter('b', later()).is_ok());
    }

    #[test]
    fn a_group_is_the_first_and_its_like_in_order_up_to_its_size() {
        let room = room(9);
        let _seats: Vec<_> = "aAbaBAc".chars().map(|want| room.enter(want, later()).unwrap()).collect();
        let take = |max| wants(&room.take_group(max, |first, other| first.eq_ignore_ascii_case(other)));
        assert_eq!([take(3), take(3), take(3), take(3), take(3)], ["aAa", "bB", "A", "c", ""]);
    }

    #[test]
    fn whoever_left_is_in_no_group() {
        let room = room(9);
        let mut seats: Vec<_> = "abc".chars().map(|want| room.enter(want, later()).unwrap()).collect();
        seats.remove(1);
        assert_eq!(wants(&room.take_group(9, |_, _| true)), "ac");
    }

    #[test]
    fn those_put_back_keep_their_places_and_those_who_left_do_not_come_back() {
        let room = room(9);
        let mut seats: Vec<_> = "abc".chars().map(|want| room.enter(want, later()).unwrap()).collect();
        let group = room.take_group(9, |_, _| true);
        let _late = room.enter('d', later()).unwrap();
        seats.remove(1);
        room.put_back(group);
        assert_eq!(wants(&room.take_group(9, |_, _| true)), "acd");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_in_time_does_not_come() {
        let room = room(1);
        let began = Instant::now();
        let seat = room.enter('a', later()).unwrap();
        assert_eq!(seat.answered().await, Err(NoAnswer::Deadline));
        assert_eq!(began.elapsed(), Duration::from_secs(12));
        assert!(room.is_empty() && room.seated() == 0);
    }

    #[tokio::test]
    async fn closing_tells_those_who_wait_those_being_served_and_those_who_come() {
        let room = room(9);
        let [first, second] = ['a', 'b'].map(|want| room.enter(want, later()).unwrap());
        let served = room.take_first().unwrap();
        room.close();
        room.put_back(vec![served]);
        assert_eq!(first.answered().await, Err(NoAnswer::Closed));
        assert_eq!(second.answered().await, Err(NoAnswer::Closed));
        assert_eq!(room.enter('c', later()).err(), Some(NoSeat::Closed));
    }
}
