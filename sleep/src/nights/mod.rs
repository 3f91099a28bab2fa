//! Many nights of one person, analysed as they arrive, in memory that does not grow with their number.
//!
//! The nights come as NDJSON (<https://github.com/ndjson/ndjson-spec>): each line is the JSON of one night as
//! [`Night`] has it, of at most [`MAX_NIGHT_LINE_BYTES`], and ends in a line feed. The JSON has no date, so a night
//! is known by the number of its line, from 1, and the order of the lines is taken for that of the nights. All are of
//! one person: the same name and the same age on every line.

mod batch;
mod statistics;
mod summary;

use std::cell::Cell;
use std::fmt;

use zeroize::{Zeroize, Zeroizing};

pub use batch::NightResults;
pub use summary::Summary;

use crate::input::{InputError, MAX_NAME_BYTES, Night};
use crate::rules::RuleSet;
use batch::NightResult;
use statistics::Statistics;

/// Longest line in bytes, its line feed left out: a name of [`MAX_NAME_BYTES`] written with escapes, and room for
/// white space.
pub const MAX_NIGHT_LINE_BYTES: usize = 4096;

/// Shortest line that can be a night, its line feed included: one letter for a name and one digit for each number.
const MIN_NIGHT_LINE_BYTES: usize = 94;

/// A stream of nights, of which it holds the statistics, the person and the beginning of the line that has not ended
/// yet.
///
/// Health data: wiped on drop, and `Debug` shows nothing of it.
///
/// ```
/// use sleep::{Nights, RuleSet};
///
/// let night = |light: u32| format!(
///     "{{\"name\":\"Amy\",\"age\":29,\"sleep\":{{\"light\":{{\"minutes\":{light}}},\"deep\":{{\"minutes\":80}},\"rem\":{{\"minutes\":110}}}}}}\n"
/// );
/// let mut nights = Nights::new(RuleSet::Recommended);
/// assert_eq!(nights.push(night(270).as_bytes())?.len(), 1);
/// // Lines may be cut anywhere.
/// let two = format!("{}{}", night(280), night(290));
/// let (one, other) = two.as_bytes().split_at(30);
/// assert_eq!((nights.push(one)?.len(), nights.push(other)?.len()), (0, 2));
/// let summary = nights.finish()?;
/// assert!(summary.to_text().starts_with("Sleep quality result of 3 nights: average sleep of 7 h 50 min is within"));
/// # Ok::<(), sleep::NightsError>(())
/// ```
pub struct Nights {
    rules: RuleSet,
    person: Option<Person>,
    /// What has come of a line that has not ended. Never grows: its capacity is that of the longest line.
    partial: Zeroizing<Vec<u8>>,
    statistics: Statistics,
    failed: Option<NightsError>,
}

/// Whose nights they are.
struct Person {
    name: Zeroizing<String>,
    age: u8,
}

/// Why a stream is none of nights. Holds nothing of the input, so it may be shown and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NightsError {
    /// The name or the age is not that of the first line.
    #[error("line {line}: {path}: not that of line 1, wanted the nights of one person")]
    AnotherPerson {
        /// The line, from 1.
        line: u32,
        /// `name` or `age`.
        path: &'static str,
    },
    /// There is nothing on the line.
    #[error("line {line}: empty, wanted one night on each line")]
    Empty {
        /// The line, from 1.
        line: u32,
    },
    /// The line is no night.
    #[error("line {line}: {reason}")]
    Night {
        /// The line, from 1.
        line: u32,
        /// What is wrong in it.
        reason: InputError,
    },
    /// The stream ended before its first night.
    #[error("no night, wanted at least one line")]
    NoNight,
    /// The line is longer than [`MAX_NIGHT_LINE_BYTES`]. Noticed at the first byte too many.
    #[error("line {line}: too long, wanted at most {MAX_NIGHT_LINE_BYTES} bytes")]
    TooLong {
        /// The line, from 1.
        line: u32,
    },
    /// There are more lines than can be counted.
    #[error("too many lines, wanted at most {}", u32::MAX)]
    TooMany,
    /// The stream ended within a line.
    #[error("line {line}: cut off, wanted a line feed at its end")]
    Unfinished {
        /// The line, from 1.
        line: u32,
    },
}

impl Nights {
    /// A stream without a night yet. `rules` say what leads in the results, which hold what both sets of rules say.
    pub fn new(rules: RuleSet) -> Self {
        Self {
            rules,
            person: None,
            partial: Zeroizing::new(Vec::with_capacity(MAX_NIGHT_LINE_BYTES)),
            statistics: Statistics::default(),
            failed: None,
        }
    }

    /// Takes the next bytes and gives one result for each line that ends in them, in their order. Lines may be cut
    /// anywhere: the results are the same. What is allocated is in proportion to `bytes`, whose length the caller
    /// bounds, and is the caller's to drop.
    ///
    /// # Errors
    /// [`NightsError`] for the first line that is wrong. There are no results then, also not of the lines before it,
    /// and every later call gives the same error: what follows a wrong line is not looked at.
    pub fn push(&mut self, bytes: &[u8]) -> Result<NightResults, NightsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let results = self.results(bytes);
        self.failed = results.as_ref().err().copied();
        results
    }

    /// What the nights come to together, after the last of them.
    ///
    /// # Errors
    /// That of an earlier [`Nights::push`]; [`NightsError::Unfinished`] if the last line has no end;
    /// [`NightsError::NoNight`] if there was none.
    pub fn finish(self) -> Result<Summary, NightsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.partial.is_empty() {
            return Err(NightsError::Unfinished { line: self.line()? });
        }
        let age = self.person.as_ref().ok_or(NightsError::NoNight)?.age;
        Ok(Summary::new(&self.statistics, age, self.rules))
    }

    /// Whether the last byte that came ended a line, as the last byte of each message of a session does.
    pub fn is_between_lines(&self) -> bool {
        self.partial.is_empty()
    }

    fn results(&mut self, bytes: &[u8]) -> Result<NightResults, NightsError> {
        // Reserved at once: what grows leaves copies behind.
        let most = bytes.len() / MIN_NIGHT_LINE_BYTES + 1;
        let mut results = NightResults::with_capacity(self.rules, self.line()?, most);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            let result = if self.partial.is_empty() {
                self.night(head)
            } else {
                self.keep(head)?;
                let line = std::mem::take(&mut self.partial);
                let result = self.night(&line);
                self.partial = line;
                self.partial.zeroize();
                result
            };
            results.add(result?);
        }
        self.keep(rest)?;
        Ok(results)
    }

    /// Appends to the line that has not ended.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), NightsError> {
        if bytes.len() > MAX_NIGHT_LINE_BYTES.saturating_sub(self.partial.len()) {
            return Err(NightsError::TooLong { line: self.line()? });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// One whole line.
    fn night(&mut self, line: &[u8]) -> Result<NightResult, NightsError> {
        let number = self.line()?;
        if line.len() > MAX_NIGHT_LINE_BYTES {
            return Err(NightsError::TooLong { line: number });
        }
        if line.trim_ascii().is_empty() {
            return Err(NightsError::Empty { line: number });
        }
        let first_name = Cell::new(None);
        let another = Cell::new(false);
        let name = |name: &str| match &self.person {
            None => first_name.set(Some(kept(name))),
            Some(person) => another.set(*person.name != name),
        };
        let night = Night::parse_showing(line, &name)
            .map_err(|reason| NightsError::Night { line: number, reason })?;
        let path = match &self.person {
            Some(_) if another.get() => Some("name"),
            Some(person) if person.age != night.age() => Some("age"),
            _ => None,
        };
        if let Some(path) = path {
            return Err(NightsError::AnotherPerson { line: number, path });
        }
        if let Some(name) = first_name.take() {
            self.person = Some(Person { name, age: night.age() });
        }
        let result = NightResult::new(&night);
        self.statistics.add(&night, &result);
        Ok(result)
    }

    /// The number of the line that is being read.
    fn line(&self) -> Result<u32, NightsError> {
        self.statistics.nights().checked_add(1).ok_or(NightsError::TooMany)
    }
}

/// A copy in a buffer of the size that it keeps.
fn kept(name: &str) -> Zeroizing<String> {
    let mut copy = Zeroizing::new(String::with_capacity(MAX_NAME_BYTES));
    copy.push_str(name);
    copy
}

impl fmt::Debug for Nights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nights(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMY: &[u8] = include_bytes!("../../testdata/amy.json");

    #[test]
    fn the_last_line_that_can_be_counted_is_a_night_and_the_next_is_an_error() {
        let mut nights = Nights::new(RuleSet::Recommended);
        nights.push(AMY).unwrap();
        nights.statistics = Statistics::after(u32::MAX - 1);
        let results = nights.push(AMY).unwrap();
        assert_eq!(results.first_night(), u32::MAX);
        assert!(results.to_text().starts_with("Night 4294967295: "));
        assert!(NightResults::parse(&results.to_json().unwrap()).is_ok());
        assert_eq!(nights.push(AMY).unwrap_err(), NightsError::TooMany);
    }

    #[test]
    fn the_shortest_line_is_as_short_as_it_is_taken_for() {
        let shortest = br#"{"name":"A","age":1,"sleep":{"light":{"minutes":1},"deep":{"minutes":0},"rem":{"minutes":0}}}"#;
        assert_eq!(shortest.len() + 1, MIN_NIGHT_LINE_BYTES);
        assert!(Night::parse(shortest).is_ok());
        for at in 0..shortest.len() {
            let mut shorter = shortest.to_vec();
            shorter.remove(at);
            assert!(Night::parse(&shorter).is_err(), "{at}");
        }
    }
}
