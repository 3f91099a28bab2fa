//! Runs the checker and says what it found.

use std::collections::BTreeSet;

use stateright::{Checker as _, Expectation, Model as _};

use crate::protocol::{Protocol, Setup};
use crate::variant::Variant;

/// What a search through every run has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Moments that differ.
    pub(crate) states: usize,
    /// Properties that a run breaks.
    pub(crate) broken: BTreeSet<&'static str>,
    /// Properties of what should be able to happen, and does not.
    pub(crate) missing: BTreeSet<&'static str>,
}

/// Searches all runs.
///
/// The checker keeps a 64-bit fingerprint of each state, not the state: that two of a million states share one, so that one
/// is not searched, has a chance of 1 in 40 million.
pub(crate) fn search(variant: Variant, setup: Setup) -> Found {
    let protocol = Protocol { variant, setup };
    let checker = protocol.checker().spawn_bfs().join();
    let discovered = checker.discoveries();
    let named = |expectation: Expectation, is_discovered: bool| {
        let properties =
            protocol.properties().into_iter().filter(|property| property.expectation == expectation);
        properties
            .map(|property| property.name)
            .filter(|name| discovered.contains_key(name) == is_discovered)
            .collect()
    };
    Found {
        states: checker.unique_state_count(),
        broken: named(Expectation::Always, true),
        missing: named(Expectation::Sometimes, false),
    }
}

/// One of the shortest runs that break a property, step by step, in words.
///
/// The checker shows the last run that it found, not the shortest: so it looks at longer and longer ones.
pub(crate) fn shortest_attack(variant: Variant, setup: Setup, property: &'static str) -> Vec<String> {
    let protocol = Protocol { variant, setup };
    let run = (1..30)
        .find_map(|depth| protocol.checker().target_max_depth(depth).spawn_bfs().join().discovery(property));
    run.unwrap().into_actions().iter().map(ToString::to_string).collect()
}
