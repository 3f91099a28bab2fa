//! How the program ends: a code for scripts, and a line for people.

use std::process::ExitCode;
use std::time::Duration;

/// The exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Released, or valid.
    Done = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// Flags, files, policy or baseline that cannot be used.
    Usage = 2,
    /// Nothing was sent, and trying again may help.
    NotReached = 3,
    /// Nothing was sent: what came was no valid proof.
    NotProven = 4,
    /// Nothing was sent: the proof is valid but not acceptable.
    NotAcceptable = 5,
    /// Refused by the server, or no valid result after the release.
    Refused = 6,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The same in a word, for `--format json`.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::NotReached => "not-reached",
            Self::NotProven => "not-proven",
            Self::NotAcceptable => "not-acceptable",
            Self::Refused => "refused",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table of `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  released (and a result arrived where the server gives one), or valid
  1  unexpected
  2  usage or configuration: flags, files, policy or baseline that cannot be used
  3  nothing was sent: the server cannot be reached, was lost, is busy or has no token; trying again may help
  4  nothing was sent: what came was no valid proof
  5  nothing was sent: the proof is authentic, but not acceptable: another session, another audience, the policy
  6  refused by the server; or, once the data was on its way, anything short of a valid result";

/// Why the program did not do what was asked, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is wrong, and where. Safe to show.
    pub(crate) what: String,
    /// The next step; empty where there is none to advise.
    pub(crate) next: String,
    /// How long the server asks to wait before another try.
    pub(crate) retry_after: Option<Duration>,
    /// Whether another session may do better although data has left in this one.
    pub(crate) may_pass: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: next.into(), retry_after: None, may_pass: false }
    }

    pub(crate) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, next)
    }
}
