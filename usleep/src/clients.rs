//! Whether clients prove themselves too, and by which policy they are judged: flags and files of mutual attestation.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestation::{AnchorError, Anchors, Expectation, Verifier, printable};
use policy::{
    Baseline, BaselineError, MAX_BASELINE_BYTES, MAX_POLICY_BYTES, Policy, PolicyError, PolicySource,
};
use session::server::{ClientAttestation, ClientJudge};
use tracing::{info, warn};

/// Largest file of root certificates, in bytes: some hundred certificates.
const MAX_ROOT_BYTES: usize = 256 * 1024;

/// Where the client baseline is looked for, here and beside the program.
const DEFAULT_BASELINE: &str = "policy/client_baseline.json";

/// The flags.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientArguments {
    /// Whether clients prove themselves too, before a byte of their health data is read: auto asks those that offer to
    ///
    /// Needs wire version 1; with required, version 0 is answered with HTTP 400.
    #[arg(long, value_enum, env = "USLEEP_ATTEST_CLIENT", default_value_t)]
    attest_client: AttestClient,

    /// The policy that judges clients: default, or a Rego file
    #[arg(long, value_name = "default|FILE", env = "USLEEP_CLIENT_POLICY", default_value = "default")]
    client_policy: PathBuf,

    /// The values that it allows; policy/client_baseline.json here or beside the program unless given
    #[arg(long, value_name = "FILE", env = "USLEEP_CLIENT_BASELINE")]
    client_baseline: Option<PathBuf>,

    /// The audience that clients' tokens must be made for: our own name
    #[arg(long, value_name = "NAME", env = "USLEEP_CLIENT_AUDIENCE", default_value = "usleep")]
    client_audience: String,

    /// Trust these root certificates for clients' tokens instead of Google's; may be given several times
    ///
    /// For local runs with mock-launcher, whose root is made by itself.
    #[arg(long, value_name = "PEM", env = "USLEEP_CLIENT_ROOT", value_delimiter = ',')]
    client_root: Vec<PathBuf>,
}

/// Whether clients prove themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AttestClient {
    /// None is asked to
    #[default]
    Never,
    /// Those that offer to are asked, and judged; others are served too
    Auto,
    /// Only those that do are served
    Required,
}

/// Why clients cannot be judged as asked. All of it is found at start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientsError {
    /// A file cannot be read.
    #[error("{what} {file}: {error}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// Its name.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// A file is larger than anything that it should hold.
    #[error("{what} {file}: too large, wanted at most {limit} bytes")]
    TooLarge {
        /// What it should hold.
        what: &'static str,
        /// Its name.
        file: String,
        /// Bytes.
        limit: usize,
    },
    /// A policy or baseline that is no text.
    #[error("{what} {file}: not UTF-8 text")]
    NotText {
        /// What it should hold.
        what: &'static str,
        /// Its name.
        file: String,
    },
    /// No baseline was named, and none is where it is looked for.
    #[error(
        "no client baseline: there is no {DEFAULT_BASELINE} here or beside the program; name one with --client-baseline FILE"
    )]
    NoBaseline,
    /// A root certificate that cannot be pinned.
    #[error("root certificate {file}: {error}")]
    Root {
        /// Its name.
        file: String,
        /// Why not.
        error: AnchorError,
    },
    /// The baseline is malformed.
    #[error("client baseline {file}: {error}")]
    Baseline {
        /// Its name.
        file: String,
        /// Where.
        error: BaselineError,
    },
    /// Policy and baseline do not go together, or the policy is none.
    #[error("client policy {policy} with client baseline {baseline}: {error}")]
    Policy {
        /// Its name.
        policy: String,
        /// The baseline's.
        baseline: String,
        /// Why not.
        error: PolicyError,
    },
}

impl ClientArguments {
    /// Whether only clients are served that prove themselves.
    pub(crate) fn required(&self) -> bool {
        self.attest_client == AttestClient::Required
    }

    /// Reads and compiles what is needed for it, and logs by what clients are judged.
    ///
    /// # Errors
    /// [`ClientsError`].
    pub(crate) fn load(&self) -> Result<ClientAttestation, ClientsError> {
        if self.attest_client == AttestClient::Never {
            return Ok(ClientAttestation::Never);
        }
        let judge = Arc::new(self.judge()?);
        Ok(match self.attest_client {
            AttestClient::Required => ClientAttestation::Required(judge),
            _ => ClientAttestation::Auto(judge),
        })
    }

    fn judge(&self) -> Result<ClientJudge, ClientsError> {
        // The tokens of a fleet share their chain for weeks.
        let verifier = Verifier::new(anchors(&self.client_root)?, Expectation::default()).with_chain_cache();
        let (baseline, baseline_name) = baseline(self.client_baseline.as_deref())?;
        let source = policy_source(&self.client_policy)?;
        let policy_name = source.name();
        let policy = Policy::compile(source, baseline).map_err(|error| ClientsError::Policy {
            policy: policy_name.clone(),
            baseline: baseline_name.clone(),
            error,
        })?;
        info!(
            policy = policy_name,
            policy_sha256 = policy.policy_sha256(),
            baseline = baseline_name,
            baseline_sha256 = policy.baseline_sha256(),
            audience = printable(&self.client_audience),
            required = self.required(),
            "clients prove themselves too"
        );
        for waiver in policy.waivers() {
            warn!(key = waiver.key, reason = waiver.reason, "the client policy allows anything here");
        }
        if !self.client_root.is_empty() {
            warn!(sha256 = ?verifier.anchors().fingerprints(), "clients' tokens may be under other roots than Google's");
        }
        Ok(ClientJudge { verifier, policy, audience: self.client_audience.clone() })
    }
}

/// The roots in these files; Google's if there are none.
pub(crate) fn anchors(files: &[PathBuf]) -> Result<Anchors, ClientsError> {
    let mut anchors: Option<Anchors> = None;
    for file in files {
        let pem = read(file, "root certificate", MAX_ROOT_BYTES)?;
        let read =
            Anchors::from_pem(&pem).map_err(|error| ClientsError::Root { file: shown(file), error })?;
        anchors = Some(match anchors {
            None => read,
            Some(others) => others.and(read),
        });
    }
    Ok(anchors.unwrap_or_else(Anchors::google))
}

fn policy_source(name: &Path) -> Result<PolicySource, ClientsError> {
    if name == Path::new("default") {
        return Ok(PolicySource::Client);
    }
    Ok(PolicySource::Custom { name: shown(name), text: text(name, "client policy", MAX_POLICY_BYTES)? })
}

fn baseline(file: Option<&Path>) -> Result<(Baseline, String), ClientsError> {
    let file = file.map(Path::to_owned).or_else(default_baseline).ok_or(ClientsError::NoBaseline)?;
    let text = text(&file, "client baseline", MAX_BASELINE_BYTES)?;
    let baseline =
        Baseline::parse(&text).map_err(|error| ClientsError::Baseline { file: shown(&file), error })?;
    Ok((baseline, shown(&file)))
}

fn default_baseline() -> Option<PathBuf> {
    let here = PathBuf::from(DEFAULT_BASELINE);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(DEFAULT_BASELINE)));
    std::iter::once(here).chain(beside).find(|path| path.is_file())
}

fn text(file: &Path, what: &'static str, limit: usize) -> Result<String, ClientsError> {
    let bytes = read(file, what, limit)?;
    String::from_utf8(bytes).map_err(|_| ClientsError::NotText { what, file: shown(file) })
}

fn read(file: &Path, what: &'static str, limit: usize) -> Result<Vec<u8>, ClientsError> {
    let failed = |error| ClientsError::File { what, file: shown(file), error };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(failed)?;
    opened.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(ClientsError::TooLarge { what, file: shown(file), limit });
    }
    Ok(bytes)
}

fn shown(file: &Path) -> String {
    printable(&file.to_string_lossy())
}
