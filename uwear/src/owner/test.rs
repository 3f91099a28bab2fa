//! `uwear policy test`: a folder of cases through the policy that they are about.

use std::path::Path;

use policy::cases::{CasesError, Suite};

use super::{TestArguments, UnderTest, counted};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load::{self, shown};
use crate::text::{BAD, GOOD, NAME, Printer};

pub(super) fn run(arguments: &TestArguments) -> Result<Exit, Failure> {
    let suite = Suite::read(&arguments.folder).map_err(|error| unusable(&error))?;
    // Cases that name a shipped policy bring its baseline: then none has to be there.
    let needed = suite.cases().iter().any(|case| case.policy().is_none());
    if !needed && arguments.under_test.policy != Path::new("default") {
        return Err(Failure::usage(
            format!(
                "cases {}: none is about {}",
                shown(&arguments.folder),
                shown(&arguments.under_test.policy)
            ),
            "leave `policy` out of the cases that are about the policy under test, or leave --policy out",
        ));
    }
    let UnderTest { policy, baseline } = &arguments.under_test;
    let policy = needed.then(|| load::compiled(policy, baseline.as_deref())).transpose()?;
    let policy = policy.map(|compiled| compiled.policy);
    let results = suite.run(policy.as_ref()).map_err(|error| unusable(&error))?;

    let mut printer = Printer::new(Format::Text);
    let failed: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    let widest = failed.iter().map(|result| result.name.chars().count()).max().unwrap_or(0);
    for result in &failed {
        let mismatches: Vec<String> = result
            .mismatches
            .iter()
            .map(|rule| format!("{} wanted {}, got {}", rule.name, rule.wanted, rule.got))
            .collect();
        printer.line(format_args!(
            "{BAD}failed{BAD:#}   {NAME}{:<widest$}{NAME:#}   {}",
            result.name,
            mismatches.join("; ")
        ));
    }
    let passed = results.len() - failed.len();
    if failed.is_empty() {
        printer.line(format_args!("{GOOD}{} passed{GOOD:#}", counted(passed, "case")));
        return Ok(Exit::Done);
    }
    printer.line(format_args!("{BAD}{} failed{BAD:#}, {passed} passed", counted(failed.len(), "case")));
    Ok(Exit::NotAcceptable)
}

fn unusable(error: &CasesError) -> Failure {
    let next = match error {
        CasesError::Read { .. } | CasesError::None { .. } => "name a folder of cases, such as policy/cases",
        CasesError::UnknownRule { .. } => {
            "correct the name, or test the policy that has it with --policy FILE"
        }
        CasesError::Policy { .. } => "correct the case's data, or the baseline that it changes",
        _ => "see policy/cases/README.md for what a case holds",
    };
    Failure::usage(format!("cases: {error}"), next)
}
