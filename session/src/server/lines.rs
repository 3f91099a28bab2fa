//! How many lines of each kind the log may get: peers cause them, and a flood of bad ones must not drown the rest or fill a
//! disk. What is left out is counted and told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::info;

/// Lines of one kind in one [`PERIOD`]. Those of sessions that were answered are not limited: a peer pays for each with
/// a whole session.
pub(super) const LINES_OF_A_KIND: u64 = 10;

/// How often what was left out is told, and counting begins again.
const PERIOD: Duration = Duration::from_secs(1);

/// How many lines of each kind were asked for in this period. Kinds are names of ours, so there are few.
#[derive(Default)]
pub(super) struct Lines(Mutex<BTreeMap<&'static str, u64>>);

impl Lines {
    /// Whether one more line of this kind may be written. If not, it is counted.
    pub(super) fn allow(&self, kind: &'static str) -> bool {
        let mut asked = self.lock();
        let count = asked.entry(kind).or_default();
        *count = count.saturating_add(1);
        *count <= LINES_OF_A_KIND
    }

    /// Tells what is left out, until it is dropped.
    pub(super) async fn tell_often(&self) {
        let mut period = interval_at(Instant::now() + PERIOD, PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            self.tell();
        }
    }

    /// Tells what was left out since the last time.
    pub(super) fn tell(&self) {
        for (kind, left_out) in self.left_out() {
            info!(kind, left_out, "and {left_out} more lines of this kind");
        }
    }

    /// The kinds of which lines were left out, and how many; begins again.
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        let asked = std::mem::take(&mut *self.lock());
        let beyond = asked.into_iter().map(|(kind, count)| (kind, count.saturating_sub(LINES_OF_A_KIND)));
        beyond.filter(|(_, left_out)| *left_out > 0).collect()
    }

    /// A count is whole whatever panicked while it was held.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gets_its_lines_in_each_period_and_the_rest_is_counted() {
        let lines = Lines::default();
        let written = |kind, times: u64| (0..times).filter(|_| lines.allow(kind)).count() as u64;
        assert_eq!(written("lost", 10_000), LINES_OF_A_KIND);
        assert_eq!(written("refused", LINES_OF_A_KIND), LINES_OF_A_KIND);
        assert_eq!(lines.left_out(), [("lost", 10_000 - LINES_OF_A_KIND)]);
        assert_eq!(lines.left_out(), []);
        assert_eq!(written("lost", LINES_OF_A_KIND + 1), LINES_OF_A_KIND);
        assert_eq!(lines.left_out(), [("lost", 1)]);
    }
}
