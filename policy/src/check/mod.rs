//! Reads a policy and its baseline before they ever decide, and tries them on tokens that must not pass.
//!
//! By reading it finds what can never work: claims that no token has, values that a claim can never take, keys
//! that the baseline lacks. By evaluating it finds what gets through: a token that a policy should refuse is made
//! from one that it accepts, with one thing wrong in it. A policy without findings can still be a bad one.

mod claims;
mod probes;
mod reading;
mod tokens;

use std::fmt;

use crate::{Baseline, Policy, PolicyError, PolicySource};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Data could be released that should not be, or a rule does not mean what it says.
    Error,
    /// Worth a look: the owner may have meant it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its stable name, in kebab-case.
    pub code: &'static str,
    /// What was found, printable.
    pub what: String,
    /// Where, if it is in one place: `mine.rego, line 12` or `baseline allowed_hwmodel`.
    pub place: Option<String>,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Errors first.
    pub findings: Vec<Finding>,
    /// How many made-up tokens the policy was tried on.
    pub tried: usize,
    /// SHA-256 of the policy's text, in hex.
    pub policy_sha256: String,
    /// SHA-256 of the baseline's text, in hex.
    pub baseline_sha256: String,
}

impl Checked {
    /// How many findings are as bad as that.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Checks a policy and its baseline. A baseline that does not fit the policy is a finding too.
///
/// # Errors
/// [`PolicyError`] if the policy cannot be compiled at all.
pub fn check(source: PolicySource, baseline: Baseline) -> Result<Checked, PolicyError> {
    let policy = Policy::compile_unfitted(source, baseline)?;
    let links = reading::links(&policy);
    let (mut findings, tried) = probes::findings(&policy, &links);
    findings.extend(reading::findings(&policy, &links));
    findings.sort_by_key(|finding| finding.severity);
    Ok(Checked {
        findings,
        tried,
        policy_sha256: policy.policy_sha256().to_owned(),
        baseline_sha256: policy.baseline_sha256().to_owned(),
    })
}

fn error(code: &'static str, what: String) -> Finding {
    Finding { severity: Severity::Error, code, what, place: None }
}

fn warning(code: &'static str, what: String) -> Finding {
    Finding { severity: Severity::Warning, code, what, place: None }
}

impl Finding {
    fn at(mut self, place: String) -> Self {
        self.place = Some(place);
        self
    }
}
