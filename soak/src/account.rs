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

/// Sessions by their ends, and what should not have happened.
#[derive(Clone, Debug, Default)]
pub struct Account {
    asked: u64,
    ends: BTreeMap<End, u64>,
    wrong: Vec<String>,
}

impl Account {
    /// So many sessions are about to be asked for.
    pub fn ask(&mut self, sessions: usize) {
        self.asked += sessions as u64;
    }

    /// One has ended.
    pub fn ended(&mut self, end: End) {
        *self.ends.entry(end).or_default() += 1;
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
        let others: Vec<_> = self.ends.iter().filter(|(end, _)| !right(end)).collect();
        let others: Vec<_> = others.iter().map(|(end, count)| format!("{count} {end}")).collect();
        self.check(
            others.is_empty(),
            format_args!("wanted sessions to be {wanted}, got {}", others.join("; ")),
        );
    }

    /// Adds what another has counted; its faults go under its name, if it has one.
    pub fn add(&mut self, name: &str, other: Self) {
        self.asked += other.asked;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        let named = |what| if name.is_empty() { what } else { format!("{name}: {what}") };
        self.wrong.extend(other.wrong.into_iter().map(named));
    }

    /// Sessions that were asked for.
    pub fn sessions(&self) -> u64 {
        self.asked
    }

    /// How many ended in one of these ways.
    pub fn count(&self, which: impl Fn(&End) -> bool) -> u64 {
        self.ends.iter().filter(|(end, _)| which(end)).map(|(_, count)| count).sum()
    }

    /// What should not have happened, and sessions without an end or with two.
    pub fn faults(&self) -> Vec<String> {
        let ended = self.count(|_| true);
        let unaccounted =
            (ended != self.asked).then(|| format!("{} sessions asked for, {ended} ended", self.asked));
        self.wrong.iter().cloned().chain(unaccounted).collect()
    }

    /// Every end but the best with its count, one to a line.
    pub fn by_name(&self) -> impl Iterator<Item = String> {
        self.ends
            .iter()
            .filter(|(end, _)| **end != End::Answered)
            .map(|(end, count)| format!("{count:>7} {end}"))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.count(|end| *end == End::Answered);
        let refused = self.count(|end| matches!(end, End::Refused(_)));
        let lost = self.count(|end| matches!(end, End::Lost(_)));
        write!(f, "asked {} = answered {answered} + refused {refused} + lost {lost}", self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(asked: usize, ends: &[End]) -> Account {
        let mut account = Account::default();
        account.ask(asked);
        for end in ends {
            account.ended(end.clone());
        }
        account
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
        assert_eq!(account.faults(), ["wanted sessions to be answered, got 2 lost, cut off"]);
        assert_eq!(account.to_string(), "asked 3 = answered 1 + refused 0 + lost 2");
    }
}
