//! `--rules recommended`: a night against the ranges of the sleep-research literature for the age.
//!
//! Sources, named `[1]` to `[4]` below:
//!
//! 1. Hirshkowitz M. et al., "National Sleep Foundation's sleep time duration recommendations:
//!    methodology and results summary", Sleep Health 1(1):40-43, 2015,
//!    doi:10.1016/j.sleh.2014.12.010. Hours of sleep a day for nine age groups.
//! 2. Ohayon M. et al., "National Sleep Foundation's sleep quality recommendations: first report",
//!    Sleep Health 3(1):6-19, 2017, doi:10.1016/j.sleh.2016.11.006. Shares of the stages on which an
//!    expert panel agreed; it stresses that it agreed on shares less often than on other measures.
//! 3. Carskadon M. A., Dement W. C., "Normal human sleep: an overview", chapter 2 of Principles and
//!    Practice of Sleep Medicine. Typical shares of healthy young adults, and REM across life.
//! 4. Beck S. E., Marcus C. L., "Pediatric polysomnography", Sleep Medicine Clinics 4(3):393-406,
//!    2009 (PMC2739664), table 2. Typical shares of healthy children aged 1 to 18.
//!
//! Where experts agreed on a range (`[1]`, `[2]`) a night gets a verdict. Where only typical values
//! are known (`[3]`, `[4]`) they are shown beside the night's own, without a verdict. Where neither
//! is known nothing is made up. None of it is a diagnosis.

use crate::durations::{self, Duration};
use crate::input::Night;
use crate::result::{percent, round};
use crate::stages::{Stages, stages};

/// What the literature says of a night: one sentence on the total, one or two on the stages.
///
/// The verdicts are those of the figures as shown, rounded to 4 digits after the point, so that a
/// night shown as 21 percent REM is never called less than 21 percent.
pub fn recommended(night: &Night) -> Vec<String> {
    let mut sentences = vec![durations::sentence("total sleep", night.age(), night.total_minutes())];
    let shares = night.shares();
    let (rem, deep) = (round(shares.rem), round(shares.deep));
    match stages(night.age()) {
        Stages::Agreed { rem: agreed_rem, deep: agreed_deep } => {
            sentences.push(agreed_rem.sentence("REM", rem));
            sentences.push(agreed_deep.sentence("deep", deep));
        }
        Stages::Typical { rem: typical_rem, deep: typical_deep } => {
            let (rem, deep) = (percent(rem), percent(deep));
            sentences
                .push(format!("REM sleep is {rem} percent of the night; typical at this age: {typical_rem}"));
            sentences.push(format!(
                "deep sleep is {deep} percent of the night; typical at this age: {typical_deep}"
            ));
        }
        Stages::Unknown => {
            sentences.push("there are no agreed shares of the sleep stages at this age".to_owned());
        }
    }
    sentences
}

/// Whether nothing speaks against the night: the total is recommended, and each share on which
/// experts agreed is in the range they agreed on.
pub(crate) fn nothing_to_say_against(night: &Night) -> bool {
    let shares = night.shares();
    let stages_good = match stages(night.age()) {
        Stages::Agreed { rem, deep } => {
            rem.good.contains(&round(shares.rem)) && deep.good.contains(&round(shares.deep))
        }
        Stages::Typical { .. } | Stages::Unknown => true,
    };
    stages_good && Duration::of(night.age(), night.total_minutes()) == Duration::Recommended
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A night of that many minutes with the shares in percent: light, deep, REM.
    fn night(age: u8, total: f64, [light, deep, rem]: [f64; 3]) -> Night {
        Night::for_tests(age, total * light / 100.0, total * deep / 100.0, total * rem / 100.0)
    }

    #[test]
    fn the_stages_are_judged_only_at_the_ages_for_which_experts_agreed() {
        let judged = ["REM sleep is 22 percent of the night, within the 21 to 30", "within the 16 to 20"];
        let rows = [
            (0..=0, ["no agreed shares", "no agreed shares"]),
            (
                1..=9,
                ["typical at this age: 17 to 21 percent or more", "typical at this age: 29 to 32 percent"],
            ),
            (10..=17, ["typical at this age: 17 to 21 percent", "typical at this age: about 20 percent"]),
            (18..=25, ["typical at this age: 20 to 25 percent", "typical at this age: 13 to 23 percent"]),
            (26..=64, judged),
            (
                65..=130,
                ["typical at this age: 20 to 25 percent", "typical at this age: less than in younger years"],
            ),
        ];
        for (ages, [rem, deep]) in rows {
            for age in [*ages.start(), *ages.end()] {
                let said = recommended(&night(age, 480.0, [60.0, 18.0, 22.0]));
                assert!(said[1].contains(rem), "{age}: {said:?}");
                assert!(said.last().unwrap().contains(deep), "{age}: {said:?}");
            }
        }
    }

    #[test]
    fn each_limit_of_an_agreed_share_belongs_to_the_range_it_ends() {
        let verdict = |stage: &str, deep: f64, rem: f64| {
            // 1000 minutes, so that a tenth of a percent is one minute.
            let said = recommended(&Night::for_tests(40, 1000.0 - deep - rem, deep, rem));
            let word = format!("{stage} sleep");
            let sentence = said.into_iter().skip(1).find(|sentence| sentence.contains(&word)).unwrap();
            [
                ("within", "within the"),
                ("less", "less than the"),
                ("more", "more than the"),
                ("poor", "not good at this age"),
            ]
            .into_iter()
            .find_map(|(verdict, words)| sentence.contains(words).then_some(verdict))
            .unwrap()
        };
        let rows = [
            (209.0, "less"),
            (210.0, "within"),
            (300.0, "within"),
            (301.0, "more"),
            (409.0, "more"),
            (410.0, "poor"),
            (0.0, "less"),
        ];
        for (rem, wanted) in rows {
            assert_eq!(verdict("REM", 180.0, rem), wanted, "REM {rem}");
        }
        let rows = [
            (0.0, "poor"),
            (50.0, "poor"),
            (51.0, "less"),
            (159.0, "less"),
            (160.0, "within"),
            (200.0, "within"),
            (201.0, "more"),
        ];
        for (deep, wanted) in rows {
            assert_eq!(verdict("deep", deep, 250.0), wanted, "deep {deep}");
        }
    }

    #[test]
    fn the_codelabs_sample_gets_three_sentences() {
        assert_eq!(
            recommended(&Night::for_tests(29, 270.0, 135.0, 105.0)),
            [
                "total sleep of 8 h 30 min is within the 7 to 9 hours recommended for ages 26 to 64 (6 to 10 may be \
                 appropriate)",
                "REM sleep is 20.59 percent of the night, less than the 21 to 30 that experts call good at this age \
                 (not good: 41 or more)",
                "deep sleep is 26.47 percent of the night, more than the 16 to 20 that experts call good at this age \
                 (not good: 5 or less)",
            ]
        );
    }
}
