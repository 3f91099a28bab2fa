//! `uwear --evidence DIR` and `uwear evidence verify`: what is kept of a session, and its verification at its own
//! time, without any secret.

mod at_hand;
mod folder;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Output;
use crate::exit::{Exit, Failure};
pub(crate) use folder::EvidenceFiles;
pub(crate) use verify::Said;

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Verify kept evidence as of its own time: what the attested image said, and to which session
    #[command(after_help = VERIFY_EXAMPLE)]
    Verify(VerifyEvidence),
}

const VERIFY_EXAMPLE: &str = "\
Example:
  $ uwear evidence verify evidence/
  $ uwear evidence verify evidence/20261121T235859Z-1f0c5a7e.evidence.json --phi amy.json --result result.json

Exit status: 0 all of it is valid, 2 there is none or it cannot be read, 4 some of it is not valid.";

#[derive(Debug, Args)]
pub(crate) struct VerifyEvidence {
    /// A folder of evidence, or one file of it
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,

    /// Also check that this is the health data that was sent; the commitment key must lie beside the evidence
    #[arg(long, value_name = "FILE")]
    pub(crate) phi: Option<PathBuf>,

    /// Also check that this is the result that came; the commitment key must lie beside the evidence
    ///
    /// The file as `--result` wrote it, also that of many nights.
    #[arg(long, value_name = "FILE")]
    pub(crate) result: Option<PathBuf>,

    /// Trust these root certificates instead of Google's; may be given several times
    #[arg(long, value_name = "PEM", env = "UWEAR_ROOT", value_delimiter = ',')]
    pub(crate) root: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

pub(crate) fn run(command: &EvidenceCommand) -> Result<Exit, Failure> {
    match command {
        EvidenceCommand::Verify(arguments) => verify::run(arguments),
    }
}
