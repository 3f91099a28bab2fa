//! One evaluation: the checks that hold whatever the policy says, and every rule of the policy.

use std::sync::{Arc, OnceLock};

use regorus::Value as Rego;
use serde_json::{Map, Value};

use crate::compile::{Compiled, Rule};
use crate::facts::{self, FactsForReading, SESSION, only_string};
use crate::machine::Machine;
use crate::{Outcome, RuleOutcome};

/// The place of `allow` among the rules.
const ALLOW: usize = 0;

/// Names of the checks that hold whatever the policy says.
pub(crate) const SESSION_NONCE: &str = "session_nonce";
pub(crate) const SESSION_AUDIENCE: &str = "session_audience";
pub(crate) const SESSION_CLAIM: &str = "session_claim_absent";

/// What an evaluation found, with all that is needed to report and explain it later.
///
/// The verdict rests on the checks and `allow`. The rules beside `allow` decide nothing, so they are run when
/// somebody asks for them: they are half of an evaluation's cost.
pub(crate) struct Judged {
    pub(crate) policy: Arc<Compiled>,
    pub(crate) input: Rego,
    pub(crate) audience: String,
    pub(crate) checks: Vec<RuleOutcome>,
    pub(crate) allow: Outcome,
    nonce_is_known: bool,
    rules: OnceLock<Vec<RuleOutcome>>,
}

impl Judged {
    /// Evaluates the checks and `allow`.
    pub(crate) fn new(policy: &Arc<Compiled>, claims: &Map<String, Value>, facts: &FactsForReading) -> Self {
        let input = facts::input(claims, facts);
        let allow = policy.machine(&input).run(ALLOW);
        Self {
            policy: Arc::clone(policy),
            input,
            audience: facts.audience.clone(),
            checks: session_checks(claims, facts),
            allow,
            nonce_is_known: facts.nonce.is_some(),
            rules: OnceLock::new(),
        }
    }

    /// Whether data may be released: every check and `allow` are true.
    pub(crate) fn allows(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == Outcome::True) && self.allow == Outcome::True
    }

    /// The same for reading offline, where a check may be left out.
    pub(crate) fn passes(&self) -> bool {
        let passed = |check: &RuleOutcome| matches!(check.outcome, Outcome::True | Outcome::NotChecked);
        self.checks.iter().all(passed) && self.allow == Outcome::True
    }

    /// `allow` and every other rule, all of them also after a failure: a refusal shows all its reasons.
    pub(crate) fn rules(&self) -> &[RuleOutcome] {
        self.rules.get_or_init(|| {
            let mut machine = self.policy.machine(&self.input);
            self.policy
                .rules
                .iter()
                .enumerate()
                .map(|(at, rule)| RuleOutcome {
                    name: rule.name.clone(),
                    outcome: self.outcome(&mut machine, at, rule),
                })
                .collect()
        })
    }

    fn outcome(&self, machine: &mut Machine<'_>, at: usize, rule: &Rule) -> Outcome {
        if at == ALLOW {
            return self.allow.clone();
        }
        match machine.run(at) {
            Outcome::True if !self.nonce_is_known && rule.reads_session_nonce() => Outcome::NotChecked,
            outcome => outcome,
        }
    }

    /// Names of all checks and rules that are not true, in order.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks
            .iter()
            .chain(self.rules())
            .filter(|rule| !matches!(rule.outcome, Outcome::True | Outcome::NotChecked))
            .map(|rule| rule.name.as_str())
    }
}

fn session_checks(claims: &Map<String, Value>, facts: &FactsForReading) -> Vec<RuleOutcome> {
    let nonce = match (&facts.nonce, only_string(claims, "eat_nonce")) {
        (Some(wanted), Some(got)) => Outcome::of(wanted.matches(got)),
        (Some(_), None) => Outcome::False,
        (None, _) => Outcome::NotChecked,
    };
    let audience = only_string(claims, "aud").is_some_and(|got| got == facts.audience);
    [
        (SESSION_NONCE, nonce),
        (SESSION_AUDIENCE, Outcome::of(audience)),
        (SESSION_CLAIM, Outcome::of(!claims.contains_key(SESSION))),
    ]
    .map(|(name, outcome)| RuleOutcome { name: name.to_owned(), outcome })
    .into()
}
