//! How often the launcher is asked: a token bucket whose rate gives way to the service's quota, and a back-off after
//! failures.
//!
//! Pure: the time is an argument, and so is chance. A library's limiter would do for a fixed rate; this one changes.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

/// Sensible rates, in tokens a second; what is outside is brought inside. The upper end is for measuring.
pub const TOKENS_PER_SECOND: RangeInclusive<f64> = 0.1..=10_000.0;

/// How much of a pause is made up for at once. Less than a millisecond's worth could not keep up with fast rates,
/// because timers tick in milliseconds; at 4 a second it leaves one token at a time, so that no second has more than 5,
/// the service's quota ("Access resources not managed by Google Cloud IAM").
const BURST: Duration = Duration::from_millis(20);

/// The slowest that quota errors make it, in tokens a second, unless the configured rate is slower: sessions wait
/// 12 s, so that each of them still gets a try.
const SLOWEST: f64 = 0.25;

/// From a standstill to the configured rate, if nothing fails meanwhile.
const RECOVERY: Duration = Duration::from_secs(60);

/// Longest pause after the first failure, and after several. The launcher's own calls to the service pause 0.5 to 1 s
/// (google/go-tpm-tools, `verifier/rest/rest.go`).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When the next request may leave.
#[derive(Debug)]
pub(super) struct Pace {
    limit: f64,
    rate: f64,
    /// Requests that may leave at once; a fraction is on its way.
    tokens: f64,
    /// When `rate` and `tokens` were right.
    updated: Instant,
    /// Failures one after the other, those of one moment counted once.
    failures: u32,
    last_failure: Option<Instant>,
    not_before: Instant,
}

impl Pace {
    /// At most `limit` tokens a second, brought into [`TOKENS_PER_SECOND`].
    pub(super) fn new(limit: f64, now: Instant) -> Self {
        let limit = limit.max(*TOKENS_PER_SECOND.start()).min(*TOKENS_PER_SECOND.end());
        Self {
            limit,
            rate: limit,
            tokens: burst(limit),
            updated: now,
            failures: 0,
            last_failure: None,
            not_before: now,
        }
    }

    /// The current rate in tokens a second.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        self.refill(now);
        self.rate
    }

    /// When the next request may leave: not after `now` if it may at once.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        // A sum of fractions may miss the whole by a little.
        let missing = if self.tokens > 1.0 - 1e-6 { 0.0 } else { 1.0 - self.tokens };
        let ready = now + Duration::try_from_secs_f64(missing / self.rate).unwrap_or(RECOVERY);
        ready.max(self.not_before)
    }

    /// A request leaves.
    pub(super) fn take(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// A token came.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        self.not_before = now;
    }

    /// A request that left at `asked` failed, and may be made again. `chance`, in 0 to 1, spreads the pauses of servers
    /// that fail together. Requests that were under way together fail together, and count as one. True if the rate has
    /// become lower.
    pub(super) fn failed(&mut self, asked: Instant, now: Instant, quota: bool, chance: f64) -> bool {
        if self.last_failure.is_some_and(|last| asked < last) {
            return false;
        }
        self.refill(now);
        self.last_failure = Some(now);
        self.failures = self.failures.saturating_add(1);
        let longest = if self.failures == 1 { FIRST_PAUSE } else { LONGEST_PAUSE };
        self.not_before = now + longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        if !quota {
            return false;
        }
        let before = self.rate;
        self.rate = (before / 2.0).max(SLOWEST.min(self.limit));
        self.rate < before
    }

    /// Failures one after the other since the last token.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(burst(self.limit));
        self.rate = (self.rate + elapsed * self.limit / RECOVERY.as_secs_f64()).min(self.limit);
        self.updated = now;
    }
}

fn burst(limit: f64) -> f64 {
    (limit * BURST.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When each of so many requests leaves that leave as soon as they may, in seconds from `start`.
    fn departures(pace: &mut Pace, start: Instant, count: usize) -> Vec<f64> {
        let mut now = start;
        let mut all = Vec::new();
        for _ in 0..count {
            now = now.max(pace.next(now));
            pace.take(now);
            all.push(now.duration_since(start).as_secs_f64());
        }
        all
    }

    fn near(got: f64, wanted: f64) -> bool {
        (got - wanted).abs() < 0.01
    }

    #[test]
    fn a_lone_request_leaves_at_once_and_the_others_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(4.0, start);
        let left = departures(&mut pace, start, 9);
        for (left, wanted) in left.into_iter().zip([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]) {
            assert!(near(left, wanted), "{left} {wanted}");
        }
    }

    #[test]
    fn no_second_has_more_than_five_at_the_default_rate_however_long_the_pause_before() {
        let start = Instant::now();
        let mut pace = Pace::new(4.0, start);
        for pause in [0, 1, 10, 1_000, 100_000, 3_600_000] {
            let resumed = pace.next(start).max(start) + MS * pause;
            let left = departures(&mut pace, resumed, 20);
            for first in &left {
                let in_a_second = left.iter().filter(|left| (*first..*first + 1.0).contains(left)).count();
                assert!(in_a_second <= 5, "{left:?}");
            }
        }
    }

    #[test]
    fn fast_rates_are_kept_by_a_timer_of_milliseconds() {
        let start = Instant::now();
        let mut pace = Pace::new(10_000.0, start);
        let mut left = 0;
        for tick in 0..1_000 {
            let now = start + MS * tick;
            while pace.next(now) <= now {
                pace.take(now);
                left += 1;
            }
        }
        assert!((9_900..=10_200).contains(&left), "{left}");
    }

    #[test]
    fn rates_outside_the_sensible_are_brought_inside() {
        let rows = [
            (f64::NAN, 0.1),
            (-1.0, 0.1),
            (0.0, 0.1),
            (0.1, 0.1),
            (4.0, 4.0),
            (10_000.0, 10_000.0),
            (f64::INFINITY, 10_000.0),
        ];
        let now = Instant::now();
        for (asked, wanted) in rows {
            assert_eq!(Pace::new(asked, now).rate(now), wanted, "{asked}");
        }
    }

    #[test]
    fn a_quota_error_halves_the_rate_down_to_the_slowest_and_it_recovers_by_the_same_steps() {
        let mut now = Instant::now();
        let mut pace = Pace::new(4.0, now);
        for (wanted, lower) in [(2.0, true), (1.0, true), (0.5, true), (0.25, true), (0.25, false)] {
            assert_eq!(pace.failed(now, now, true, 0.0), lower, "{wanted}");
            assert!(near(pace.rate(now), wanted), "{wanted}");
        }
        for wanted in [0.25 + 1.0, 0.25 + 2.0, 0.25 + 3.0, 4.0, 4.0] {
            now += RECOVERY / 4;
            assert!(near(pace.rate(now), wanted), "{wanted}");
        }
    }

    #[test]
    fn a_configured_rate_below_the_slowest_stays() {
        let now = Instant::now();
        let mut pace = Pace::new(0.1, now);
        assert!(!pace.failed(now, now, true, 0.0));
        assert!(near(pace.rate(now), 0.1));
    }

    #[test]
    fn another_failure_leaves_the_rate_alone() {
        let now = Instant::now();
        let mut pace = Pace::new(4.0, now);
        assert!(!pace.failed(now, now, false, 0.5));
        assert!(near(pace.rate(now), 4.0));
    }

    #[test]
    fn pauses_grow_to_two_seconds_and_chance_halves_them_at_most() {
        for (chance, pauses) in [(0.0, [0.5, 1.0, 1.0]), (1.0, [1.0, 2.0, 2.0]), (0.5, [0.75, 1.5, 1.5])] {
            let mut now = Instant::now();
            let mut pace = Pace::new(4.0, now);
            for pause in pauses {
                pace.failed(now, now, false, chance);
                let next = pace.next(now);
                assert!(near(next.duration_since(now).as_secs_f64(), pause), "{chance} {pause}");
                now = next;
            }
        }
    }

    #[test]
    fn what_was_under_way_together_fails_as_one() {
        let asked = Instant::now();
        let mut pace = Pace::new(4.0, asked);
        let failed = asked + MS * 300;
        assert!(pace.failed(asked, failed, true, 0.0));
        assert!(!pace.failed(asked + MS * 250, failed + MS, true, 0.0));
        assert_eq!(pace.failures(), 1);
        assert!(near(pace.rate(failed), 2.0));
        assert!(pace.failed(failed + MS, failed + MS * 300, true, 0.0));
        assert_eq!(pace.failures(), 2);
    }

    #[test]
    fn a_token_ends_the_pause() {
        let now = Instant::now();
        let mut pace = Pace::new(4.0, now);
        pace.failed(now, now, false, 1.0);
        assert!(pace.next(now) > now);
        pace.succeeded(now);
        assert_eq!((pace.next(now), pace.failures()), (now, 0));
    }
}
