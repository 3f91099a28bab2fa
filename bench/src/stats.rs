//! Medians and percentiles.

use std::time::Duration;

/// The value that `share` (0 to 1) of the values do not exceed; zero if there are none.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle value of the rounds; NaN if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a measured value beside its limit; whether it is within.
pub fn judge(name: &str, value: f64, relation: Limit) -> bool {
    let (within, words) = match relation {
        Limit::AtLeast(limit) => (value >= limit, format!("at least {limit}")),
        Limit::AtMost(limit) => (value <= limit, format!("at most {limit}")),
    };
    let verdict = if within { "PASS" } else { "FAIL" };
    println!("{verdict}  {name}: {value:.3} (wanted {words})");
    within
}

/// What a value is held to.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (share, wanted) in [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)] {
            assert_eq!(percentile(&sorted, share), Duration::from_millis(wanted), "{share}");
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_median_is_the_middle_of_what_was_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }
}
