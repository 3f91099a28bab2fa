//! One evaluation: the checks that hold whatever the policy says, and every rule of the policy.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use attestation::printable;
use regorus::Value as Rego;
use regorus::rvm::RegoVM;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Map, Value};

use crate::compile::Compiled;
use crate::facts::{self, FactsForReading, SESSION, only_string};
use crate::{Outcome, RuleOutcome};

/// Most time that all rules together may take, shared out evenly. The default policy's take some 30 µs.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Most instructions that one rule may take. The default policy's `allow` takes a few hundred.
const INSTRUCTION_LIMIT: usize = 100_000;

/// Instructions between two looks at the clock. A rule that takes fewer never runs out of time, however busy
/// the machine.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Names of the checks that hold whatever the policy says.
pub(crate) const SESSION_NONCE: &str = "session_nonce";
pub(crate) const SESSION_AUDIENCE: &str = "session_audience";
pub(crate) const SESSION_CLAIM: &str = "session_claim_absent";

/// What an evaluation found, with all that is needed to explain it later.
pub(crate) struct Judged {
    pub(crate) policy: Arc<Compiled>,
    pub(crate) input: Rego,
    pub(crate) audience: String,
    pub(crate) checks: Vec<RuleOutcome>,
    pub(crate) rules: Vec<RuleOutcome>,
}

impl Judged {
    /// Whether data may be released: every check and `allow` are true.
    pub(crate) fn allows(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == Outcome::True) && self.allow_is_true()
    }

    /// The same for reading offline, where a check may be left out.
    pub(crate) fn passes(&self) -> bool {
        let passed = |check: &RuleOutcome| matches!(check.outcome, Outcome::True | Outcome::NotChecked);
        self.checks.iter().all(passed) && self.allow_is_true()
    }

    fn allow_is_true(&self) -> bool {
        self.rules.first().is_some_and(|allow| allow.outcome == Outcome::True)
    }

    /// Names of all checks and rules that are not true, in order.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks
            .iter()
            .chain(&self.rules)
            .filter(|rule| !matches!(rule.outcome, Outcome::True | Outcome::NotChecked))
            .map(|rule| rule.name.as_str())
    }
}

/// Evaluates everything, also after a failure: a refusal shows all its reasons.
pub(crate) fn evaluate(
    policy: &Arc<Compiled>,
    claims: &Map<String, Value>,
    facts: &FactsForReading,
) -> Judged {
    let input = facts::input(claims, facts);
    let rules = run_rules(policy, &input, facts.nonce.is_some());
    Judged {
        policy: Arc::clone(policy),
        input,
        audience: facts.audience.clone(),
        checks: session_checks(claims, facts),
        rules,
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

fn run_rules(policy: &Compiled, input: &Rego, nonce_is_known: bool) -> Vec<RuleOutcome> {
    let rules = u32::try_from(policy.rules.len().max(1)).unwrap_or(u32::MAX);
    let mut vm = RegoVM::new();
    vm.load_program(Arc::clone(&policy.program));
    vm.set_max_instructions(INSTRUCTION_LIMIT);
    vm.set_execution_timer_config(Some(ExecutionTimerConfig {
        limit: TIME_LIMIT / rules,
        check_interval: CLOCK_INTERVAL,
    }));
    // Rules and data cannot collide: a baseline with the package's name is refused. Should they, all deny.
    let ready = vm.set_data(policy.data.clone());
    vm.set_input(input.clone());

    let mut outcome = |at: usize| {
        if let Err(error) = &ready {
            return Outcome::Error(printable(&error.to_string()));
        }
        match vm.execute_entry_point_by_index(at) {
            Ok(Rego::Bool(value)) => Outcome::of(value),
            Ok(Rego::Undefined) => Outcome::Undefined,
            Ok(_) => Outcome::Error("wanted a boolean, got another value".to_owned()),
            Err(error) => Outcome::Error(printable(&error.to_string())),
        }
    };
    policy
        .rules
        .iter()
        .enumerate()
        .map(|(at, rule)| {
            let outcome = match outcome(at) {
                Outcome::True if at > 0 && !nonce_is_known && rule.reads_session_nonce() => {
                    Outcome::NotChecked
                }
                outcome => outcome,
            };
            RuleOutcome { name: rule.name.clone(), outcome }
        })
        .collect()
}

impl crate::compile::Rule {
    fn reads_session_nonce(&self) -> bool {
        self.reads.iter().any(|path| path.iter().eq(["input", SESSION, "nonce"]))
    }
}
