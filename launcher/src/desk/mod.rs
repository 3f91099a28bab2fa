//! One place for everything that wants a token. What it holds to is said at [`TokenDesk`].
//!
//! ```text
//! share ── room ──┐          ┌── batch, one under way ──┐
//!                 ├── clerk ─┤                          ├── TokenSource
//! token ── room ──┘    │     └── alone, a few ──────────┘
//!                      └ pace, counters
//! ```

mod clerk;
mod counters;
mod error;
mod failure;
mod pace;
mod room;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::Token;
use attestation::v1::{InclusionProof, Leaf, MAX_BATCH};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use counters::{BatchSizes, FailureCounts, Snapshot};
pub use error::DeskError;
pub use failure::Failure;
pub use pace::TOKENS_PER_SECOND;

use crate::request::check_audience;
use crate::{DEFAULT_TIMEOUT, TokenRequest, TokenSource};
use clerk::{Answer, Books, Clerk, Entry};
use room::{NoAnswer, NoSeat, Room};

/// Tokens a second unless told: one less than the service's quota of 5 for each project and region ("Access resources not
/// managed by Google Cloud IAM"), which the launcher's own refreshes use too. Servers that share a project share the
/// quota.
pub const DEFAULT_TOKENS_PER_SECOND: f64 = 4.0;

/// Most requests alone under way that [`DeskOptions::for_rate`] makes of a rate.
pub(crate) const MOST_ALONE: usize = 64;

/// Longest deadline that makes sense; longer ones become this.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

/// How a desk behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct DeskOptions {
    /// Requests a second at most, in [`TOKENS_PER_SECOND`].
    pub tokens_per_second: f64,
    /// How long a session waits for its token in all, from when it asks. Failed requests are repeated within it. The time
    /// for one request is the token source's own.
    pub deadline: Duration,
    /// Requests of [`TokenDesk::token`] under way at once; 0 counts as 1.
    pub alone_under_way: usize,
    /// Sessions that may wait to share a token, and as many again that may wait for one of their own.
    pub waiting: usize,
}

impl Default for DeskOptions {
    fn default() -> Self {
        Self {
            tokens_per_second: DEFAULT_TOKENS_PER_SECOND,
            deadline: DEFAULT_TIMEOUT,
            alone_under_way: 2,
            waiting: 4 * MAX_BATCH as usize,
        }
    }
}

impl DeskOptions {
    /// The default ones for a launcher that is asked so often, in tokens a second: as many requests alone under way as leave
    /// in half a second, about what a token takes, so that a launcher which is as fast as the rate is not kept waiting. 2
    /// at the default rate and below, 64 at most.
    pub fn for_rate(tokens_per_second: f64) -> Self {
        // Whatever the rate is: the conversion cuts off and saturates, and NaN becomes 0.
        let alone_under_way = ((tokens_per_second / 2.0) as usize).clamp(2, MOST_ALONE);
        Self { tokens_per_second, alone_under_way, ..Self::default() }
    }
}

/// Where everything that wants a token asks for it: sessions that share one, and those that need one of their own.
///
/// A real launcher makes a token in a third of a second, one at a time, and the service allows five a second for a whole
/// project and region. So the sessions of wire version 1 that wait at the same moment become the leaves of one tree,
/// and one token carries its root ([`TokenDesk::share`]); what arrives while that request is under way forms the next
/// batch. A session alone leaves at once, in a batch of one.
///
/// What the desk holds to, whatever is done by peers, who cause requests before they have shown who they are:
///
/// - At most one batch and [`DeskOptions::alone_under_way`] other requests are under way, and they leave at the configured
///   rate at most, repeated ones and readiness included (but one whose kept connection turns out to be closed is made anew
///   by [`Launcher`](crate::Launcher) at once). The rate gives way to quota errors.
/// - While sessions wait to share, at most one other token is asked for between two batches; it gets its turn, too.
/// - What waits is bounded; who leaves is gone at once, and nothing is asked for nobody. A request that has left is
///   waited for even so: the launcher works on it whoever listens, and its work must not pile up there.
/// - A failed request fails its own sessions only. Those for whom there is time wait for another, which is made after a
///   pause together with whoever came meanwhile. After status 400 there is no other.
///
/// There is one in a process. Clones are the same desk, which closes with the last of them.
///
/// ```
/// # use std::sync::Arc;
/// use launcher::{DEFAULT_SOCKET, DeskError, DeskOptions, Launcher, TokenDesk};
///
/// # async fn session(leaf: attestation::v1::Leaf) -> Result<(), DeskError> {
/// let desk = TokenDesk::new(Arc::new(Launcher::new(DEFAULT_SOCKET)), DeskOptions::default());
/// let share = desk.share("uwear", leaf).await?;
/// println!("leaf {} of {}, token {}", share.proof.index(), share.batch_size, share.token);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenDesk {
    desk: Arc<Desk>,
}

/// A session's share of a token.
#[derive(Clone, Debug)]
pub struct Share {
    /// The token of the whole batch, as it came from the launcher. Its nonce is to be the one that `proof` gives for the
    /// session's leaf; whoever receives it verifies that.
    pub token: Arc<Token>,
    /// That the session's leaf is in the batch.
    pub proof: InclusionProof,
    /// How many sessions share the token.
    pub batch_size: u32,
}

struct Desk {
    options: DeskOptions,
    sharing: Room<Entry, Answer<Share>>,
    alone: Room<TokenRequest, Answer<Token>>,
    books: Arc<Mutex<Books>>,
    clerk: AbortHandle,
}

impl TokenDesk {
    /// A desk that asks `source`, from a task of the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with its timer.
    pub fn new(source: Arc<dyn TokenSource>, options: DeskOptions) -> Self {
        let options = DeskOptions { deadline: options.deadline.min(LONGEST_DEADLINE), ..options };
        let arrivals = Arc::new(Notify::new());
        let sharing = Room::new(options.waiting, Arc::clone(&arrivals));
        let alone = Room::new(options.waiting, Arc::clone(&arrivals));
        let books = Arc::new(Mutex::new(Books::new(options.tokens_per_second)));
        let clerk = Clerk {
            source,
            alone_under_way: options.alone_under_way.max(1),
            sharing: sharing.clone(),
            alone: alone.clone(),
            arrivals,
            books: Arc::clone(&books),
        };
        let clerk = tokio::spawn(clerk.serve()).abort_handle();
        Self { desk: Arc::new(Desk { options, sharing, alone, books, clerk }) }
    }

    /// A token for `audience` that this session shares with those that wait at the same moment, for wire version 1.
    ///
    /// It ends by itself within [`DeskOptions::deadline`]. Cancel safe: dropping the future leaves the batch, unless it is
    /// sealed already.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn share(&self, audience: &str, leaf: Leaf) -> Result<Share, DeskError> {
        check_audience(audience)?;
        self.wait(&self.desk.sharing, Entry { audience: audience.into(), leaf }).await
    }

    /// A token of its own, for wire version 0 and for readiness.
    ///
    /// It ends by itself within [`DeskOptions::deadline`]. Cancel safe: dropping the future takes the request back,
    /// unless it has left already.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn token(&self, request: TokenRequest) -> Result<Token, DeskError> {
        self.wait(&self.desk.alone, request).await
    }

    /// What it has done so far. Cheap enough for every scrape of the metrics.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut books = clerk::lock(&self.desk.books);
        let rate = books.pace.rate(now);
        let counters = &books.counters;
        Snapshot {
            asked: counters.asked,
            given: counters.given,
            failed: counters.failed,
            retries: counters.retries,
            batches: counters.batches,
            rate,
            sharing: self.desk.sharing.seated(),
            alone: self.desk.alone.seated(),
            since_success: counters.last_success.map(|last| now.saturating_duration_since(last)),
        }
    }

    async fn wait<W, A>(&self, room: &Room<W, Answer<A>>, want: W) -> Answer<A> {
        let DeskOptions { deadline: within, waiting: max, .. } = self.desk.options;
        let seat = room.enter(want, Instant::now() + within).map_err(|no| match no {
            NoSeat::Full => DeskError::Full { max },
            NoSeat::Closed => DeskError::Closed,
        })?;
        seat.answered().await.unwrap_or_else(|no| {
            Err(match no {
                NoAnswer::Closed => DeskError::Closed,
                NoAnswer::Deadline => {
                    let last = clerk::lock(&self.desk.books).counters.last_failure.clone();
                    DeskError::Deadline { within, last }
                }
            })
        })
    }
}

impl fmt::Debug for TokenDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDesk").field("options", &self.desk.options).finish_non_exhaustive()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clerk.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_requests_are_under_way_as_leave_in_half_a_second() {
        for (rate, wanted) in
            [(0.1, 2), (4.0, 2), (10.0, 5), (1000.0, 64), (f64::NAN, 2), (f64::INFINITY, 64)]
        {
            assert_eq!(DeskOptions::for_rate(rate).alone_under_way, wanted, "{rate}");
        }
        assert_eq!(DeskOptions::for_rate(DEFAULT_TOKENS_PER_SECOND), DeskOptions::default());
    }
}
