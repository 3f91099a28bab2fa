//! The results of those nights of a stream that came together: one message, and the same as lines of text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codelab::CodelabVerdict;
use crate::durations::Duration;
use crate::input::{MAX_NIGHT_MINUTES, Night};
use crate::result::{NotAResult, RoundedShares, figures, round};
use crate::rules::RuleSet;
use crate::stages::{StageVerdict, Stages, stages};

/// What stands in the columns of `nights`, in their order.
const COLUMNS: [&str; 8] = [
    "total_minutes",
    "light",
    "deep",
    "rem",
    "codelab",
    "recommended_total",
    "recommended_rem",
    "recommended_deep",
];

/// Longest JSON of one night's result with its comma: less than the shortest line that can be a night.
const MAX_ROW_BYTES: usize = 88;

/// Longest JSON of all that is around the rows.
const MAX_FRAME_BYTES: usize = 256;

/// Longest text of one night's result, with its line break.
const MAX_TEXT_BYTES: usize = 320;

/// One result for each of some nights that follow each other in a stream: what both sets of rules say of it.
///
/// As JSON, with these keys and no others:
///
/// | key | what |
/// |---|---|
/// | `rules` | `"codelab"` or `"recommended"`: the rules the server was told to use |
/// | `first_night` | number of the first of these nights, from 1: that of its line |
/// | `columns` | the names of the columns of `nights`, always the same, in this order |
/// | `nights` | a list for each night, with the columns below |
///
/// | column | what |
/// |---|---|
/// | `total_minutes` | minutes asleep in all, rounded to 4 digits after the point |
/// | `light`, `deep`, `rem` | the part of each stage, 0 to 1, rounded to 4 digits |
/// | `codelab` | the codelab's first rule that matches: `total`, `rem`, `light`, `deep`, or `great` |
/// | `recommended_total` | the total for the age: `too-short`, `perhaps-too-short`, `recommended`, `perhaps-too-long`, `too-long` |
/// | `recommended_rem`, `recommended_deep` | the share among those that experts agreed on for the age: `good`, `less` or `more` than good, `poor`; `null` where they did not |
///
/// A row is shorter than any line that is a night, so that the results of a message of nights fit into a message of
/// its size. It is health data: wiped on drop, and `Debug` shows nothing.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct NightResults {
    #[zeroize(skip)]
    rules: RuleSet,
    first_night: u32,
    nights: Vec<NightResult>,
}

/// What both sets of rules say of one night.
#[derive(Clone, Copy)]
pub(super) struct NightResult {
    total_minutes: f64,
    shares: [f64; 3],
    pub(super) codelab: CodelabVerdict,
    pub(super) total: Duration,
    rem: Option<StageVerdict>,
    deep: Option<StageVerdict>,
}

impl NightResults {
    pub(super) fn with_capacity(rules: RuleSet, first_night: u32, nights: usize) -> Self {
        Self { rules, first_night, nights: Vec::with_capacity(nights) }
    }

    pub(super) fn add(&mut self, night: NightResult) {
        self.nights.push(night);
    }

    /// How many nights there are results of.
    pub fn len(&self) -> usize {
        self.nights.len()
    }

    /// Whether there is no result.
    pub fn is_empty(&self) -> bool {
        self.nights.is_empty()
    }

    /// Number of the first of these nights, from 1.
    pub fn first_night(&self) -> u32 {
        self.first_night
    }

    /// Reads a message of results. It holds no foreign text.
    ///
    /// # Errors
    /// [`NotAResult`], which says nothing of the content.
    pub fn parse(message: &[u8]) -> Result<Self, NotAResult> {
        let Message { rules, first_night, columns, nights } =
            serde_json::from_slice(message).map_err(|_| NotAResult)?;
        // Wiped from here on, whatever it is.
        let results = Self { rules, first_night, nights };
        let end = u64::from(first_night).saturating_add(results.len() as u64);
        let countable = first_night > 0 && end <= u64::from(u32::MAX) + 1;
        if !countable || columns.iter().ne(COLUMNS.iter()) {
            return Err(NotAResult);
        }
        Ok(results)
    }

    /// The message as JSON, without a line break at its end: at most as long as the lines of these nights, and 256
    /// bytes.
    ///
    /// # Errors
    /// None that is known: the numbers are finite and the keys are strings. A caller treats one as a failure of its
    /// own.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let capacity = self.nights.len().saturating_mul(MAX_ROW_BYTES).saturating_add(MAX_FRAME_BYTES);
        let mut json = Zeroizing::new(Vec::with_capacity(capacity));
        serde_json::to_writer(&mut *json, self)?;
        Ok(json)
    }

    /// The same for people, a line for each night, the rules in use first. Every line ends in a line break.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text =
            Zeroizing::new(String::with_capacity(self.nights.len().saturating_mul(MAX_TEXT_BYTES)));
        for (number, night) in (u64::from(self.first_night)..).zip(&self.nights) {
            let [light, deep, rem] = night.shares;
            let figures = figures(night.total_minutes, &RoundedShares { light, deep, rem });
            let codelab = night.codelab.sentence();
            let recommended = Zeroizing::new(night.recommended());
            let (first, second) = match self.rules {
                RuleSet::Codelab => (codelab, recommended.as_str()),
                RuleSet::Recommended => (recommended.as_str(), codelab),
            };
            let other = match self.rules {
                RuleSet::Codelab => RuleSet::Recommended,
                RuleSet::Recommended => RuleSet::Codelab,
            };
            let line =
                Zeroizing::new(format!("Night {number}: {first} (rules {other}: {second}); {}\n", *figures));
            text.push_str(&line);
        }
        text
    }
}

impl NightResult {
    pub(super) fn new(night: &Night) -> Self {
        let shares = night.shares();
        let [light, deep, rem] = [shares.light, shares.deep, shares.rem].map(round);
        let (of_rem, of_deep) = match stages(night.age()) {
            Stages::Agreed { rem: agreed_rem, deep: agreed_deep } => {
                (Some(agreed_rem.verdict(rem)), Some(agreed_deep.verdict(deep)))
            }
            Stages::Typical { .. } | Stages::Unknown => (None, None),
        };
        Self {
            total_minutes: round(night.total_minutes()),
            shares: [light, deep, rem],
            codelab: CodelabVerdict::of(night),
            total: Duration::of(night.age(), night.total_minutes()),
            rem: of_rem,
            deep: of_deep,
        }
    }

    fn recommended(&self) -> String {
        let total = match self.total {
            Duration::TooShort => "total too short",
            Duration::PerhapsTooShort => "total perhaps too short",
            Duration::Recommended => "total as recommended",
            Duration::PerhapsTooLong => "total perhaps too long",
            Duration::TooLong => "total too long",
        };
        let mut said = total.to_owned();
        for (stage, verdict) in [("REM", self.rem), ("deep", self.deep)] {
            let verdict = match verdict {
                None => continue,
                Some(StageVerdict::Good) => "good",
                Some(StageVerdict::Poor) => "not good",
                Some(StageVerdict::Less) => "less than good",
                Some(StageVerdict::More) => "more than good",
            };
            said = format!("{said}, {stage} {verdict}");
        }
        said
    }
}

impl Zeroize for NightResult {
    fn zeroize(&mut self) {
        self.total_minutes.zeroize();
        self.shares.zeroize();
        self.codelab = CodelabVerdict::Great;
        self.total = Duration::Recommended;
        self.rem = None;
        self.deep = None;
    }
}

impl Serialize for NightResults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Message<'a> {
            rules: RuleSet,
            first_night: u32,
            columns: [&'static str; 8],
            nights: &'a [NightResult],
        }
        let Self { rules, first_night, ref nights } = *self;
        Message { rules, first_night, columns: COLUMNS, nights }.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct Message {
    rules: RuleSet,
    first_night: u32,
    columns: Vec<String>,
    nights: Vec<NightResult>,
}

type Row = (f64, f64, f64, f64, CodelabVerdict, Duration, Option<StageVerdict>, Option<StageVerdict>);

impl Serialize for NightResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [light, deep, rem] = self.shares;
        let row: Row = (self.total_minutes, light, deep, rem, self.codelab, self.total, self.rem, self.deep);
        row.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NightResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (total_minutes, light, deep, rem, codelab, total, of_rem, of_deep) =
            Row::deserialize(deserializer)?;
        let shares = [light, deep, rem];
        let sound = (0.0..=MAX_NIGHT_MINUTES).contains(&total_minutes)
            && shares.iter().all(|share| (0.0..=1.0).contains(share));
        if !sound {
            return Err(de::Error::custom("out of range"));
        }
        Ok(Self { total_minutes, shares, codelab, total, rem: of_rem, deep: of_deep })
    }
}

impl fmt::Debug for NightResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NightResults(..)")
    }
}
