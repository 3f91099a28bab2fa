//! `uwear verify`: the checks of a release, offline, on a token file.

use policy::{FactsForReading, Role};
use rustls_pki_types::UnixTime;
use session::WIRE_VERSION;

use crate::cli::{Format, VerifyArguments};
use crate::exit::{Exit, Failure};
use crate::load::{self, Judge};
use crate::report::{Facts, Report};
use crate::text::Printer;

pub(crate) fn run(arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let judge = load::judge(&arguments.acceptance)?;
    let token = load::token(&arguments.token)?;
    let now = arguments.now.unwrap_or_else(UnixTime::now);

    let mut report = Report::new(&judge);
    report.judged_at(now);
    report.token_sha256 = Some(token.sha256());
    let verified = judge.verifier.report(&token, now);
    report.verified(&verified, now, &judge.policy);
    let facts = verified.claims().map(Facts::of);

    let exit = match verified.into_verdict() {
        Err(error) => {
            report.reason = Some(error.to_string());
            Exit::NotProven
        }
        Ok(verified) => {
            let nonce = arguments.nonce.as_deref().map(attestation::Nonce::from_text);
            let facts = FactsForReading {
                nonce,
                audience: judge.audience.clone(),
                wire: WIRE_VERSION,
                role: Role::Server,
                now,
            };
            let evaluation = judge.policy.evaluate(verified.claims_json(), &facts);
            report.decided(&evaluation.explain(), evaluation.checks().len());
            if evaluation.would_allow() {
                Exit::Done
            } else {
                report.reason = Some("not acceptable".to_owned());
                Exit::NotAcceptable
            }
        }
    };
    report.ended(exit);
    match arguments.output.format {
        Format::Json => crate::print_json(&report),
        Format::Text => print(&report, &judge, facts.as_ref(), token.as_str().len(), now),
    }
    Ok(exit)
}

fn print(report: &Report, judge: &Judge, facts: Option<&Facts>, bytes: usize, now: UnixTime) {
    let mut printer = Printer::new(Format::Text);
    let unchecked = report.checks.iter().any(|row| row.name == "session_nonce" && row.ok.is_none());
    let note = if unchecked { "    (not checked: nonce, --no-nonce)" } else { "" };
    printer.verdict(match report.exit_code {
        0 => ("AUTHENTIC, accepted by policy", true, note),
        5 => ("AUTHENTIC, but not acceptable", false, note),
        _ => ("NOT AUTHENTIC, or not valid at this time", false, ""),
    });
    printer.line("");
    printer.facts(report, facts, bytes, now.as_secs(), judge.google);
    printer.tally(report);
    for row in report.failures() {
        printer.failure(row, judge);
    }
    if report.exit_code != Exit::Done.code() {
        printer.held(report);
    }
    if report.exit_code == Exit::NotProven.code() {
        printer.not_run(report);
    }
    printer.sources(report);
}
