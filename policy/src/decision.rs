//! What comes out of an evaluation. Only a [`Decision`] about a verified token can become an [`Allowance`].

use std::fmt;
use std::sync::Arc;

use attestation::VerifiedToken;
use serde_json::{Map, Value};

use crate::compile::Compiled;
use crate::evaluate::Judged;
use crate::explain::{Explained, explain};
use crate::{FactsForReading, Policy, SessionFacts};

/// What a rule or a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// No definition of the rule applies. Denies like [`Outcome::False`].
    Undefined,
    /// It could not be evaluated in the limits, or is no boolean. Denies; the text is printable.
    Error(String),
    /// The session's nonce was not known, offline. Never part of a [`Decision`].
    NotChecked,
}

impl Outcome {
    pub(crate) fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    /// True, false, or `None` where nothing was checked. Undefined and errors are false.
    pub fn ok(&self) -> Option<bool> {
        match self {
            Self::True => Some(true),
            Self::False | Self::Undefined | Self::Error(_) => Some(false),
            Self::NotChecked => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::False => f.write_str("false"),
            Self::Undefined => f.write_str("undefined"),
            Self::Error(reason) => write!(f, "error: {reason}"),
            Self::NotChecked => f.write_str("not checked"),
        }
    }
}

/// A rule or check by name, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOutcome {
    /// The rule's name in the policy, or the check's.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// Permission to release data over the session for which it was decided.
///
/// It exists only inside a [`Decision`] that allows, and is given up once. It names what it rests on.
pub struct Allowance {
    policy: Arc<Compiled>,
}

impl Allowance {
    /// SHA-256 of the policy's text, in hex.
    pub fn policy_sha256(&self) -> &str {
        &self.policy.policy_sha256
    }

    /// SHA-256 of the baseline's text, in hex.
    pub fn baseline_sha256(&self) -> &str {
        self.policy.baseline.sha256()
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance")
            .field("policy_sha256", &self.policy_sha256())
            .field("baseline_sha256", &self.baseline_sha256())
            .finish()
    }
}

/// The verdict on one verified token for one session.
pub struct Decision {
    judged: Judged,
    allowance: Option<Allowance>,
}

/// The verdict on claims that may be anybody's, for looking at them offline. It cannot become an [`Allowance`].
pub struct Evaluation {
    judged: Judged,
}

/// A decision that does not allow.
pub struct Denied(Box<Decision>);

impl Policy {
    /// Decides whether this token is acceptable for this session.
    ///
    /// Whatever the policy says, these must hold too, and are reported by [`Decision::checks`]:
    /// `session_nonce` (the token's nonces are exactly one and equal to ours, compared in constant time),
    /// `session_audience` (its audiences are exactly one and equal to ours) and `session_claim_absent` (it has no claim
    /// named `session`, the name under which rules see our facts).
    pub fn decide(&self, token: &VerifiedToken, facts: &SessionFacts) -> Decision {
        let facts = FactsForReading::from(facts.clone());
        let judged = Judged::new(&self.inner, token.claims_json(), &facts);
        let allowance = judged.allows().then(|| Allowance { policy: Arc::clone(&self.inner) });
        Decision { judged, allowance }
    }

    /// Evaluates claims that may be anybody's, for looking at them offline and for testing policies.
    pub fn evaluate(&self, claims: &Map<String, Value>, facts: &FactsForReading) -> Evaluation {
        Evaluation { judged: Judged::new(&self.inner, claims, facts) }
    }
}

impl Decision {
    /// The policy's rules: `allow` first, the others in the order of the policy's text. The others decide
    /// nothing beside `allow`, and are evaluated when first asked for.
    pub fn rules(&self) -> &[RuleOutcome] {
        self.judged.rules()
    }

    /// The checks that hold whatever the policy says.
    pub fn checks(&self) -> &[RuleOutcome] {
        &self.judged.checks
    }

    /// Whether data may be released.
    pub fn allowed(&self) -> bool {
        self.allowance.is_some()
    }

    /// SHA-256 of the policy's text, in hex.
    pub fn policy_sha256(&self) -> &str {
        &self.judged.policy.policy_sha256
    }

    /// SHA-256 of the baseline's text, in hex.
    pub fn baseline_sha256(&self) -> &str {
        self.judged.policy.baseline.sha256()
    }

    /// For every check and rule: what it found in the claims and what it wanted. Built when asked.
    pub fn explain(&self) -> Vec<Explained> {
        explain(&self.judged)
    }

    /// The permission itself, once.
    ///
    /// # Errors
    /// [`Denied`], with the decision, if data may not be released.
    pub fn into_allowance(mut self) -> Result<Allowance, Denied> {
        match self.allowance.take() {
            Some(allowance) => Ok(allowance),
            None => Err(Denied(Box::new(self))),
        }
    }
}

impl Evaluation {
    /// The policy's rules: `allow` first, the others in the order of the policy's text.
    pub fn rules(&self) -> &[RuleOutcome] {
        self.judged.rules()
    }

    /// The checks that a decision makes whatever the policy says.
    pub fn checks(&self) -> &[RuleOutcome] {
        &self.judged.checks
    }

    /// Whether nothing that was checked stands in the way.
    pub fn would_allow(&self) -> bool {
        self.judged.passes()
    }

    /// Whether `allow` alone holds, whatever the checks come to.
    pub(crate) fn allow_holds(&self) -> bool {
        self.judged.allow == Outcome::True
    }

    /// For every check and rule: what it found in the claims and what it wanted.
    pub fn explain(&self) -> Vec<Explained> {
        explain(&self.judged)
    }
}

impl Denied {
    /// The decision, to be reported.
    pub fn decision(&self) -> &Decision {
        &self.0
    }

    /// Names of the checks and rules that are not true.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.0.judged.failed()
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<_> = self.failed().collect();
        write!(f, "not acceptable: {}", failed.join(", "))
    }
}

impl std::error::Error for Denied {}

fn debug(f: &mut fmt::Formatter<'_>, name: &str, judged: &Judged) -> fmt::Result {
    f.debug_struct(name)
        .field("passes", &judged.passes())
        .field("failed", &judged.failed().collect::<Vec<_>>())
        .finish_non_exhaustive()
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Decision", &self.judged)
    }
}

impl fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Evaluation", &self.judged)
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Denied", &self.0.judged)
    }
}
