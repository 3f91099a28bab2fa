//! `uwear audit replay`: past decisions made again, with another policy and baseline.

use std::time::Duration;

use attestation::{Nonce, printable};
use policy::{Evaluation, FactsForReading, Policy};
use rustls_pki_types::UnixTime;
use serde::Serialize;

use super::ReplayArguments;
use super::chain::Link;
use super::line::{Decided, Event, Outcome};
use super::verify::{self, print_changed};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load::{self, Compiled};
use crate::report::{Source, joined};
use crate::text::{BAD, GOOD, NAME, Printer, QUIET, short};

/// Most differences that are kept to be listed; the others are counted.
const MAX_LISTED: usize = 1000;

/// The one object of `--format json`.
#[derive(Serialize)]
struct Object<'a> {
    outcome: &'static str,
    exit_code: u8,
    file: String,
    policy: &'a Source,
    baseline: &'a Source,
    #[serde(flatten)]
    replayed: &'a Replayed,
    /// Where and how the log is broken.
    fault: Option<String>,
}

/// What came of it.
#[derive(Default, Serialize)]
struct Replayed {
    /// Sessions that were decided on again.
    sessions: u64,
    /// Sessions whose token was not authentic: no policy can accept it.
    not_authentic: u64,
    would_be_released: u64,
    would_be_refused: u64,
    /// The first differences.
    differences: Vec<Difference>,
}

/// A session that would have been decided otherwise.
#[derive(Serialize)]
struct Difference {
    /// The number of its decision's line.
    line: u64,
    time: String,
    session: String,
    was_allowed: bool,
    would_be_allowed: bool,
    /// What decides it: the checks and rules that fail now, or those that failed then.
    rules: Vec<Reason>,
}

#[derive(Serialize)]
struct Reason {
    name: String,
    wanted: String,
    got: String,
}

pub(super) fn run(arguments: &ReplayArguments) -> Result<Exit, Failure> {
    let under_test = &arguments.under_test;
    let Compiled { policy, policy_name, baseline_name } =
        load::compiled(&under_test.policy, under_test.baseline.as_deref())?;
    let mut replayed = Replayed::default();
    let read = verify::read(&arguments.log, |link| {
        if let Event::Decided(decided) = &link.line.event {
            replayed.again(&policy, link, decided);
        }
        Ok(())
    })?;
    let exit = match &read {
        Err(_) => Exit::Unexpected,
        Ok(_) if replayed.would_be_released + replayed.would_be_refused > 0 => Exit::NotAcceptable,
        Ok(_) => Exit::Done,
    };
    let source = |name, sha256: &str| Source { name, sha256: sha256.to_owned() };
    let policy_source = source(policy_name, policy.policy_sha256());
    let baseline_source = source(baseline_name, policy.baseline_sha256());
    match (arguments.output.format, read) {
        (Format::Json, read) => crate::print_json(&Object {
            outcome: match exit {
                Exit::Done => "alike",
                Exit::NotAcceptable => "otherwise",
                _ => "changed",
            },
            exit_code: exit.code(),
            file: load::shown(&arguments.log.file),
            policy: &policy_source,
            baseline: &baseline_source,
            replayed: &replayed,
            fault: read.err().map(|changed| changed.to_string()),
        }),
        (Format::Text, Ok(_)) => print(&replayed, &policy_source, &baseline_source),
        (Format::Text, Err(changed)) => print_changed(&changed),
    }
    Ok(exit)
}

impl Replayed {
    fn again(&mut self, policy: &Policy, link: &Link, decided: &Decided) {
        let Some(claims) = &decided.claims else {
            self.not_authentic += 1;
            return;
        };
        self.sessions += 1;
        let evaluation = policy.evaluate(claims, &facts(decided));
        let (was_allowed, would_be_allowed) = (decided.allowed, evaluation.would_allow());
        if was_allowed == would_be_allowed {
            return;
        }
        let count = if would_be_allowed { &mut self.would_be_released } else { &mut self.would_be_refused };
        *count += 1;
        if self.differences.len() < MAX_LISTED {
            self.differences.push(Difference {
                line: link.line.number,
                time: link.line.time.to_string(),
                session: decided.session.to_string(),
                was_allowed,
                would_be_allowed,
                rules: decisive(if would_be_allowed { failed_then(decided) } else { fail_now(&evaluation) }),
            });
        }
    }
}

/// The session as it was then.
fn facts(decided: &Decided) -> FactsForReading {
    FactsForReading {
        nonce: Some(Nonce::from_text(decided.facts.nonce.clone())),
        audience: decided.facts.audience.clone(),
        wire: decided.facts.wire,
        role: decided.facts.role,
        now: UnixTime::since_unix_epoch(Duration::from_secs(decided.now)),
    }
}

/// `allow` alone says nothing that its rules do not say; it stays where it is all that there is.
fn decisive(reasons: Vec<Reason>) -> Vec<Reason> {
    let (allow, others): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|reason| reason.name == "allow");
    if others.is_empty() { allow } else { others }
}

fn failed_then(decided: &Decided) -> Vec<Reason> {
    let failed = decided.checks.iter().chain(&decided.rules).filter(|outcome| outcome.ok == Some(false));
    let shown = |text: &Option<String>| printable(text.as_deref().unwrap_or_default());
    failed
        .map(|Outcome { name, wanted, got, .. }| Reason {
            name: printable(name),
            wanted: shown(wanted),
            got: shown(got),
        })
        .collect()
}

fn fail_now(evaluation: &Evaluation) -> Vec<Reason> {
    let explained = evaluation.explain().into_iter();
    explained
        .filter(|rule| rule.outcome.ok() == Some(false))
        .map(|rule| Reason { name: rule.name, wanted: joined(&rule.wanted), got: joined(&rule.found) })
        .collect()
}

fn print(replayed: &Replayed, policy: &Source, baseline: &Source) {
    let mut printer = Printer::new(Format::Text);
    let Replayed { sessions, not_authentic, would_be_released, would_be_refused, differences } = replayed;
    let otherwise = would_be_released + would_be_refused;
    let note = match otherwise {
        0 => format!(": each of {sessions} sessions would have been decided as it was"),
        _ => format!(
            ": {otherwise} of {sessions} sessions; {would_be_refused} released then would be refused, \
             {would_be_released} refused then would be released"
        ),
    };
    let word = if otherwise == 0 { "ALIKE" } else { "OTHERWISE" };
    printer.verdict((word, otherwise == 0, &note));
    for difference in differences {
        let Difference { line, time, session, .. } = difference;
        let (style, verdict, then) = if difference.would_be_allowed {
            (BAD, "now released", "failed then")
        } else {
            (GOOD, "now refused ", "fails now")
        };
        printer.line("");
        printer.line(format_args!("{style}{verdict}{style:#}  line {line}, {time}, session {session}"));
        for Reason { name, wanted, got } in &difference.rules {
            printer.line(format_args!("  {NAME}{name:<27}{NAME:#} {then}"));
            printer.line(format_args!("      found    {got}"));
            printer.line(format_args!("      wanted   {wanted}"));
        }
    }
    let listed = differences.len() as u64;
    if listed < otherwise {
        printer.line(format_args!("\nand {} more", otherwise - listed));
    }
    printer.line("");
    if *not_authentic > 0 {
        printer.line(format_args!("not replayed: {not_authentic} sessions whose token was not authentic"));
    }
    printer.line(format_args!(
        "{QUIET}policy {} sha256 {}   baseline {} sha256 {}{QUIET:#}",
        policy.name,
        short(&policy.sha256),
        baseline.name,
        short(&baseline.sha256),
    ));
}
