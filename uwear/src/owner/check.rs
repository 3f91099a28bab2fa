//! `uwear policy check`: what a policy and its baseline let through, and what in them can never work.

use policy::{Checked, Finding, Severity};
use serde::Serialize;

use super::{CheckArguments, LOOK, counted};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load;
use crate::report::Source;
use crate::text::{BAD, GOOD, Printer, QUIET, short};

/// The one object of `--format json`.
#[derive(Serialize)]
struct Object<'a> {
    outcome: &'static str,
    exit_code: u8,
    policy: Source,
    baseline: Source,
    /// Made-up tokens that the policy was tried on.
    tried: usize,
    findings: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    severity: String,
    code: &'a str,
    what: &'a str,
    place: Option<&'a str>,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<Exit, Failure> {
    let (baseline, baseline_name) = load::baseline(arguments.under_test.baseline.as_deref())?;
    let source = load::policy_source(&arguments.under_test.policy)?;
    let policy_name = source.name();
    let checked = policy::check(source, baseline).map_err(|error| {
        Failure::usage(error.to_string(), "see policy/confidential_space.rego for a policy that works")
    })?;
    let exit = if checked.count(Severity::Error) == 0 { Exit::Done } else { Exit::NotAcceptable };
    let policy = Source { name: policy_name, sha256: checked.policy_sha256.clone() };
    let baseline = Source { name: baseline_name, sha256: checked.baseline_sha256.clone() };
    match arguments.output.format {
        Format::Json => crate::print_json(&Object {
            outcome: exit.outcome(),
            exit_code: exit.code(),
            policy,
            baseline,
            tried: checked.tried,
            findings: checked.findings.iter().map(row).collect(),
        }),
        Format::Text => print(&checked, &policy, &baseline),
    }
    Ok(exit)
}

fn row(finding: &Finding) -> Row<'_> {
    Row {
        severity: finding.severity.to_string(),
        code: finding.code,
        what: &finding.what,
        place: finding.place.as_deref(),
    }
}

fn print(checked: &Checked, policy: &Source, baseline: &Source) {
    let mut printer = Printer::new(Format::Text);
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    if checked.findings.is_empty() {
        printer.line(format_args!(
            "{GOOD}nothing found{GOOD:#}: every claim and value can occur, and of {} made-up tokens none passed that \
             should not",
            checked.tried
        ));
    } else {
        let style = if errors == 0 { LOOK } else { BAD };
        printer.line(format_args!(
            "{style}{}, {}{style:#}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ));
        printer.line("");
    }
    for Finding { severity, code, what, place, .. } in &checked.findings {
        let style = if *severity == Severity::Error { BAD } else { LOOK };
        let place = place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        printer.line(format_args!("{style}{severity:<8}{style:#} {code:<26} {place}{what}"));
    }
    printer.line("");
    printer.line(format_args!(
        "{QUIET}policy {} sha256 {}   baseline {} sha256 {}{QUIET:#}",
        policy.name,
        short(&policy.sha256),
        baseline.name,
        short(&baseline.sha256),
    ));
}
