//! The shares of the sleep stages, against what is known for the age.
//!
//! `[2]`, `[3]` and `[4]` are listed in `recommended.rs`.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::result::percent;

/// What is known of the stages at an age.
pub(crate) enum Stages {
    /// Experts agreed on shares `[2]`.
    Agreed { rem: AgreedShare, deep: AgreedShare },
    /// Only typical shares are known `[3]` `[4]`.
    Typical { rem: &'static str, deep: &'static str },
    /// Neither is known.
    Unknown,
}

pub(crate) fn stages(age: u8) -> Stages {
    match age {
        // Sleep stages are still forming in the first year.
        0 => Stages::Unknown,
        // [4]: N3 29-32 under 10 years, 20 over 10 years (10 itself is left open: counted as older),
        // REM 17-21, "can be higher in young children".
        1..=9 => Stages::Typical { rem: "17 to 21 percent or more", deep: "29 to 32 percent" },
        10..=17 => Stages::Typical { rem: "17 to 21 percent", deep: "about 20 percent" },
        // [3]: stage 3 is 3-8 and stage 4 is 10-15, together today's N3; REM 20-25.
        18..=25 => Stages::Typical { rem: "20 to 25 percent", deep: "13 to 23 percent" },
        // [2], adults: REM 21-30 good, 41 and more not; N3 16-20 good, 5 and less not.
        26..=64 => Stages::Agreed {
            rem: AgreedShare { good: 0.21..=0.30, poor: 0.41..=1.0, poor_text: "41 or more" },
            deep: AgreedShare { good: 0.16..=0.20, poor: 0.0..=0.05, poor_text: "5 or less" },
        },
        // [3]: REM stays at 20-25 into old age; slow-wave sleep declines, by how much differs.
        65.. => Stages::Typical { rem: "20 to 25 percent", deep: "less than in younger years" },
    }
}

/// The shares of one stage that a panel agreed to be a sign of good sleep, or not to be one; on what
/// lies elsewhere it did not agree.
pub(crate) struct AgreedShare {
    pub(crate) good: RangeInclusive<f64>,
    poor: RangeInclusive<f64>,
    poor_text: &'static str,
}

/// How a share compares with what the panel agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StageVerdict {
    Good,
    /// A sign of sleep that is not good.
    Poor,
    /// Less than good.
    Less,
    /// More than good.
    More,
}

impl AgreedShare {
    pub(crate) fn verdict(&self, share: f64) -> StageVerdict {
        if self.good.contains(&share) {
            StageVerdict::Good
        } else if self.poor.contains(&share) {
            StageVerdict::Poor
        } else if share < *self.good.start() {
            StageVerdict::Less
        } else {
            StageVerdict::More
        }
    }

    pub(crate) fn sentence(&self, stage: &str, share: f64) -> String {
        let night = format!("{stage} sleep is {} percent of the night", percent(share));
        let good = format!("{} to {}", percent(*self.good.start()), percent(*self.good.end()));
        let poor = self.poor_text;
        match self.verdict(share) {
            StageVerdict::Good => format!("{night}, within the {good} that experts call good at this age"),
            StageVerdict::Poor => format!("{night}: experts call {poor} not good at this age, {good} good"),
            StageVerdict::Less => {
                format!("{night}, less than the {good} that experts call good at this age (not good: {poor})")
            }
            StageVerdict::More => {
                format!("{night}, more than the {good} that experts call good at this age (not good: {poor})")
            }
        }
    }
}
