//! How long a night is, against the hours recommended for the age.
//!
//! `[1]` is listed in `recommended.rs`.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::result::{hours_and_minutes, round};

/// How the total compares with the recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Duration {
    TooShort,
    PerhapsTooShort,
    Recommended,
    PerhapsTooLong,
    TooLong,
}

impl Duration {
    /// Of that many minutes asleep at that age in years.
    pub(crate) fn of(age: u8, minutes: f64) -> Self {
        let AgeGroup { recommended, may_be_appropriate, .. } = age_group(age);
        let hours = round(minutes) / 60.0;
        let (low, high) = (f64::from(*recommended.start()), f64::from(*recommended.end()));
        let (lowest, highest) =
            (f64::from(*may_be_appropriate.start()), f64::from(*may_be_appropriate.end()));
        match hours {
            hours if hours < lowest => Self::TooShort,
            hours if hours < low => Self::PerhapsTooShort,
            hours if hours <= high => Self::Recommended,
            hours if hours <= highest => Self::PerhapsTooLong,
            _ => Self::TooLong,
        }
    }
}

/// The minutes beside both ranges for the age; `what` says whose they are.
pub(crate) fn sentence(what: &str, age: u8, minutes: f64) -> String {
    let AgeGroup { name, recommended, may_be_appropriate, .. } = age_group(age);
    let verdict = match Duration::of(age, minutes) {
        Duration::TooShort => "shorter than",
        Duration::PerhapsTooShort => "shorter than, though near,",
        Duration::Recommended => "within",
        Duration::PerhapsTooLong => "longer than, though near,",
        Duration::TooLong => "longer than",
    };
    format!(
        "{what} of {} is {verdict} the {} to {} hours recommended for {name} ({} to {} may be appropriate)",
        hours_and_minutes(minutes),
        recommended.start(),
        recommended.end(),
        may_be_appropriate.start(),
        may_be_appropriate.end(),
    )
}

/// Hours of sleep a day for one age group `[1]`.
struct AgeGroup {
    /// Last age in whole years that belongs to the group.
    up_to: u8,
    name: &'static str,
    recommended: RangeInclusive<u8>,
    /// The wider range that "may be appropriate"; outside it is "not recommended".
    may_be_appropriate: RangeInclusive<u8>,
}

/// `[1]`, table of results. An age of 0 years covers two of its groups, 0 to 3 months (14 to 17, 11 to
/// 19) and 4 to 11 months (12 to 15, 10 to 18), which whole years cannot tell apart: both are allowed.
static AGE_GROUPS: [AgeGroup; 7] = [
    group(0, "infants under 1 year", 12..=17, 10..=19),
    group(2, "ages 1 to 2", 11..=14, 9..=16),
    group(5, "ages 3 to 5", 10..=13, 8..=14),
    group(13, "ages 6 to 13", 9..=11, 7..=12),
    group(17, "ages 14 to 17", 8..=10, 7..=11),
    group(25, "ages 18 to 25", 7..=9, 6..=11),
    group(64, "ages 26 to 64", 7..=9, 6..=10),
];

/// `[1]`, the last group: older adults.
static OLDER: AgeGroup = group(u8::MAX, "ages 65 and over", 7..=8, 5..=9);

const fn group(
    up_to: u8,
    name: &'static str,
    recommended: RangeInclusive<u8>,
    may_be_appropriate: RangeInclusive<u8>,
) -> AgeGroup {
    AgeGroup { up_to, name, recommended, may_be_appropriate }
}

fn age_group(age: u8) -> &'static AgeGroup {
    AGE_GROUPS.iter().find(|group| age <= group.up_to).unwrap_or(&OLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_age_group_starts_and_ends_where_the_source_says() {
        // first age, last age, recommended hours, hours that may be appropriate
        let rows = [
            (0, 0, (12, 17), (10, 19)),
            (1, 2, (11, 14), (9, 16)),
            (3, 5, (10, 13), (8, 14)),
            (6, 13, (9, 11), (7, 12)),
            (14, 17, (8, 10), (7, 11)),
            (18, 25, (7, 9), (6, 11)),
            (26, 64, (7, 9), (6, 10)),
            (65, 130, (7, 8), (5, 9)),
        ];
        for (first, last, (low, high), (lowest, highest)) in rows {
            for age in [first, last] {
                let group = age_group(age);
                assert_eq!(group.recommended, low..=high, "{age}");
                assert_eq!(group.may_be_appropriate, lowest..=highest, "{age}");
                let at = |hours: u8, more: f64| {
                    let total = f64::from(hours) * 60.0 + more;
                    Duration::of(age, total)
                };
                let duration = [
                    (at(lowest, -1.0), Duration::TooShort),
                    (
                        at(lowest, 0.0),
                        if lowest == low { Duration::Recommended } else { Duration::PerhapsTooShort },
                    ),
                    (at(low, -1.0), Duration::PerhapsTooShort),
                    (at(low, 0.0), Duration::Recommended),
                    (at(high, 0.0), Duration::Recommended),
                    (at(high, 1.0), Duration::PerhapsTooLong),
                    (at(highest, 0.0), Duration::PerhapsTooLong),
                    (at(highest, 1.0), Duration::TooLong),
                ];
                for (place, (got, wanted)) in duration.into_iter().enumerate() {
                    assert_eq!(got, wanted, "age {age}, row {place}");
                }
            }
        }
    }
}
