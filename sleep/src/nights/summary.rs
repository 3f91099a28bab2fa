//! What all nights of a person come to together: the last result of a stream, and the same as lines of text.
//!
//! Sources beside those in `recommended.rs`:
//!
//! 5. Huang T., Mariani S., Redline S., "Sleep irregularity and risk of cardiovascular events: the Multi-Ethnic Study
//!    of Atherosclerosis", J Am Coll Cardiol 75(9):991-999, 2020, doi:10.1016/j.jacc.2019.12.054. Four groups by the
//!    standard deviation of sleep duration over 7 days: 60 minutes or less, 61 to 90, 91 to 120, more.
//! 6. Fischer D., Klerman E. B., Phillips A. J. K., "Measuring sleep regularity: theoretical properties and practical
//!    usage of existing metrics", Sleep 44(10):zsab103, 2021, doi:10.1093/sleep/zsab103. Of the measures it compares
//!    only the standard deviation can be taken of durations alone; it wants more than a week of nights.

use std::fmt;

use attestation::printable;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::statistics::{Slope, Statistics};
use crate::durations;
use crate::result::{LEADING, NotAResult, RoundedShares, figures, round, say};
use crate::rules::RuleSet;

/// Longest summary in bytes, with room to spare: the buffer never grows.
const SUMMARY_CAPACITY: usize = 4096;

/// Fewest nights of which regularity `[6]` and trend are said in words.
const ENOUGH_NIGHTS: u32 = 8;

/// Youngest age at which the groups of `[5]` are shown: its participants were 69 years old on average, standard
/// deviation 9.
const OLDER_ADULT: u8 = 50;

/// The summary of a person's nights.
///
/// As JSON, with these keys and no others:
///
/// | key | what |
/// |---|---|
/// | `rules` | `"codelab"` or `"recommended"`: the rules the server was told to use |
/// | `nights` | how many nights |
/// | `average_minutes` | minutes asleep in a night on average |
/// | `shares` | `light`, `deep` and `rem` in the sleep of all nights together, each 0 to 1 |
/// | `deviation_minutes` | sample standard deviation of the total; from 2 nights on |
/// | `slope_minutes` | least-squares slope of the total over the night's number, minutes a night; from 3 nights on |
/// | `slope_error_minutes` | its standard error; there if the slope is |
/// | `recommended_nights` | nights whose total is in the hours recommended for the age |
/// | `great_nights` | nights that the codelab's rules call great sleep |
/// | `recommended` | what the literature says of the average: a list of sentences |
/// | `codelab` | what the codelab's rules say: one sentence |
/// | `regularity` | one sentence; there if the deviation is |
/// | `trend` | one sentence; there if the slope is |
///
/// Minutes and shares are rounded to 4 digits after the point. It is health data: wiped on drop, and `Debug` shows
/// nothing.
#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct Summary {
    #[zeroize(skip)]
    rules: RuleSet,
    nights: u32,
    average_minutes: f64,
    shares: RoundedShares,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deviation_minutes: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slope_minutes: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slope_error_minutes: Option<f64>,
    recommended_nights: u32,
    great_nights: u32,
    recommended: Vec<String>,
    codelab: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regularity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trend: Option<String>,
}

impl Summary {
    pub(super) fn new(statistics: &Statistics, age: u8, rules: RuleSet) -> Self {
        let (nights, slope) = (statistics.nights(), statistics.slope());
        let deviation = statistics.deviation().map(round);
        let (recommended, great) = (statistics.recommended(), statistics.great());
        Self {
            rules,
            nights,
            average_minutes: round(statistics.mean()),
            shares: RoundedShares::of(statistics.shares()),
            deviation_minutes: deviation,
            slope_minutes: slope.map(|slope| round(slope.minutes)),
            slope_error_minutes: slope.map(|slope| round(slope.error)),
            recommended_nights: recommended,
            great_nights: great,
            recommended: vec![
                durations::sentence("average sleep", age, statistics.mean()),
                format!("{} as long as recommended", of_all(recommended, nights)),
            ],
            codelab: format!("great sleep in {great} of {}", counted(nights)),
            regularity: deviation.map(|deviation| regularity(deviation, age, nights)),
            trend: slope.map(|slope| trend(slope, nights)),
        }
    }

    /// How many nights it is of.
    pub fn nights(&self) -> u32 {
        self.nights
    }

    /// Reads a summary. Its sentences are made safe to show; keys that are not known are read past.
    ///
    /// # Errors
    /// [`NotAResult`], which says nothing of the content.
    pub fn parse(message: &[u8]) -> Result<Self, NotAResult> {
        let mut summary: Self = serde_json::from_slice(message).map_err(|_| NotAResult)?;
        let Self { recommended, codelab, regularity, trend, .. } = &mut summary;
        for text in recommended.iter_mut().chain([codelab]).chain(regularity).chain(trend) {
            let shown = printable(text);
            text.zeroize();
            *text = shown;
        }
        Ok(summary)
    }

    /// The summary as JSON, without a line break at its end.
    ///
    /// # Errors
    /// None that is known: the numbers are finite and the keys are strings. A caller treats one as a failure of its
    /// own.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut json = Zeroizing::new(Vec::with_capacity(SUMMARY_CAPACITY));
        serde_json::to_writer(&mut *json, self)?;
        Ok(json)
    }

    /// The same for people, a line each, the rules in use first. Every line ends in a line break.
    pub fn to_text(&self) -> Zeroizing<String> {
        let recommended = self.recommended.iter().map(String::as_str);
        let figures = figures(self.average_minutes, &self.shares);
        let leading = format!("{} of {}: ", LEADING.trim_end_matches(": "), counted(self.nights));
        let mut text = Zeroizing::new(String::with_capacity(SUMMARY_CAPACITY));
        match self.rules {
            RuleSet::Codelab => {
                say(&mut text, &leading, [self.codelab.as_str()]);
                say(&mut text, "Rules recommended say: ", recommended);
            }
            RuleSet::Recommended => {
                say(&mut text, &leading, recommended);
                say(&mut text, "Rules codelab say: ", [self.codelab.as_str()]);
            }
        }
        say(&mut text, "Regularity: ", self.regularity.as_deref());
        say(&mut text, "Trend: ", self.trend.as_deref());
        say(&mut text, "Average: ", [figures.as_str()]);
        text
    }
}

/// The standard deviation, and beside it what is known of such `[5]`.
fn regularity(deviation: f64, age: u8, nights: u32) -> String {
    let figure = format!("the total varies by {deviation} minutes from night to night (standard deviation)");
    if nights < ENOUGH_NIGHTS {
        return format!("{figure}; {ENOUGH_NIGHTS} nights or more say how regular that is");
    }
    if age < OLDER_ADULT {
        return figure;
    }
    let group = match deviation {
        deviation if deviation <= 60.0 => "first",
        deviation if deviation <= 90.0 => "second",
        deviation if deviation <= 120.0 => "third",
        _ => "last",
    };
    format!(
        "{figure}, as in the {group} of four groups of older adults in a study (60 or less, to 90, to 120, more)"
    )
}

/// The slope; in words only where it is more than twice its standard error, which nights that do not change seldom come
/// to by chance.
fn trend(Slope { minutes, error }: Slope, nights: u32) -> String {
    let (minutes, error) = (round(minutes), round(error));
    if nights < ENOUGH_NIGHTS {
        let figure = format!("{minutes} minutes a night (least squares, standard error {error})");
        return format!("{figure}; {ENOUGH_NIGHTS} nights or more say whether that is one");
    }
    if minutes.abs() <= 2.0 * error || minutes == 0.0 {
        return format!("none to be seen: {minutes} minutes a night, standard error {error}");
    }
    let way = if minutes > 0.0 { "longer" } else { "shorter" };
    format!(
        "each night is {} minutes {way} than the one before (least squares, standard error {error})",
        minutes.abs()
    )
}

/// `1 night is`, `5 of 7 nights are`.
fn of_all(count: u32, nights: u32) -> String {
    let are = if count == 1 { "is" } else { "are" };
    format!("{count} of {} {are}", counted(nights))
}

fn counted(nights: u32) -> String {
    if nights == 1 { "1 night".to_owned() } else { format!("{nights} nights") }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Summary(..)")
    }
}
