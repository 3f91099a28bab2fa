//! `--rules codelab`: the rules of the codelab's program, kept as they are.

use serde::{Deserialize, Serialize};

use crate::input::Night;

/// The codelab's limit on the total, in minutes.
const TOTAL_MINUTES: f64 = 480.0;
/// The codelab's limit on the REM share and on the deep share.
const REM_OR_DEEP_SHARE: f64 = 0.20;
/// The codelab's limit on the light share.
const LIGHT_SHARE: f64 = 0.50;

/// What it says when the total is over the limit.
pub(crate) const TOTAL: &str = "total sleep time is less than 8 hours";
/// What it says when no rule matches.
pub(crate) const GREAT: &str = "great sleep!";

/// Which rule of the codelab matches first, named by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CodelabVerdict {
    Total,
    Rem,
    Light,
    Deep,
    Great,
}

impl CodelabVerdict {
    pub(crate) fn of(night: &Night) -> Self {
        let shares = night.shares();
        if night.total_minutes() > TOTAL_MINUTES {
            Self::Total
        } else if shares.rem < REM_OR_DEEP_SHARE {
            Self::Rem
        } else if shares.light < LIGHT_SHARE {
            Self::Light
        } else if shares.deep < REM_OR_DEEP_SHARE {
            Self::Deep
        } else {
            Self::Great
        }
    }

    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Total => TOTAL,
            Self::Rem => "rem sleep time is less than 25% of total sleep time",
            Self::Light => "light sleep time is less than 50% of total sleep time",
            Self::Deep => "deep sleep time is less than 25% of total sleep time",
            Self::Great => GREAT,
        }
    }
}

/// What the codelab's program says of a night, in its own words. The first rule that matches wins.
///
/// The first comparison is the wrong way round: it says "less than 8 hours" of a night of *more*
/// than 480 minutes. It stays that way because the codelab's own transcript shows that sentence for
/// its sample of 510 minutes, and that transcript is what people compare with. The texts that say
/// 25 percent for a limit of 20 are the codelab's too.
pub fn codelab(night: &Night) -> &'static str {
    CodelabVerdict::of(night).sentence()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REM: &str = "rem sleep time is less than 25% of total sleep time";
    const LIGHT: &str = "light sleep time is less than 50% of total sleep time";
    const DEEP: &str = "deep sleep time is less than 25% of total sleep time";

    #[test]
    fn every_rule_matches_on_its_side_of_its_limit_and_the_first_match_wins() {
        // light, deep, rem, sentence
        let rows = [
            // The codelab's sample: 510 minutes.
            (270.0, 135.0, 105.0, TOTAL),
            // The total: 480 exactly is not over the limit.
            (240.0, 120.0, 120.0, GREAT),
            (240.0, 120.0, 120.5, TOTAL),
            (240.0, 120.0, 119.5, GREAT),
            // REM at exactly 0.20 and just below.
            (240.0, 140.0, 95.0, GREAT),
            (240.0, 140.0, 94.9, REM),
            // Light at exactly 0.50 and just below.
            (200.0, 100.0, 100.0, GREAT),
            (199.9, 100.1, 100.0, LIGHT),
            // Deep at exactly 0.20 and just below.
            (220.0, 80.0, 100.0, GREAT),
            (220.1, 79.9, 100.0, DEEP),
            // More than one matches: total before REM before light before deep.
            (481.0, 0.0, 0.0, TOTAL),
            (100.0, 300.0, 0.0, REM),
            (0.0, 0.0, 300.0, LIGHT),
            (300.0, 0.0, 100.0, DEEP),
        ];
        for (light, deep, rem, sentence) in rows {
            let night = Night::for_tests(29, light, deep, rem);
            assert_eq!(codelab(&night), sentence, "{light} {deep} {rem}");
        }
    }
}
