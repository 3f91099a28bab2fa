//! What became of every session.

use std::collections::BTreeMap;
use std::fmt;

/// How a session ended, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With a result, and in wire version 1 a receipt, for the data that was sent.
    Answered,
    /// By either end, on purpose.
    Refused(String),
    /// In any other way.
    Lost(String),
}

impl End {
    /// Refused for this reason.
    pub fn refused(reason: impl fmt::Display) -> Self {
        Self::Refused(reason.to_string())
    }

    /// Lost for this reason.
    pub fn lost(reason: impl fmt::Display) -> Self {
        Self::Lost(reason.to_string())
    }

    /// Whether the owner's data may be with the server although no answer came.
    pub fn may_have_been_answered(&self) -> bool {
        matches!(self, Self::Lost(reason) if reason.starts_with(AFTER_RELEASE) || reason == KILLED)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Refused(reason) => write!(f, "refused, {reason}"),
            Self::Lost(reason) => write!(f, "lost, {reason}"),
        }
    }
}

/// How the reason begins of a session that was lost once its data had been handed to TLS.
pub const AFTER_RELEASE: &str = "after the release: ";

/// The reason of an owner's program that was killed.
pub const KILLED: &str = "its owner was killed";

/// Sessions by their kinds and ends, and what should not have happened.
#[derive(Clone, Debug, Default)]
pub struct Account {
    kinds: BTreeMap<&'static str, Tally>,
    wrong: Vec<String>,
}

/// Sessions of one kind.
#[derive(Clone, Debug, Default)]
struct Tally {
    asked: u64,
    ends: BTreeMap<End, u64>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }

    fn count(&self, which: impl Fn(&End) -> bool) -> u64 {
        self.ends.iter().filter(|(end, _)| which(end)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.count(|end| *end == End::Answered);
        let refused = self.count(|end| matches!(end, End::Refused(_)));
        let lost = self.count(|end| matches!(end, End::Lost(_)));
        write!(f, "asked {} = answered {answered} + refused {refused} + lost {lost}", self.asked)
    }
}

impl Account {
    /// A session of this kind is about to be asked for.
    pub fn ask(&mut self, kind: &'static str) {
        self.kinds.entry(kind).or_default().asked += 1;
    }

    /// One of this kind has ended.
    pub fn ended(&mut self, kind: &'static str, end: End) {
        *self.kinds.entry(kind).or_default().ends.entry(end).or_default() += 1;
    }

    /// Something happened that must not.
    pub fn wrong(&mut self, what: impl fmt::Display) {
        self.wrong.push(what.to_string());
    }

    /// Notes it as wrong unless it holds.
    pub fn check(&mut self, holds: bool, what: impl fmt::Display) {
        if !holds {
            self.wrong(what);
        }
    }

    /// Notes every end that is none of the right ones.
    pub fn only(&mut self, wanted: &str, right: impl Fn(&End) -> bool) {
        let all = self.kinds.iter().flat_map(|(kind, tally)| tally.ends.iter().map(move |end| (kind, end)));
        let others = all.filter(|(_, (end, _))| !right(end));
        let others: Vec<_> = others.map(|(kind, (end, count))| format!("{count} {kind} {end}")).collect();
        self.check(
            others.is_empty(),
            format_args!("wanted sessions to be {wanted}, got {}", others.join("; ")),
        );
    }

    /// Adds what another has counted; its faults go under its name, if it has one.
    pub fn add(&mut self, name: &str, other: Self) {
        for (kind, tally) in other.kinds {
            self.kinds.entry(kind).or_default().add(tally);
        }
        let named = |what| if name.is_empty() { what } else { format!("{name}: {what}") };
        self.wrong.extend(other.wrong.into_iter().map(named));
    }

    /// Sessions that were asked for.
    pub fn sessions(&self) -> u64 {
        self.kinds.values().map(|tally| tally.asked).sum()
    }

    /// How many ended in one of these ways.
    pub fn count(&self, which: impl Fn(&End) -> bool) -> u64 {
        self.kinds.values().map(|tally| tally.count(&which)).sum()
    }

    /// What should not have happened, and sessions without an end or with two.
    pub fn faults(&self) -> Vec<String> {
        let unaccounted = self.kinds.iter().filter_map(|(kind, tally)| {
            let (asked, ended) = (tally.asked, tally.count(|_| true));
            (ended != asked).then(|| format!("{kind}: {asked} sessions asked for, {ended} ended"))
        });
        self.wrong.iter().cloned().chain(unaccounted).collect()
    }

    /// Every end but the best with its count, one to a line, and then every kind with its own account.
    pub fn by_name(&self) -> impl Iterator<Item = String> {
        let ends = self.all().ends.into_iter().filter(|(end, _)| *end != End::Answered);
        let kinds = self.kinds.iter().map(|(kind, tally)| format!("{kind:>16}: {tally}"));
        ends.map(|(end, count)| format!("{count:>7} {end}")).chain(kinds)
    }

    fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.kinds.values().for_each(|tally| all.add(tally.clone()));
        all
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(asked: usize, ends: &[End]) -> Account {
        let mut account = Account::default();
        for _ in 0..asked {
            account.ask("night");
        }
        for end in ends {
            account.ended("night", end.clone());
        }
        account
    }

    #[test]
    fn a_session_that_ends_as_one_of_another_kind_is_two_faults() {
        let mut account = account(1, &[]);
        account.ended("mutual", End::Answered);
        let wanted = ["mutual: 0 sessions asked for, 1 ended", "night: 1 sessions asked for, 0 ended"];
        assert_eq!(account.faults(), wanted);
    }

    #[test]
    fn a_session_without_an_end_or_with_two_is_a_fault() {
        let ends = [End::Answered, End::refused("by its token")];
        for (asked, faults) in [(1, 1), (2, 0), (3, 1)] {
            assert_eq!(account(asked, &ends).faults().len(), faults, "{asked}");
        }
    }

    #[test]
    fn an_end_that_is_not_right_is_named() {
        let mut account = account(3, &[End::Answered, End::lost("cut off"), End::lost("cut off")]);
        account.only("answered", |end| *end == End::Answered);
        assert_eq!(account.faults(), ["wanted sessions to be answered, got 2 night lost, cut off"]);
        assert_eq!(account.to_string(), "asked 3 = answered 1 + refused 0 + lost 2");
    }
}
