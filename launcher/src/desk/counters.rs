//! What the desk has done so far, for metrics and readiness.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use crate::LauncherError;

/// The counters of a [`TokenDesk`](super::TokenDesk) at one moment. They never go back.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Requests that were sent to the token source, repeated ones included.
    pub asked: u64,
    /// Tokens that came.
    pub given: u64,
    /// Requests that failed, by kind.
    pub failed: FailureCounts,
    /// Failed requests whose sessions wait for another.
    pub retries: u64,
    /// Batches that were sealed, by size; one whose request is repeated is sealed again.
    pub batches: BatchSizes,
    /// How often the launcher is asked at most, in tokens a second: below the configured rate after a quota error.
    pub rate: f64,
    /// Sessions that wait for a batch or its token.
    pub sharing: usize,
    /// Requests for a token of their own that wait for it.
    pub alone: usize,
    /// Time since the last token; none came yet if it is missing.
    pub since_success: Option<Duration>,
}

/// Failed requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts([u64; Failure::ALL.len()]);

impl FailureCounts {
    /// Each kind and how many there were, in the order of [`Failure::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Failure, u64)> {
        Failure::ALL.into_iter().zip(self.0)
    }

    /// How many there were of this kind.
    pub fn of(&self, kind: Failure) -> u64 {
        self.iter().find(|(other, _)| *other == kind).map_or(0, |(_, count)| count)
    }

    /// How many there were of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn count(&mut self, kind: Failure) {
        for (other, count) in Failure::ALL.into_iter().zip(&mut self.0) {
            *count += u64::from(other == kind);
        }
    }
}

/// A histogram of batch sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSizes {
    counts: [u64; Self::LIMITS.len()],
    sessions: u64,
}

impl BatchSizes {
    /// The largest size that each bucket counts; the last is [`MAX_BATCH`](attestation::v1::MAX_BATCH).
    pub const LIMITS: [u32; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

    /// Each bucket's limit and how many batches are above the limit before and not above this one.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        Self::LIMITS.into_iter().zip(self.counts)
    }

    /// How many batches there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many sessions were in them.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    fn count(&mut self, size: u32) {
        self.sessions += u64::from(size);
        let bucket = Self::LIMITS.into_iter().zip(&mut self.counts).find(|(limit, _)| size <= *limit);
        if let Some((_, count)) = bucket {
            *count += 1;
        }
    }
}

/// The desk's own copy.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) asked: u64,
    pub(super) given: u64,
    pub(super) failed: FailureCounts,
    pub(super) retries: u64,
    pub(super) batches: BatchSizes,
    pub(super) last_success: Option<Instant>,
    /// The last failure, if no token came since.
    pub(super) last_failure: Option<LauncherError>,
}

impl Counters {
    pub(super) fn sealed(&mut self, size: u32) {
        self.batches.count(size);
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.given += 1;
        self.last_success = Some(now);
        self.last_failure = None;
    }

    pub(super) fn failed(&mut self, error: &LauncherError) {
        self.failed.count(Failure::of(error));
        self.last_failure = Some(error.clone());
    }

    pub(super) fn panicked(&mut self) {
        self.failed.count(Failure::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_in_the_bucket_of_the_next_power_of_two() {
        let rows = [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1024, 1024), (1025, 2048), (4096, 4096)];
        for (size, bucket) in rows {
            let mut sizes = BatchSizes::default();
            sizes.count(size);
            let counted: Vec<_> = sizes.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(bucket, 1)], "{size}");
            assert_eq!((sizes.total(), sizes.sessions()), (1, u64::from(size)));
        }
    }

    #[test]
    fn failures_are_counted_by_kind() {
        for kind in Failure::ALL {
            let mut counts = FailureCounts::default();
            counts.count(kind);
            counts.count(kind);
            assert_eq!((counts.of(kind), counts.total()), (2, 2), "{}", kind.name());
        }
    }
}
