//! The audit log: every decision and every end of a session, in a chain of lines that cannot be changed unseen.
//!
//! What holds: a line is on disk before the data leaves that it speaks of, and names its predecessor by digest. Who
//! knows the digest of a line, the *head*, finds every change, removal, insertion and reordering up to it. What does
//! not: without a head that was noted elsewhere, whoever may write the file can cut lines off at its end, or write all
//! of it anew.

mod chain;
mod hex;
mod line;
mod log;
mod record;
mod replay;
mod source;
mod tail;
mod tally;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Output;
use crate::exit::{Exit, Failure};
use crate::owner::UnderTest;

pub(crate) use record::{AuditRow, Judgement, Recorder, Seen};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no line of a log was changed, removed, inserted or moved
    ///
    /// Counts the sessions and prints the head, the digest of the last line: note it down where the log is not. With an
    /// earlier head, --head, it is certain for everything up to that line; without one, lines may have been cut off at
    /// the end, or the whole log written anew.
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArguments),
    /// Say which past sessions another policy or baseline would have decided otherwise
    ///
    /// Evaluates it over the claims and the session that each decision rests on, at its own time. The tokens' signatures
    /// are not checked again: the log does not hold them.
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArguments),
}

const VERIFY_HELP: &str = "\
Example:
  $ uwear audit verify audit.jsonl --head $(cat head.txt)

Exit status:
  0  unbroken, and the head that is known is in it
  1  changed: the report says where
  2  the file cannot be used";

const REPLAY_HELP: &str = "\
Example:
  $ uwear audit replay audit.jsonl --policy new.rego --baseline new.json

Exit status:
  0  every session would have been decided alike
  1  the log was changed: the report says where
  2  a file, the policy or the baseline cannot be used
  5  at least one session would have been decided otherwise";

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    log: LogArguments,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    log: LogArguments,

    #[command(flatten)]
    under_test: UnderTest,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct LogArguments {
    /// The log that `uwear release --audit-log` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// A head that was noted down: the log must hold that line
    #[arg(long, value_name = "HEX")]
    head: Option<hex::Digest>,
}

pub(crate) fn run(command: &AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Verify(arguments) => verify::run(arguments),
        AuditCommand::Replay(arguments) => replay::run(arguments),
    }
}
