//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use session::{Endpoint, Wire};

use crate::audit::AuditCommand;
use crate::evidence::EvidenceCommand;
use crate::exit;
use crate::owner::{BaselineCommand, PolicyCommand};
use crate::release::OwnProofArguments;

/// Release health data to a workload that has proven itself, and to nobody else
///
/// uwear connects to USleep over TLS 1.3, receives its attestation token, verifies it against the pinned
/// root of Google's Confidential Space, checks that it was made for this very TLS session, and evaluates a Rego
/// policy over it. Only then does it send the health data, over the same session. `uwear` alone is `uwear release`.
#[derive(Debug, Parser)]
#[command(name = "uwear", version, after_help = exit::HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) release: ReleaseArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect, verify, decide, release (the default)
    #[command(after_help = RELEASE_EXAMPLE)]
    Release(ReleaseArguments),
    /// Make the same checks offline on a token file
    #[command(after_help = VERIFY_EXAMPLE)]
    Verify(VerifyArguments),
    /// Decode a token and show it, UNVERIFIED
    Inspect(InspectArguments),
    /// Look at what was kept of past sessions
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Look at a policy and its baseline before they decide
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make a baseline, or see what a change of one means
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Check the log of past decisions, or make them again with another policy
    #[command(subcommand)]
    Audit(AuditCommand),
}

const RELEASE_EXAMPLE: &str = "\
Example:
  $ uwear release 203.0.113.9 --phi amy.json --baseline policy/baseline.json --print-result

Exit status: see `uwear --help`.";

const VERIFY_EXAMPLE: &str = "\
Example:
  $ uwear verify token.jwt --no-nonce --now 2025-09-05T08:17:40Z

Exit status: see `uwear --help`.";

#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    /// Where USleep is: HOST or HOST:PORT, port 8081 unless given
    ///
    /// The environment variable has the codelab's name, which the operator sets as tee-env-remote_ip_addr.
    #[arg(value_name = "ADDRESS", env = "remote_ip_addr", required = true)]
    pub(crate) address: Option<Endpoint>,

    /// JSON file with the health data, or - for standard input; at most 1 MiB, with --nights of any length
    #[arg(long, value_name = "FILE", env = "UWEAR_PHI", required = true)]
    pub(crate) phi: Option<PathBuf>,

    /// The file holds many nights of one person, each on a line of its own (NDJSON): a result for each comes, then a
    /// summary of all
    ///
    /// Needs wire version 1. A file is checked to its end before anything is sent; of standard input only what has been
    /// read can be. --result gets a line for each message of nights, the summary last.
    #[arg(long, env = "UWEAR_NIGHTS")]
    pub(crate) nights: bool,

    #[command(flatten)]
    pub(crate) acceptance: Acceptance,

    /// Version of the wire: 0 is the codelab's, 1 leaves a receipt; auto takes 1 where the server knows it
    #[arg(long, value_name = "0|1|auto", env = "UWEAR_WIRE", default_value_t)]
    pub(crate) wire: Wire,

    #[command(flatten)]
    pub(crate) own_proof: OwnProofArguments,

    /// Try again for so long where that may help (exit 3), for example 5m while the server's VM boots
    ///
    /// Never after a refused token or policy, and never once data is on its way, but with --retry-after-release. Waits
    /// longer each time, and as long as a busy server asks.
    #[arg(long, value_name = "DURATION", env = "UWEAR_RETRY_FOR", value_parser = retry_for, default_value = "0s")]
    pub(crate) retry_for: Duration,

    /// Try again within --retry-for also after a release that brought no result, because the connection or USleep was
    /// lost: the data is sent again
    ///
    /// Each try is a new session: a new token, a new decision, a new pair of lines in the audit log. Until then the data is
    /// kept in memory. Never after a refusal, and never after a receipt that does not verify.
    #[arg(long, env = "UWEAR_RETRY_AFTER_RELEASE")]
    pub(crate) retry_after_release: bool,

    /// Show the result, which is computed from the health data
    #[arg(long, env = "UWEAR_PRINT_RESULT")]
    pub(crate) print_result: bool,

    /// Write the result to a new file that only its owner can read
    #[arg(long, value_name = "FILE", env = "UWEAR_RESULT")]
    pub(crate) result: Option<PathBuf>,

    /// Keep the evidence of the session in new files in this folder, which only its owner can read
    ///
    /// Needs wire version 1, and refuses a server that does not speak it. The one place where a whole token is
    /// written. `uwear evidence verify` verifies it at any later time.
    #[arg(long, value_name = "DIR", env = "UWEAR_EVIDENCE")]
    pub(crate) evidence: Option<PathBuf>,

    /// Take a server that gives no result, as the codelab's does, for a failure (exit 6)
    #[arg(long, env = "UWEAR_REQUIRE_RESULT")]
    pub(crate) require_result: bool,

    /// Write every decision and the end of every session into this log; nothing leaves that cannot be written there
    ///
    /// Lines of JSON, each with the digest of the line before; several programs may share the file. The report ends with
    /// the digest of the last line: note it down elsewhere, for `uwear audit verify --head`.
    #[arg(long, value_name = "FILE", env = "UWEAR_AUDIT_LOG")]
    pub(crate) audit_log: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[group(id = "nonce_choice", required = true, multiple = false, args = ["nonce", "no_nonce"])]
pub(crate) struct VerifyArguments {
    /// File with the token, or - for standard input
    #[arg(value_name = "TOKEN")]
    pub(crate) token: PathBuf,

    /// The nonce that the token must carry
    #[arg(long, value_name = "NONCE", env = "UWEAR_NONCE")]
    pub(crate) nonce: Option<String>,

    /// Leave out the check that the token belongs to a session; the report says so
    #[arg(long)]
    pub(crate) no_nonce: bool,

    /// Judge as of this time instead of the present, for example 2025-09-05T08:17:40Z
    #[arg(long, value_name = "RFC3339", value_parser = crate::clock::parse)]
    pub(crate) now: Option<rustls_pki_types::UnixTime>,

    #[command(flatten)]
    pub(crate) acceptance: Acceptance,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// File with the token, or - for standard input
    #[arg(value_name = "TOKEN")]
    pub(crate) token: PathBuf,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// What the data owner accepts.
#[derive(Debug, Args)]
pub(crate) struct Acceptance {
    /// The policy: default, codelab, or a Rego file
    #[arg(long, value_name = "default|codelab|FILE", env = "UWEAR_POLICY", default_value = "default")]
    pub(crate) policy: PathBuf,

    /// The allowed values; policy/baseline.json here or beside the program unless given
    #[arg(long, value_name = "FILE", env = "UWEAR_BASELINE")]
    pub(crate) baseline: Option<PathBuf>,

    /// The audience that the token must be made for: our own name
    #[arg(long, value_name = "NAME", env = "UWEAR_AUDIENCE", default_value = "uwear")]
    pub(crate) audience: String,

    /// Trust these root certificates instead of Google's; may be given several times
    ///
    /// For local runs with mock-launcher, whose root is made by itself.
    #[arg(long, value_name = "PEM", env = "UWEAR_ROOT", value_delimiter = ',')]
    pub(crate) root: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// How to report on standard output
    #[arg(long, value_enum, env = "UWEAR_FORMAT", default_value_t)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people, coloured on a terminal
    #[default]
    Text,
    /// One object with every check, rule and digest
    Json,
}

fn retry_for(text: &str) -> Result<Duration, &'static str> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let wanted = "wanted a duration such as 30s or 5m, at most 24h";
    humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST).ok_or(wanted)
}
