//! What the data owner does before any release: look at her policy, test it, make and compare baselines. Nothing
//! here dials or sees health data.

mod check;
mod diff;
mod draft;
mod image;
mod init;
mod test;

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::{Args, Subcommand};

use crate::cli::Output;
use crate::exit::{Exit, Failure};

/// For what deserves a look.
const LOOK: Style = AnsiColor::Yellow.on_default().bold();

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Find what a policy lets through, and what in it can never work
    ///
    /// Reads policy and baseline, and tries them on made-up tokens that must not pass: a debug image, hardware
    /// without memory encryption, another image, another operator and so on.
    #[command(after_help = CHECK_HELP)]
    Check(CheckArguments),
    /// Run a folder of cases
    ///
    /// A case is a JSON file: claims, baseline and session, and what each rule must come to. policy/cases/README.md
    /// says what is in it.
    #[command(after_help = TEST_HELP)]
    Test(TestArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Write a baseline that allows what an authentic token says, or that pins an image, to be reviewed
    ///
    /// For the default policy. What a token says is not thereby good: audit the image, and ask whether project and
    /// accounts are those of the operator that you agreed with. An image does not know them: give them.
    #[command(after_help = INIT_HELP)]
    Init(InitArguments),
    /// Say what a change of the baseline lets in and shuts out
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArguments),
}

const CHECK_HELP: &str = "\
Examples:
  $ uwear policy check --policy mine.rego --baseline mine.json
  $ uwear policy check --policy client --baseline policy/client_baseline.json

Exit status:
  0  no finding is an error
  2  the policy cannot be compiled, or a file cannot be used
  5  at least one finding is an error";

const TEST_HELP: &str = "\
Example:
  $ uwear policy test policy/cases

Exit status:
  0  every case came out as it wants
  2  a case is malformed, or the policy or a file cannot be used
  5  at least one case came out differently";

const INIT_HELP: &str = "\
Examples:
  $ uwear baseline init --from-token token.jwt --output baseline.json
  $ uwear baseline init --from-image usleep.oci.tar --project their-project \\
        --service-account workload-sa@their-project.iam.gserviceaccount.com --output baseline.json

Exit status:
  0  written
  2  a file cannot be used, or who runs the image is not said; an existing file is never overwritten
  4  the token is not authentic, or not valid at that time
  5  the token is authentic, but nothing to go by: a debug image, an overridden command, ...";

const DIFF_HELP: &str = "\
Example:
  $ uwear baseline diff old.json new.json

Exit status: 0 also if they differ; 2 if a file cannot be used.";

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) under_test: UnderTest,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Folder of cases, each a file that ends in .json
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    #[command(flatten)]
    pub(crate) under_test: UnderTest,
}

/// The policy and the baseline to look at.
#[derive(Debug, Args)]
pub(crate) struct UnderTest {
    /// The policy: default, codelab, client (by which USleep judges UWear in mutual mode), or a Rego file
    #[arg(long, value_name = "default|codelab|client|FILE", env = "UWEAR_POLICY", default_value = "default")]
    pub(crate) policy: PathBuf,

    /// The allowed values; policy/baseline.json here or beside the program unless given
    #[arg(long, value_name = "FILE", env = "UWEAR_BASELINE")]
    pub(crate) baseline: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// File with the token, or - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "from_image")]
    pub(crate) from_token: Option<PathBuf>,

    /// OCI archive of the image to pin, as scripts/build_images.sh writes it
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "from_token")]
    pub(crate) from_image: Option<PathBuf>,

    /// With --from-image: the operator's project; may be given several times
    #[arg(long, value_name = "ID", conflicts_with = "from_token")]
    pub(crate) project: Vec<String>,

    /// With --from-image: the service account that runs the image; may be given several times
    #[arg(long, value_name = "EMAIL", conflicts_with = "from_token")]
    pub(crate) service_account: Vec<String>,

    /// With --from-image: the audience that tokens must be made for, our own name [default: uwear]
    #[arg(long, value_name = "NAME", conflicts_with = "from_token")]
    pub(crate) audience: Option<String>,

    /// What to call the image in reports; the image's or the operator's name for it unless given
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// Trust these root certificates of tokens instead of Google's; may be given several times
    #[arg(long, value_name = "PEM", env = "UWEAR_ROOT", value_delimiter = ',')]
    pub(crate) root: Vec<PathBuf>,

    /// Judge and date as of this time instead of the present, for example 2025-09-05T08:17:40Z
    #[arg(long, value_name = "RFC3339", value_parser = crate::clock::parse)]
    pub(crate) now: Option<rustls_pki_types::UnixTime>,

    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The baseline as it was
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,

    /// The baseline as it will be
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,

    #[command(flatten)]
    pub(crate) output: Output,
}

pub(crate) fn policy(command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Check(arguments) => check::run(arguments),
        PolicyCommand::Test(arguments) => test::run(arguments),
    }
}

pub(crate) fn baseline(command: &BaselineCommand) -> Result<Exit, Failure> {
    match command {
        BaselineCommand::Init(arguments) => init::run(arguments),
        BaselineCommand::Diff(arguments) => diff::run(arguments),
    }
}

/// `1 error`, `2 errors`.
fn counted(count: usize, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
}
