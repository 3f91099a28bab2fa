//! The virtual machines that run a policy's rules. One is made for each evaluation that runs at the same time, and kept for
//! the next: making one costs a tenth of an evaluation.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::printable;
use regorus::Value as Rego;
use regorus::rvm::RegoVM;
use regorus::utils::limits::ExecutionTimerConfig;

use crate::Outcome;
use crate::compile::Compiled;

/// Most time that all rules together may take, shared out evenly. The default policy's take some 30 µs.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Most instructions that one rule may take. The default policy's `allow` takes a few hundred.
const INSTRUCTION_LIMIT: usize = 100_000;

/// Instructions between two looks at the clock. A rule that takes fewer never runs out of time, however busy
/// the machine.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// Most machines that are kept: as many as evaluate at the same moment where there are so many cores.
const MOST: usize = 64;

/// The machines of one policy and baseline that nobody uses at the moment.
#[derive(Default)]
pub(crate) struct Machines(Mutex<Vec<RegoVM>>);

/// A machine with program, baseline and input loaded, and its limits set.
///
/// What it has looked at last may stay in its registers until it is used again: claims and facts, which are no secrets.
pub(crate) struct Machine<'a> {
    machines: &'a Machines,
    /// Rules and data cannot collide, a baseline with the package's name is refused. Should they, all deny.
    vm: Result<RegoVM, String>,
    /// Whether a run has ended with an error, or not at all.
    failed: bool,
}

impl Machines {
    fn keep(&self, mut vm: RegoVM) {
        vm.set_input(Rego::Undefined);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST {
            kept.push(vm);
        }
    }
}

impl Compiled {
    /// One of this policy's. Each run of a rule begins with a machine that knows nothing of the runs before.
    pub(crate) fn machine(&self, input: &Rego) -> Machine<'_> {
        let kept = self.machines.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut vm = kept.map_or_else(|| loaded(self), Ok);
        if let Ok(vm) = &mut vm {
            vm.set_input(input.clone());
        }
        Machine { machines: &self.machines, vm, failed: false }
    }
}

fn loaded(policy: &Compiled) -> Result<RegoVM, String> {
    let rules = u32::try_from(policy.rules.len().max(1)).unwrap_or(u32::MAX);
    let mut vm = RegoVM::new();
    vm.load_program(Arc::clone(&policy.program));
    vm.set_max_instructions(INSTRUCTION_LIMIT);
    vm.set_execution_timer_config(Some(ExecutionTimerConfig {
        limit: TIME_LIMIT / rules,
        check_interval: CLOCK_INTERVAL,
    }));
    vm.set_data(policy.data.clone()).map_err(|error| printable(&error.to_string()))?;
    Ok(vm)
}

impl Machine<'_> {
    /// Runs the rule at this place, which is also that of its entry point.
    pub(crate) fn run(&mut self, at: usize) -> Outcome {
        let vm = match &mut self.vm {
            Ok(vm) => vm,
            Err(reason) => return Outcome::Error(reason.clone()),
        };
        // Should the run panic, this stands.
        let failed_before = std::mem::replace(&mut self.failed, true);
        let value = match vm.execute_entry_point_by_index(at) {
            Ok(value) => value,
            Err(error) => return Outcome::Error(printable(&error.to_string())),
        };
        self.failed = failed_before;
        match value {
            Rego::Bool(value) => Outcome::of(value),
            Rego::Undefined => Outcome::Undefined,
            _ => Outcome::Error("wanted a boolean, got another value".to_owned()),
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        // regorus makes a machine ready anew for each run, also after an error; nothing is to hang on that.
        if !self.failed
            && let Ok(vm) = std::mem::replace(&mut self.vm, Err(String::new()))
        {
            self.machines.keep(vm);
        }
    }
}

#[cfg(test)]
mod tests {
    use attestation::Role;
    use rustls_pki_types::UnixTime;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Baseline, FactsForReading, Policy, PolicySource};

    /// Allows Amy, and looks through three lists in all their combinations first.
    const NAMED: &str = "package confidential_space
        import rego.v1
        default allow := false
        allow if {
            every i in input.many { every j in input.many { every k in input.many { i + j + k >= 0 } } }
            input.name == data.name
        }";

    fn policy() -> Policy {
        let source = PolicySource::Custom { name: "named.rego".to_owned(), text: NAMED.to_owned() };
        Policy::compile(source, Baseline::parse(r#"{"name": "Amy"}"#).unwrap()).unwrap()
    }

    fn kept(policy: &Policy) -> usize {
        policy.inner.machines.0.lock().unwrap().len()
    }

    fn allows(policy: &Policy, claims: &Value) -> bool {
        let facts = FactsForReading {
            nonce: None,
            audience: "uwear".to_owned(),
            wire: 1,
            role: Role::Server,
            now: UnixTime::since_unix_epoch(Duration::from_secs(1_757_060_260)),
        };
        policy.evaluate(claims.as_object().unwrap(), &facts).allow_holds()
    }

    #[test]
    fn a_machine_that_is_used_again_judges_as_a_new_one() {
        let policy = policy();
        for (name, allowed) in [("Amy", true), ("Bob", false), ("Amy", true), ("Amy", true), ("Bob", false)] {
            assert_eq!(allows(&policy, &json!({ "name": name, "many": [1] })), allowed, "{name}");
            assert_eq!(kept(&policy), 1, "the same one");
        }
        assert!(allows(&policy, &json!({ "name": "Amy", "many": [] })));
        assert!(!allows(&policy, &json!({ "many": [] })), "nothing is left of the input before");
    }

    #[test]
    fn a_machine_that_has_failed_is_not_used_again() {
        let policy = policy();
        assert!(allows(&policy, &json!({ "name": "Amy", "many": [1] })));
        let many: Vec<u32> = (0..1_000).collect();
        assert!(!allows(&policy, &json!({ "name": "Amy", "many": many })), "more than a rule may take");
        assert_eq!(kept(&policy), 0);
        assert!(allows(&policy, &json!({ "name": "Amy", "many": [1] })));
    }

    #[test]
    fn a_run_that_panics_leaves_no_machine_behind() {
        let policy = policy();
        let panicked = std::panic::catch_unwind(|| {
            let mut machine = policy.inner.machine(&Rego::new_object());
            // As a run leaves it that does not come back.
            machine.failed = true;
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(kept(&policy), 0);
    }

    #[test]
    fn each_run_has_all_the_instructions_that_one_may_take() {
        let policy = policy();
        let many: Vec<u32> = (0..15).collect();
        // All of them together take several times as many.
        for _ in 0..100 {
            assert!(allows(&policy, &json!({ "name": "Amy", "many": many })));
        }
        assert_eq!(kept(&policy), 1);
    }

    #[test]
    fn machines_taken_at_the_same_time_are_as_many_and_only_so_many_are_kept() {
        let policy = policy();
        let input = Rego::new_object();
        let taken: Vec<_> = (0..=MOST).map(|_| policy.inner.machine(&input)).collect();
        assert_eq!(kept(&policy), 0);
        drop(taken);
        assert_eq!(kept(&policy), MOST);
    }

    #[test]
    fn another_baseline_has_machines_of_its_own() {
        let amys = policy();
        let claims = json!({ "name": "Amy", "many": [1] });
        assert!(allows(&amys, &claims));
        let bobs = amys.with_baseline(Baseline::parse(r#"{"name": "Bob"}"#).unwrap()).unwrap();
        assert!(!allows(&bobs, &claims));
        assert!(allows(&amys, &claims));
    }
}
