//! Mean, standard deviation and trend of a stream of nights, one night at a time.
//!
//! The formulas update means and sums of squares about them, never sums of squares of the values themselves, whose
//! difference would lose all digits: B. P. Welford, "Note on a method for calculating corrected sums of squares and
//! products", Technometrics 4(3):419-420, 1962, doi:10.1080/00401706.1962.10490022.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::batch::NightResult;
use crate::codelab::CodelabVerdict;
use crate::durations::Duration;
use crate::input::{Night, Shares};

/// What is known of all nights so far. The size of it never changes.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct Statistics {
    nights: u32,
    /// Means of the minutes of light, deep and REM sleep.
    stages: [f64; 3],
    /// Mean of the total.
    mean: f64,
    /// Sum of the squared differences of the totals from their mean.
    squares: f64,
    /// Sum of the products of both differences from their means: the total's, and that of the night's number.
    products: f64,
    recommended: u32,
    great: u32,
}

impl Statistics {
    pub(super) fn add(&mut self, night: &Night, result: &NightResult) {
        self.nights = self.nights.saturating_add(1);
        let count = f64::from(self.nights);
        for (mean, minutes) in self.stages.iter_mut().zip(night.minutes()) {
            *mean += (minutes - *mean) / count;
        }
        let total = night.total_minutes();
        let before = total - self.mean;
        self.mean += before / count;
        let after = total - self.mean;
        self.squares += before * after;
        // The mean of the numbers 1 to n - 1 is n / 2, so that the number n is n / 2 away from it.
        self.products += count / 2.0 * after;
        self.recommended = self.recommended.saturating_add(u32::from(result.total == Duration::Recommended));
        self.great = self.great.saturating_add(u32::from(result.codelab == CodelabVerdict::Great));
    }

    #[cfg(test)]
    pub(super) fn after(nights: u32) -> Self {
        Self { nights, ..Self::default() }
    }

    pub(super) fn nights(&self) -> u32 {
        self.nights
    }

    /// Nights whose total is in the hours recommended for the age.
    pub(super) fn recommended(&self) -> u32 {
        self.recommended
    }

    /// Nights that the codelab's rules call great sleep.
    pub(super) fn great(&self) -> u32 {
        self.great
    }

    /// Mean of the total, in minutes; 0 without a night.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The part of each stage in the sleep of all nights together.
    pub(super) fn shares(&self) -> Shares {
        let [light, deep, rem] = self.stages;
        let total = light + deep + rem;
        Shares { light: light / total, deep: deep / total, rem: rem / total }
    }

    /// Sample standard deviation of the total, in minutes; `None` for fewer than 2 nights.
    pub(super) fn deviation(&self) -> Option<f64> {
        (self.nights >= 2).then(|| (self.squares / (f64::from(self.nights) - 1.0)).max(0.0).sqrt())
    }

    /// Slope of the least-squares line of the total over the night's number, in minutes a night, and its standard
    /// error; `None` for fewer than 3 nights: a line through 2 points fits without an error.
    pub(super) fn slope(&self) -> Option<Slope> {
        if self.nights < 3 {
            return None;
        }
        let count = f64::from(self.nights);
        // Sum of the squared differences of the numbers 1 to n from their mean.
        let numbers = count * (count * count - 1.0) / 12.0;
        let minutes = self.products / numbers;
        // Rounding may make what is left less than nothing.
        let rest = (self.squares - minutes * self.products).max(0.0);
        Some(Slope { minutes, error: (rest / (count - 2.0) / numbers).sqrt() })
    }
}

/// A trend.
#[derive(Clone, Copy)]
pub(super) struct Slope {
    /// Minutes a night.
    pub(super) minutes: f64,
    /// Its standard error.
    pub(super) error: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(totals: &[f64]) -> Statistics {
        let mut statistics = Statistics::default();
        for total in totals {
            let night = Night::for_tests(29, *total, 0.0, 0.0);
            statistics.add(&night, &NightResult::new(&night));
        }
        statistics
    }

    #[test]
    fn known_series_have_their_known_statistics() {
        // totals, mean, deviation, slope and its error
        type Row<'a> = (&'a [f64], f64, Option<f64>, Option<[f64; 2]>);
        let rows: [Row<'_>; 6] = [
            (&[480.0], 480.0, None, None),
            (&[480.0, 480.0], 480.0, Some(0.0), None),
            (&[470.0, 480.0, 490.0], 480.0, Some(10.0), Some([10.0, 0.0])),
            (&[490.0, 480.0, 470.0], 480.0, Some(10.0), Some([-10.0, 0.0])),
            (&[480.0, 480.0, 480.0, 480.0], 480.0, Some(0.0), Some([0.0, 0.0])),
            // By hand: sums of squares 4 and 2, of products 1; slope 1/2, rest 4 - 1/2, error sqrt(3.5 / 1 / 2).
            (
                &[481.0, 479.0, 482.0],
                1442.0 / 3.0,
                Some((7.0_f64 / 3.0).sqrt()),
                Some([0.5, (25.0_f64 / 12.0).sqrt()]),
            ),
        ];
        for (totals, mean, deviation, slope) in rows {
            let statistics = of(totals);
            let near = |got: f64, wanted: f64| (got - wanted).abs() < 1e-9;
            assert!(near(statistics.mean(), mean), "{totals:?}");
            match (statistics.deviation(), deviation) {
                (None, None) => {}
                (Some(got), Some(wanted)) => assert!(near(got, wanted), "{totals:?}: {got} {wanted}"),
                other => panic!("{totals:?}: {other:?}"),
            }
            match (statistics.slope(), slope) {
                (None, None) => {}
                (Some(got), Some([minutes, error])) => {
                    assert!(
                        near(got.minutes, minutes) && near(got.error, error),
                        "{totals:?}: {} {}",
                        got.minutes,
                        got.error
                    );
                }
                (got, wanted) => panic!("{totals:?}: {} {wanted:?}", got.is_some()),
            }
        }
    }

    /// A million nights that differ in their last digits: sums of squares would have none of them left.
    #[test]
    fn small_differences_survive_many_nights() {
        let mut statistics = Statistics::default();
        for at in 0..1_000_000_u32 {
            let night = Night::for_tests(29, 1000.0 + f64::from(at % 2) * 1e-4, 0.0, 0.0);
            statistics.add(&night, &NightResult::new(&night));
        }
        let deviation = statistics.deviation().unwrap();
        assert!((deviation / 5e-5 - 1.0).abs() < 1e-5, "{deviation}");
        assert!(statistics.slope().unwrap().minutes.abs() < 1e-12);
    }
}
