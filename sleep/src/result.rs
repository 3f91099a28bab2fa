//! The result message: what goes back to the owner of the data, and the same as lines of text.

use std::fmt;

use attestation::printable;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codelab::{self, codelab};
use crate::durations::Duration;
use crate::input::{Night, Shares};
use crate::recommended::{nothing_to_say_against, recommended};
use crate::rules::RuleSet;

/// Longest result in bytes, with room to spare: the buffer never grows, so nothing of it is left
/// behind in freed memory.
const RESULT_CAPACITY: usize = 4096;

/// What stands between the sentences of `sentence`.
const BETWEEN_SENTENCES: &str = "; ";

/// What both sets of rules say of one night, whichever the server was told to use, so that nobody has
/// to trust one.
///
/// As JSON, with these keys and no others:
///
/// | key | what |
/// |---|---|
/// | `rules` | `"codelab"` or `"recommended"`: the rules the server was told to use |
/// | `sentence` | what those rules say; several sentences are joined by `; ` |
/// | `total_minutes` | minutes asleep in all, rounded to 4 digits after the point |
/// | `shares` | `light`, `deep` and `rem`, each 0 to 1, rounded to 4 digits |
/// | `codelab` | what the codelab's rules say: one sentence |
/// | `recommended` | what the literature says for the age: a list of sentences |
/// | `why_they_differ` | one sentence; the key is there only if the two disagree |
///
/// It is health data: wiped on drop, and `Debug` shows nothing.
#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
pub struct Analysis {
    #[zeroize(skip)]
    rules: RuleSet,
    sentence: String,
    total_minutes: f64,
    shares: RoundedShares,
    codelab: String,
    recommended: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why_they_differ: Option<String>,
}

#[derive(Deserialize, Serialize, Zeroize)]
pub(crate) struct RoundedShares {
    pub(crate) light: f64,
    pub(crate) deep: f64,
    pub(crate) rem: f64,
}

impl RoundedShares {
    pub(crate) fn of(shares: Shares) -> Self {
        Self { light: round(shares.light), deep: round(shares.deep), rem: round(shares.rem) }
    }
}

impl Analysis {
    /// Applies both sets of rules; `rules` says which one leads.
    pub fn new(night: &Night, rules: RuleSet) -> Self {
        let codelab = codelab(night);
        let recommended = recommended(night);
        Self {
            rules,
            sentence: match rules {
                RuleSet::Codelab => codelab.to_owned(),
                RuleSet::Recommended => recommended.join(BETWEEN_SENTENCES),
            },
            total_minutes: round(night.total_minutes()),
            shares: RoundedShares::of(night.shares()),
            codelab: codelab.to_owned(),
            recommended,
            why_they_differ: why_they_differ(night, codelab).map(str::to_owned),
        }
    }

    /// Reads a result message. Its sentences are made safe to show; keys that are not known are read past.
    ///
    /// # Errors
    /// [`NotAResult`], which says nothing of the content.
    pub fn parse(message: &[u8]) -> Result<Self, NotAResult> {
        let mut analysis: Self = serde_json::from_slice(message).map_err(|_| NotAResult)?;
        let sentences = [&mut analysis.codelab];
        for text in
            sentences.into_iter().chain(&mut analysis.recommended).chain(&mut analysis.why_they_differ)
        {
            let shown = printable(text);
            text.zeroize();
            *text = shown;
        }
        // Several sentences together are longer than one may be.
        let mut each: Vec<String> = analysis.sentence.split(BETWEEN_SENTENCES).map(printable).collect();
        let shown = each.join(BETWEEN_SENTENCES);
        each.zeroize();
        analysis.sentence.zeroize();
        analysis.sentence = shown;
        Ok(analysis)
    }

    /// The result message as JSON, without a line break at its end.
    ///
    /// # Errors
    /// None that is known: the numbers are finite and the keys are strings. A caller treats one as a
    /// failure of its own.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut json = Zeroizing::new(Vec::with_capacity(RESULT_CAPACITY));
        serde_json::to_writer(&mut *json, self)?;
        Ok(json)
    }

    /// The same for people, a line each, the rules in use first. Every line ends in a line break.
    pub fn to_text(&self) -> Zeroizing<String> {
        let recommended = self.recommended.iter().map(String::as_str);
        let figures = figures(self.total_minutes, &self.shares);
        let mut text = Zeroizing::new(String::with_capacity(RESULT_CAPACITY));
        match self.rules {
            RuleSet::Codelab => {
                say(&mut text, LEADING, [self.codelab.as_str()]);
                say(&mut text, "Rules recommended say: ", recommended);
            }
            RuleSet::Recommended => {
                say(&mut text, LEADING, recommended);
                say(&mut text, "Rules codelab say: ", [self.codelab.as_str()]);
            }
        }
        say(&mut text, "Why they differ: ", self.why_they_differ.as_deref());
        say(&mut text, "Total: ", [figures.as_str()]);
        text
    }
}

/// The message is no result of USleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a result: wanted a JSON object with the documented keys")]
pub struct NotAResult;

/// What the codelab's program prints before its sentence.
pub(crate) const LEADING: &str = "Sleep quality result: ";

/// One line for each sentence, the first after the heading, the others in line with it.
pub(crate) fn say<'s>(text: &mut String, heading: &str, sentences: impl IntoIterator<Item = &'s str>) {
    for (place, sentence) in sentences.into_iter().enumerate() {
        if place == 0 {
            text.push_str(heading);
        } else {
            text.extend(std::iter::repeat_n(' ', heading.len()));
        }
        text.push_str(sentence);
        text.push('\n');
    }
}

impl fmt::Debug for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Analysis(..)")
    }
}

/// Why the two sets of rules come to different ends, if they do.
fn why_they_differ(night: &Night, codelab: &str) -> Option<&'static str> {
    let too_short = matches!(
        Duration::of(night.age(), night.total_minutes()),
        Duration::TooShort | Duration::PerhapsTooShort
    );
    if codelab == codelab::TOTAL {
        Some(
            "the codelab's rules compare the total the wrong way round: they call it less than 8 hours because it is \
             more than 480 minutes",
        )
    } else if too_short {
        Some(
            "the codelab's rules compare the total the wrong way round: they look for more than 480 minutes, so a \
             night that is too short escapes them",
        )
    } else if (codelab == codelab::GREAT) != nothing_to_say_against(night) {
        Some(
            "the codelab's rules have fixed limits (REM and deep 20 percent, light 50 percent); the recommended ones \
             have ranges for the age",
        )
    } else {
        None
    }
}

/// Total and shares as people read them.
pub(crate) fn figures(
    total_minutes: f64,
    RoundedShares { light, deep, rem }: &RoundedShares,
) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{}, light {} %, deep {} %, REM {} %",
        hours_and_minutes(total_minutes),
        percent(*light),
        percent(*deep),
        percent(*rem),
    ))
}

/// Rounds to 4 digits after the point.
pub(crate) fn round(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// A share as a percentage, with at most 2 digits after the point.
pub(crate) fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

/// Minutes as hours and minutes, in the digits that [`round`] leaves.
pub(crate) fn hours_and_minutes(minutes: f64) -> String {
    let minutes = round(minutes);
    let hours = (minutes / 60.0).floor();
    format!("{hours} h {} min", round(minutes - hours * 60.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amy() -> Night {
        Night::for_tests(29, 270.0, 135.0, 105.0)
    }

    #[test]
    fn the_message_has_exactly_the_documented_keys() {
        let keys = |analysis: &Analysis| {
            let json: serde_json::Value = serde_json::from_slice(&analysis.to_json().unwrap()).unwrap();
            let mut keys: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        let always = ["codelab", "recommended", "rules", "sentence", "shares", "total_minutes"];
        // Neither set of rules has anything to say against it: the reason is left out.
        let good = Night::for_tests(40, 260.0, 90.0, 100.0);
        assert_eq!(keys(&Analysis::new(&good, RuleSet::Codelab)), always);
        let with_reason: Vec<_> = always.into_iter().chain(["why_they_differ"]).collect();
        assert_eq!(keys(&Analysis::new(&amy(), RuleSet::Recommended)), with_reason);
    }

    #[test]
    fn the_sentence_is_that_of_the_rules_in_use() {
        let message = |rules| -> serde_json::Value {
            serde_json::from_slice(&Analysis::new(&amy(), rules).to_json().unwrap()).unwrap()
        };
        let codelab = message(RuleSet::Codelab);
        assert_eq!(codelab["rules"], "codelab");
        assert_eq!(codelab["sentence"], "total sleep time is less than 8 hours");
        assert_eq!(codelab["total_minutes"], 510.0);
        assert_eq!(codelab["shares"], serde_json::json!({"light": 0.5294, "deep": 0.2647, "rem": 0.2059}));
        let recommended = message(RuleSet::Recommended);
        assert_eq!(recommended["rules"], "recommended");
        let sentences = recommended["recommended"].as_array().unwrap();
        assert_eq!(sentences.len(), 3);
        for sentence in sentences {
            assert!(recommended["sentence"].as_str().unwrap().contains(sentence.as_str().unwrap()));
        }
        assert_eq!(recommended["codelab"], codelab["codelab"]);
        assert_eq!(recommended["recommended"], codelab["recommended"]);
    }

    #[test]
    fn a_reason_is_given_exactly_when_the_two_disagree() {
        // age, light, deep, rem, part of the reason
        let rows = [
            (29, 270.0, 135.0, 105.0, Some("because it is more than 480 minutes")),
            // Long enough for the codelab's slip, too short for a child of 8.
            (8, 300.0, 110.0, 100.0, Some("because it is more than 480 minutes")),
            // Five hours: great sleep to the codelab.
            (40, 170.0, 60.0, 70.0, Some("escapes them")),
            // Recommended all through, but deep sleep of 18 percent is under the codelab's 20.
            (40, 260.0, 80.0, 100.0, Some("fixed limits")),
            // Great to the codelab, more deep sleep than experts take for a sign of good sleep.
            (40, 230.0, 110.0, 110.0, Some("fixed limits")),
            // Both content.
            (40, 260.0, 90.0, 100.0, None),
            // Both discontent.
            (40, 430.0, 20.0, 10.0, None),
        ];
        for (age, light, deep, rem, wanted) in rows {
            let why = Analysis::new(&Night::for_tests(age, light, deep, rem), RuleSet::Codelab)
                .why_they_differ
                .clone();
            match wanted {
                Some(part) => {
                    assert!(why.as_deref().is_some_and(|why| why.contains(part)), "{age} {light}: {why:?}")
                }
                None => assert_eq!(why, None, "{age} {light}"),
            }
        }
    }

    #[test]
    fn the_text_leads_with_the_rules_in_use_and_says_each_thing_on_a_line() {
        let text = Analysis::new(&amy(), RuleSet::Codelab).to_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Sleep quality result: total sleep time is less than 8 hours");
        assert!(lines[1].starts_with("Rules recommended say: total sleep of"));
        assert!(lines[2].starts_with("                       REM sleep is"));
        assert!(lines[3].starts_with("                       deep sleep is"));
        assert!(
            lines[4]
                .starts_with("Why they differ: the codelab's rules compare the total the wrong way round")
        );
        assert_eq!(lines[5], "Total: 8 h 30 min, light 52.94 %, deep 26.47 %, REM 20.59 %");
        assert_eq!(lines.len(), 6);

        let text = Analysis::new(&amy(), RuleSet::Recommended).to_text();
        assert!(
            text.starts_with("Sleep quality result: total sleep of 8 h 30 min is within the 7 to 9 hours")
        );
        assert!(text.contains("\nRules codelab say: total sleep time is less than 8 hours\n"));
    }

    #[test]
    fn a_result_is_read_back_as_it_was_written() {
        for rules in [RuleSet::Codelab, RuleSet::Recommended] {
            let sent = Analysis::new(&amy(), rules);
            let read = Analysis::parse(&sent.to_json().unwrap()).unwrap();
            assert_eq!(read.to_text(), sent.to_text());
            // Every key: three sentences joined are longer than any one may be.
            assert_eq!(str::from_utf8(&read.to_json().unwrap()), str::from_utf8(&sent.to_json().unwrap()));
        }
    }

    #[test]
    fn what_is_no_result_is_refused_and_what_is_foreign_in_one_is_escaped() {
        for message in ["", "{}", "[]", "null", r#"{"rules":"codelab"}"#] {
            assert_eq!(Analysis::parse(message.as_bytes()).err(), Some(NotAResult), "{message}");
        }
        let mut json: serde_json::Value =
            serde_json::from_slice(&Analysis::new(&amy(), RuleSet::Codelab).to_json().unwrap()).unwrap();
        json["codelab"] = "\u{1b}[2Jgreat sleep!".into();
        let read = Analysis::parse(json.to_string().as_bytes()).unwrap();
        assert!(read.to_text().starts_with("Sleep quality result: \\u{1b}[2Jgreat sleep!\n"));
    }

    #[test]
    fn debug_shows_nothing_of_the_night() {
        let analysis = Analysis::new(&amy(), RuleSet::Recommended);
        assert_eq!(format!("{analysis:?}"), "Analysis(..)");
        assert_eq!(format!("{:?} {:?}", amy(), amy().shares()), "Night(..) Shares(..)");
    }
}
