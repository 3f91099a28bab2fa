//! The one task that serves both rooms: whose turn it is, what is asked, and who is told what.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::Token;
use attestation::v1::{Batch, Leaf, MAX_BATCH};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::counters::Counters;
use super::error::DeskError;
use super::failure::{Failure, worth_another_try};
use super::pace::Pace;
use super::room::{Room, Waiter};
use super::{Share, TokenSource};
use crate::{LauncherError, TokenRequest};

pub(super) type Answer<T> = Result<T, DeskError>;

/// What a session that shares a token brings.
pub(super) struct Entry {
    pub(super) audience: Arc<str>,
    pub(super) leaf: Leaf,
}

/// What is written down of the requests.
pub(super) struct Books {
    pub(super) pace: Pace,
    pub(super) counters: Counters,
}

/// Serves until it is dropped; then the rooms are closed.
pub(super) struct Clerk {
    pub(super) source: Arc<dyn TokenSource>,
    pub(super) alone_under_way: usize,
    pub(super) sharing: Room<Entry, Answer<Share>>,
    pub(super) alone: Room<TokenRequest, Answer<Token>>,
    pub(super) arrivals: Arc<Notify>,
    pub(super) books: Arc<Mutex<Books>>,
}

/// Which kind of request leaves next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Batch,
    Alone,
}

/// Those who share a token, in the order of their leaves.
struct Sharers {
    batch: Batch,
    waiters: Vec<Waiter<Entry, Answer<Share>>>,
}

/// One who gets a token of its own.
type Lone = Waiter<TokenRequest, Answer<Token>>;

/// A request that came to its end, and whom it was for.
struct Asked<T> {
    at: Instant,
    of: T,
    answer: Result<Token, LauncherError>,
}

impl Books {
    pub(super) fn new(tokens_per_second: f64) -> Self {
        Self { pace: Pace::new(tokens_per_second, Instant::now()), counters: Counters::default() }
    }
}

/// The books are whole whatever panicked while they were held.
pub(super) fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clerk {
    pub(super) async fn serve(self) {
        let mut batches: JoinSet<Asked<Sharers>> = JoinSet::new();
        let mut alone: JoinSet<Asked<Lone>> = JoinSet::new();
        // Sessions that can share go first when both kinds come to an idle desk.
        let mut last = Turn::Alone;
        loop {
            let mut wake = None;
            if let Some(turn) = self.turn(last, batches.is_empty(), alone.len()) {
                let now = Instant::now();
                let may_leave = lock(&self.books).pace.next(now);
                if may_leave <= now {
                    let started = match turn {
                        Turn::Batch => self.start_batch(&mut batches, now),
                        Turn::Alone => self.start_alone(&mut alone, now),
                    };
                    // Nothing is started for those who left a moment ago.
                    if started.is_some() {
                        last = turn;
                    }
                    continue;
                }
                wake = Some(may_leave);
            }
            tokio::select! {
                () = self.arrivals.notified() => {}
                () = at(wake) => {}
                Some(asked) = batches.join_next() => self.settle_batch(asked),
                Some(asked) = alone.join_next() => self.settle_alone(asked),
            }
        }
    }

    /// Who goes next, if anybody may. While sessions wait to share, or for the token that they share, the two kinds take
    /// turns: a launcher that makes one token at a time must not have more than one of the others' to make before theirs.
    fn turn(&self, last: Turn, no_batch_under_way: bool, alone_under_way: usize) -> Option<Turn> {
        let sharing = !self.sharing.is_empty();
        let contended = sharing || !no_batch_under_way;
        let alone = !self.alone.is_empty() && alone_under_way < self.alone_under_way;
        if alone && !(contended && last == Turn::Alone) {
            Some(Turn::Alone)
        } else if sharing && no_batch_under_way {
            Some(Turn::Batch)
        } else {
            None
        }
    }

    /// Seals the tree over whoever waits for the same audience as the first. From here on it is too late to leave.
    fn start_batch(&self, batches: &mut JoinSet<Asked<Sharers>>, now: Instant) -> Option<()> {
        let waiters =
            self.sharing.take_group(MAX_BATCH as usize, |first, other| first.audience == other.audience);
        let audience = Arc::clone(&waiters.first()?.want.audience);
        let leaves = waiters.iter().map(|waiter| waiter.want.leaf).collect();
        // A group is never empty nor larger than a batch. If it were, dropping it tells its sessions.
        let batch = Batch::seal(leaves).ok()?;
        let request = match TokenRequest::pki(&*audience, batch.nonce().as_str()) {
            Ok(request) => request,
            Err(error) => {
                tell(waiters, &DeskError::Request(error));
                return None;
            }
        };
        let mut books = lock(&self.books);
        books.pace.take(now);
        books.counters.asked += 1;
        books.counters.sealed(batch.size());
        drop(books);
        debug!(sessions = batch.size(), "asking for a token to share");
        batches.spawn(ask(Arc::clone(&self.source), request, Sharers { batch, waiters }));
        Some(())
    }

    fn start_alone(&self, alone: &mut JoinSet<Asked<Lone>>, now: Instant) -> Option<()> {
        let waiter = self.alone.take_first()?;
        let mut books = lock(&self.books);
        books.pace.take(now);
        books.counters.asked += 1;
        drop(books);
        alone.spawn(ask(Arc::clone(&self.source), waiter.want.clone(), waiter));
        Some(())
    }

    fn settle_batch(&self, asked: Result<Asked<Sharers>, JoinError>) {
        let Some(Asked { at, of: Sharers { batch, waiters }, answer }) = self.unless_panicked(asked) else {
            return;
        };
        match answer {
            Ok(token) => {
                self.succeeded();
                hand_out(&Arc::new(token), &batch, waiters);
            }
            Err(error) => self.failed(&self.sharing, waiters, at, &error),
        }
    }

    fn settle_alone(&self, asked: Result<Asked<Lone>, JoinError>) {
        let Some(Asked { at, of: waiter, answer }) = self.unless_panicked(asked) else { return };
        match answer {
            Ok(token) => {
                self.succeeded();
                waiter.answer(Ok(token));
            }
            Err(error) => self.failed(&self.alone, vec![waiter], at, &error),
        }
    }

    /// A panic in the source has dropped those it was asked for, which told them.
    fn unless_panicked<T>(&self, asked: Result<Asked<T>, JoinError>) -> Option<Asked<T>> {
        if asked.is_err() {
            error!("the token source panicked: a fault of this program");
            lock(&self.books).counters.panicked();
        }
        asked.ok()
    }

    fn succeeded(&self) {
        let now = Instant::now();
        let mut books = lock(&self.books);
        if books.pace.failures() > 0 {
            info!(failures = books.pace.failures(), "the launcher gives tokens again");
        }
        books.pace.succeeded(now);
        books.counters.succeeded(now);
    }

    /// Those for whom there is time and sense in it wait for another request; the others are told.
    fn failed<W, A>(
        &self,
        room: &Room<W, Answer<A>>,
        waiters: Vec<Waiter<W, Answer<A>>>,
        asked: Instant,
        error: &LauncherError,
    ) {
        let kind = Failure::of(error);
        let mut books = lock(&self.books);
        books.counters.failed(error);
        if !worth_another_try(error) {
            drop(books);
            return tell(waiters, &DeskError::Launcher(error.clone()));
        }

        let now = Instant::now();
        let first_of_a_series = books.pace.failures() == 0;
        let slower = books.pace.failed(asked, now, kind == Failure::Quota, fastrand::f64());
        let next_try = books.pace.next(now);
        let (in_time, late): (Vec<_>, Vec<_>) = waiters
            .into_iter()
            .filter(|waiter| !waiter.has_left())
            .partition(|waiter| waiter.deadline > next_try);
        books.counters.retries += u64::from(!in_time.is_empty());
        let rate = books.pace.rate(now);
        drop(books);

        // One line for the first failure and for each lower rate, not one for each failure.
        if first_of_a_series || slower {
            warn!(kind = kind.name(), tokens_per_second = rate, next = error.hint(), "no token: {error}");
        } else {
            debug!(kind = kind.name(), "no token: {error}");
        }
        let told = match kind {
            Failure::Quota => DeskError::Quota(error.clone()),
            _ => DeskError::Launcher(error.clone()),
        };
        tell(late, &told);
        room.put_back(in_time);
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.sharing.close();
        self.alone.close();
    }
}

async fn ask<T>(source: Arc<dyn TokenSource>, request: TokenRequest, of: T) -> Asked<T> {
    let at = Instant::now();
    let answer = source.token(&request).await;
    Asked { at, of, answer }
}

/// Waits until then; for ever if there is nothing to wait for.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn hand_out(token: &Arc<Token>, batch: &Batch, waiters: Vec<Waiter<Entry, Answer<Share>>>) {
    for (index, waiter) in (0..batch.size()).zip(waiters) {
        // Every index below the size has a proof.
        let Some(proof) = batch.proof(index) else { continue };
        waiter.answer(Ok(Share { token: Arc::clone(token), proof, batch_size: batch.size() }));
    }
}

fn tell<W, A>(waiters: Vec<Waiter<W, Answer<A>>>, error: &DeskError) {
    for waiter in waiters {
        waiter.answer(Err(error.clone()));
    }
}
