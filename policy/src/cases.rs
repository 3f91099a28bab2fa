//! Cases: what a policy must come to on given claims, baseline and session. A folder of them is a policy's test.
//!
//! One JSON file a case, and `base.json` and `base-client.json` for the claims that they start from; `cases/README.md` says what a
//! case holds. Unknown keys are refused, and so are rules that the policy does not have: a misspelt case must
//! not pass.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::{Nonce, printable};
use rustls_pki_types::UnixTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::merge::merged;
use crate::{
    Baseline, CLIENT_BASELINE, CODELAB_BASELINE, DEFAULT_BASELINE, Evaluation, FactsForReading, Outcome,
    Policy, PolicyError, PolicySource, Role,
};

/// Longest file of a case, in bytes.
pub const MAX_CASE_BYTES: u64 = 1024 * 1024;

/// Most cases in one folder.
pub const MAX_CASES: usize = 10_000;

/// Name of the file with the claims that every case starts from; without it they start from none.
pub const BASE: &str = "base.json";

/// Name of the same for the cases of [`Shipped::Client`]: a server's claims are not a client's.
pub const CLIENT_BASE: &str = "base-client.json";

/// Why a folder of cases cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CasesError {
    /// The folder or a file cannot be read.
    #[error("{}: {error}", printable(&path.to_string_lossy()))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no case in the folder.
    #[error("{}: wanted cases, files that end in .json, got none", printable(&path.to_string_lossy()))]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// More than [`MAX_CASES`].
    #[error("{}: wanted at most {MAX_CASES} cases, got more", printable(&path.to_string_lossy()))]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// The file is longer than [`MAX_CASE_BYTES`].
    #[error("{name}: too large, wanted at most {MAX_CASE_BYTES} bytes")]
    TooLarge {
        /// The file's name.
        name: String,
    },
    /// It is no case.
    #[error("{name}: {message}")]
    Malformed {
        /// The case.
        name: String,
        /// What is wrong, printable.
        message: String,
    },
    /// It wants something of a rule or check that does not exist.
    #[error("{case}: wanted a rule or check of the policy, got {name}")]
    UnknownRule {
        /// The case.
        case: String,
        /// The name, printable.
        name: String,
    },
    /// The policy cannot be used, or not with the case's baseline.
    #[error("{case}: {error}")]
    Policy {
        /// The case.
        case: String,
        /// Why not.
        error: PolicyError,
    },
}

/// A folder of cases, read.
#[derive(Debug)]
pub struct Suite {
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    name: String,
    claims: Map<String, Value>,
    facts: FactsForReading,
    text: CaseText,
}

/// The policy that a case is about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Shipped {
    /// [`PolicySource::Default`] with the baseline that ships with it.
    Default,
    /// [`PolicySource::Codelab`] with the baseline that ships with it.
    Codelab,
    /// [`PolicySource::Client`] with the baseline that ships with it.
    Client,
}

/// One rule or check that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The rule or check; `accepted` for the verdict as a whole.
    pub name: String,
    /// What the case wants.
    pub wanted: String,
    /// What it came to, printable.
    pub got: String,
}

/// A case and what came out differently in it: nothing, if it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The file's name without `.json`.
    pub name: String,
    /// Why the case is there, in its author's words, printable.
    pub note: String,
    /// In the order of the policy's rules, then the checks.
    pub mismatches: Vec<Mismatch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    note: String,
    policy: Option<Shipped>,
    #[serde(default = "empty")]
    input: Value,
    #[serde(default = "empty")]
    data: Value,
    #[serde(default = "empty")]
    session: Value,
    want: Want,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Want {
    allow: Wanted,
    rules: BTreeMap<String, Wanted>,
    #[serde(default)]
    checks: BTreeMap<String, Wanted>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Wanted {
    Boolean(bool),
    Word(Word),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Undefined,
    Error,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    nonce: String,
    audience: String,
    wire: u8,
    role: SessionRole,
    now: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SessionRole {
    Server,
    Client,
}

fn empty() -> Value {
    json!({})
}

/// The session of most cases about this policy: ten seconds after the `iat` of the project's own bases.
fn usual_session(policy: Option<Shipped>) -> Value {
    let (audience, wire, role) = match policy {
        Some(Shipped::Client) => ("usleep", 1, "client"),
        _ => ("uwear", 0, "server"),
    };
    json!({
        "nonce": "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=",
        "audience": audience,
        "wire": wire,
        "role": role,
        "now": 1_757_060_260,
    })
}

impl Suite {
    /// Reads a folder, its cases in the order of their names.
    ///
    /// # Errors
    /// [`CasesError`] names the first file that is no case.
    pub fn read(folder: &Path) -> Result<Self, CasesError> {
        let failed = |error| CasesError::Read { path: folder.to_owned(), error };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_base = path.ends_with(BASE) || path.ends_with(CLIENT_BASE);
            if path.extension().is_some_and(|extension| extension == "json") && !is_base {
                files.push(path);
            }
            if files.len() > MAX_CASES {
                return Err(CasesError::TooMany { path: folder.to_owned() });
            }
        }
        if files.is_empty() {
            return Err(CasesError::None { path: folder.to_owned() });
        }
        files.sort();
        let base = |name: &str| match folder.join(name).try_exists() {
            Ok(false) => Ok(empty()),
            _ => parsed(name, &read(&folder.join(name))?),
        };
        let (of_servers, of_clients) = (base(BASE)?, base(CLIENT_BASE)?);
        let case = |path: &PathBuf| {
            let name = printable(&path.file_stem().unwrap_or_default().to_string_lossy());
            let text: CaseText = parsed(&name, &read(path)?)?;
            let base = if text.policy == Some(Shipped::Client) { &of_clients } else { &of_servers };
            Case::of_text(&name, base, text)
        };
        Ok(Self { cases: files.iter().map(case).collect::<Result<_, _>>()? })
    }

    /// The cases in the order of their names.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Runs every case: one that names a shipped policy with that one, the others with the policy given.
    ///
    /// # Errors
    /// [`CasesError`] if a case cannot be run at all, also if it names no policy and none is given.
    pub fn run(&self, given: Option<&Policy>) -> Result<Vec<CaseResult>, CasesError> {
        let shipped = |source, baseline| -> Result<Policy, PolicyError> {
            Policy::compile(source, Baseline::parse(baseline)?)
        };
        let default = shipped(PolicySource::Default, DEFAULT_BASELINE);
        let codelab = shipped(PolicySource::Codelab, CODELAB_BASELINE);
        let client = shipped(PolicySource::Client, CLIENT_BASELINE);
        self.cases
            .iter()
            .map(|case| {
                let policy = match case.text.policy {
                    Some(Shipped::Default) => default.as_ref(),
                    Some(Shipped::Codelab) => codelab.as_ref(),
                    Some(Shipped::Client) => client.as_ref(),
                    None => Ok(given
                        .ok_or_else(|| case.malformed("it names no policy, and none was given to test"))?),
                };
                case.run(policy.map_err(|error| case.unusable(error.clone()))?)
            })
            .collect()
    }
}

impl Case {
    /// Parses a case whose claims start from `base`.
    ///
    /// # Errors
    /// [`CasesError::Malformed`] says what is wrong with it.
    pub fn parse(name: &str, base: &Value, text: &str) -> Result<Self, CasesError> {
        Self::of_text(name, base, parsed(name, text)?)
    }

    fn of_text(name: &str, base: &Value, text: CaseText) -> Result<Self, CasesError> {
        let malformed = |message: String| CasesError::Malformed { name: name.to_owned(), message };
        let Value::Object(claims) = merged(base, &text.input) else {
            return Err(malformed("wanted an object of claims as input, got something else".to_owned()));
        };
        let session: Session = serde_json::from_value(merged(&usual_session(text.policy), &text.session))
            .map_err(|error| malformed(format!("session: {}", printable(&error.to_string()))))?;
        let facts = FactsForReading {
            nonce: Some(Nonce::from_text(session.nonce)),
            audience: session.audience,
            wire: session.wire,
            role: match session.role {
                SessionRole::Server => Role::Server,
                SessionRole::Client => Role::Client,
            },
            now: UnixTime::since_unix_epoch(Duration::from_secs(session.now)),
        };
        Ok(Self { name: name.to_owned(), claims, facts, text })
    }

    /// The file's name without `.json`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shipped policy that it is about, if it names one.
    pub fn policy(&self) -> Option<Shipped> {
        self.text.policy
    }

    /// Names of the rules that the case wants to fail, `allow` left out.
    pub fn failing_rules(&self) -> impl Iterator<Item = &str> {
        self.text.want.rules.iter().filter(|(_, wanted)| !wanted.holds()).map(|(name, _)| name.as_str())
    }

    /// Evaluates the case with a policy, whose baseline the case may change.
    ///
    /// # Errors
    /// [`CasesError::Policy`] if the changed baseline does not fit the policy.
    pub fn evaluate(&self, policy: &Policy) -> Result<Evaluation, CasesError> {
        let baseline = policy.inner.baseline.patched(&self.text.data).map_err(PolicyError::from);
        let policy = baseline.and_then(|baseline| policy.with_baseline(baseline));
        let policy = policy.map_err(|error| self.unusable(error))?;
        Ok(policy.evaluate(&self.claims, &self.facts))
    }

    /// Evaluates the case and compares.
    ///
    /// # Errors
    /// As [`Case::evaluate`], and [`CasesError::UnknownRule`] for a name that the policy does not have.
    pub fn run(&self, policy: &Policy) -> Result<CaseResult, CasesError> {
        let evaluation = self.evaluate(policy)?;
        let want = &self.text.want;
        let known = |names: &BTreeMap<String, Wanted>, known: &[crate::RuleOutcome]| match names
            .keys()
            .find(|name| known.iter().all(|rule| rule.name != **name))
        {
            Some(name) => Err(CasesError::UnknownRule { case: self.name.clone(), name: printable(name) }),
            None => Ok(()),
        };
        known(&want.rules, evaluation.rules())?;
        known(&want.checks, evaluation.checks())?;

        let holds = Wanted::Boolean(true);
        let mut mismatches = Vec::new();
        for rule in evaluation.rules() {
            let wanted = match rule.name.as_str() {
                "allow" => want.allow,
                name => want.rules.get(name).copied().unwrap_or(holds),
            };
            mismatches.extend(wanted.mismatch(&rule.name, &rule.outcome));
        }
        for check in evaluation.checks() {
            let wanted = want.checks.get(&check.name).copied().unwrap_or(holds);
            mismatches.extend(wanted.mismatch(&check.name, &check.outcome));
        }
        let accepted = want.allow.holds() && want.checks.values().all(|wanted| wanted.holds());
        if mismatches.is_empty() && evaluation.would_allow() != accepted {
            mismatches.push(Mismatch {
                name: "accepted".to_owned(),
                wanted: accepted.to_string(),
                got: evaluation.would_allow().to_string(),
            });
        }
        Ok(CaseResult { name: self.name.clone(), note: printable(&self.text.note), mismatches })
    }

    fn malformed(&self, message: &str) -> CasesError {
        CasesError::Malformed { name: self.name.clone(), message: message.to_owned() }
    }

    fn unusable(&self, error: PolicyError) -> CasesError {
        CasesError::Policy { case: self.name.clone(), error }
    }
}

impl CaseResult {
    /// Whether everything came out as wanted.
    pub fn passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}

impl Wanted {
    fn holds(self) -> bool {
        self == Self::Boolean(true)
    }

    fn mismatch(self, name: &str, got: &Outcome) -> Option<Mismatch> {
        let as_wanted = matches!(
            (self, got),
            (Self::Boolean(true), Outcome::True)
                | (Self::Boolean(false), Outcome::False)
                | (Self::Word(Word::Undefined), Outcome::Undefined)
                | (Self::Word(Word::Error), Outcome::Error(_))
        );
        (!as_wanted).then(|| Mismatch {
            name: name.to_owned(),
            wanted: self.to_string(),
            got: got.to_string(),
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Word(Word::Undefined) => f.write_str("undefined"),
            Self::Word(Word::Error) => f.write_str("error"),
        }
    }
}

fn parsed<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, CasesError> {
    serde_json::from_str(text).map_err(|error| CasesError::Malformed {
        name: name.to_owned(),
        message: printable(&error.to_string()),
    })
}

fn read(path: &Path) -> Result<String, CasesError> {
    let failed = |error| CasesError::Read { path: path.to_owned(), error };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_CASE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_CASE_BYTES {
        let name = printable(&path.file_name().unwrap_or_default().to_string_lossy());
        return Err(CasesError::TooLarge { name });
    }
    Ok(text)
}
