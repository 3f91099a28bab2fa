//! One evaluation: the checks that hold whatever the policy says, and every rule of the policy.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestation::printable;
use regorus::Value as Rego;
use regorus::rvm::RegoVM;
use regorus::rvm::vm::VmError;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Map, Value};

use crate::compile::{Compiled, Rule};
use crate::facts::{self, FactsForReading, SESSION, only_string};
use crate::{Outcome, RuleOutcome};

/// Most time that all rules together may take, shared out evenly. The default policy's take some 30 µs.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Most instructions that one rule may take. The default policy's `allow` takes a few hundred.
const INSTRUCTION_LIMIT: usize = 100_000;

/// Instructions between two looks at the clock. A rule that takes fewer never runs out of time, however busy
/// the machine.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

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
        let allow = Machine::new(policy, &input).run(ALLOW);
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
            let mut machine = Machine::new(&self.policy, &self.input);
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

    fn outcome(&self, machine: &mut Machine, at: usize, rule: &Rule) -> Outcome {
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

/// A virtual machine with program, baseline and input loaded, and its limits set.
struct Machine {
    vm: RegoVM,
    /// Rules and data cannot collide, a baseline with the package's name is refused. Should they, all deny.
    ready: Result<(), VmError>,
}

impl Machine {
    fn new(policy: &Compiled, input: &Rego) -> Self {
        let rules = u32::try_from(policy.rules.len().max(1)).unwrap_or(u32::MAX);
        let mut vm = RegoVM::new();
        vm.load_program(Arc::clone(&policy.program));
        vm.set_max_instructions(INSTRUCTION_LIMIT);
        vm.set_execution_timer_config(Some(ExecutionTimerConfig {
            limit: TIME_LIMIT / rules,
            check_interval: CLOCK_INTERVAL,
        }));
        let ready = vm.set_data(policy.data.clone());
        vm.set_input(input.clone());
        Self { vm, ready }
    }

    /// Runs the rule at this place, which is also that of its entry point.
    fn run(&mut self, at: usize) -> Outcome {
        if let Err(error) = &self.ready {
            return Outcome::Error(printable(&error.to_string()));
        }
        match self.vm.execute_entry_point_by_index(at) {
            Ok(Rego::Bool(value)) => Outcome::of(value),
            Ok(Rego::Undefined) => Outcome::Undefined,
            Ok(_) => Outcome::Error("wanted a boolean, got another value".to_owned()),
            Err(error) => Outcome::Error(printable(&error.to_string())),
        }
    }
}
