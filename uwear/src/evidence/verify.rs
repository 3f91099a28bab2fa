//! `uwear evidence verify`.

use std::path::Path;

use attestation::v1::{Evidence, EvidenceCheck, EvidenceReport, MAX_EVIDENCE_BYTES, Receipt};
use attestation::{Expectation, Verifier, printable};
use rustls_pki_types::UnixTime;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{VerifyEvidence, at_hand, folder};
use crate::cli::Format;
use crate::clock::rfc3339;
use crate::exit::{Exit, Failure};
use crate::load::{self, shown};
use crate::report::Facts;
use crate::text::{BAD, GOOD, Printer, QUIET};

/// The one object of `--format json`.
#[derive(Debug, Default, Serialize)]
struct Verified {
    outcome: &'static str,
    exit_code: u8,
    warnings: Vec<String>,
    sessions: Vec<Session>,
}

/// One file of evidence.
#[derive(Debug, Serialize)]
struct Session {
    file: String,
    valid: bool,
    /// Why it is no evidence at all, if it is none.
    reason: Option<String>,
    /// When its owner verified the token.
    verified_at: Option<String>,
    token_sha256: Option<String>,
    checks: Vec<Row>,
    /// Those of the token's own checks that failed.
    failed_token_checks: Vec<Row>,
    /// What the token says of the workload; only where the token is authentic.
    workload: Option<Workload>,
    /// What the workload has signed; only where its signature is good.
    receipt: Option<Said>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    ok: Option<bool>,
    wanted: String,
    got: String,
}

#[derive(Debug, Serialize)]
struct Workload {
    image: String,
    place: String,
    operator: String,
}

/// A receipt, made safe to show.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Said {
    pub(crate) program: String,
    pub(crate) rules: String,
    pub(crate) time: String,
}

impl Said {
    pub(crate) fn by(receipt: &Receipt) -> Self {
        Self {
            program: printable(&receipt.program),
            rules: printable(&receipt.rules),
            time: rfc3339(receipt.time),
        }
    }
}

pub(super) fn run(arguments: &VerifyEvidence) -> Result<Exit, Failure> {
    let anchors = load::anchors(&arguments.root)?;
    let verifier = Verifier::new(anchors, Expectation::default());
    let files = folder::files(&arguments.path)?;
    let at_hand = arguments.phi.is_some() || arguments.result.is_some();
    match files.len() {
        0 => {
            return Err(Failure::usage(
                format!("evidence folder {}: no evidence in it", shown(&arguments.path)),
                "name the folder that was given to --evidence",
            ));
        }
        several if several > 1 && at_hand => {
            return Err(Failure::usage(
                format!(
                    "--phi and --result belong to one session: wanted one file of evidence, got {several}"
                ),
                "name the file instead of its folder",
            ));
        }
        _ => {}
    }

    let mut printer = Printer::new(arguments.output.format);
    let mut verified = Verified::default();
    verified.warnings.extend(load::other_roots(&verifier));
    for file in &files {
        let session = session(file, &verifier, at_hand.then_some(arguments))?;
        print(&mut printer, &session);
        verified.sessions.push(session);
    }
    let valid = verified.sessions.iter().filter(|session| session.valid).count();
    let exit = if valid == files.len() { Exit::Done } else { Exit::NotProven };
    printer.line(format_args!("{valid} of {} valid", files.len()));
    for warning in &verified.warnings {
        printer.line(format_args!("warning: {warning}"));
    }
    if arguments.output.format == Format::Json {
        crate::print_json(&Verified { outcome: exit.outcome(), exit_code: exit.code(), ..verified });
    }
    Ok(exit)
}

fn session(file: &Path, verifier: &Verifier, at_hand: Option<&VerifyEvidence>) -> Result<Session, Failure> {
    let bytes = Zeroizing::new(load::read(file, "evidence", MAX_EVIDENCE_BYTES + 1)?);
    let parsed = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8 text".to_owned());
    let parsed = parsed
        .and_then(|text| Evidence::parse(text.trim_end()).map_err(|error| printable(&error.to_string())));
    let evidence = match parsed {
        Ok(evidence) => evidence,
        Err(reason) => return Ok(Session::no_evidence(file, reason)),
    };
    let now = UnixTime::now();
    let report = match at_hand {
        None => evidence.verify(verifier, now),
        Some(VerifyEvidence { phi, result, .. }) => {
            let key = folder::key_beside(file)?;
            let contents = at_hand::contents(&key, phi.as_deref(), result.as_deref())?;
            evidence.verify_with_contents(verifier, now, &contents)
        }
    };
    Ok(Session::of(file, &evidence, &report))
}

impl Session {
    fn no_evidence(file: &Path, reason: String) -> Self {
        Self {
            file: shown(file),
            valid: false,
            reason: Some(reason),
            verified_at: None,
            token_sha256: None,
            checks: Vec::new(),
            failed_token_checks: Vec::new(),
            workload: None,
            receipt: None,
        }
    }

    fn of(file: &Path, evidence: &Evidence, report: &EvidenceReport) -> Self {
        let checks = report.checks().iter().map(|outcome| Row {
            name: outcome.check.name(),
            ok: outcome.ok,
            wanted: outcome.wanted.clone(),
            got: outcome.got.clone(),
        });
        let judged =
            report.checks().iter().any(|row| row.check == EvidenceCheck::Token && row.ok == Some(false));
        let failed = report.token().checks().iter().filter(|outcome| judged && outcome.ok == Some(false));
        let failed_token_checks = failed.map(|outcome| Row {
            name: outcome.check.name(),
            ok: outcome.ok,
            wanted: outcome.wanted.clone(),
            got: outcome.got.clone(),
        });
        let workload = report.token().claims().map(Facts::of);
        Self {
            file: shown(file),
            valid: report.valid(),
            reason: None,
            verified_at: Some(rfc3339(evidence.verified_at().as_secs())),
            token_sha256: Some(evidence.token().sha256()),
            checks: checks.collect(),
            failed_token_checks: failed_token_checks.collect(),
            workload: workload.map(|Facts { workload, place, operator }| Workload {
                image: workload,
                place,
                operator,
            }),
            receipt: report.receipt().map(Said::by),
        }
    }
}

fn print(printer: &mut Printer, session: &Session) {
    let (style, verdict) = if session.valid { (GOOD, "VALID") } else { (BAD, "NOT VALID") };
    printer.line(format_args!("{style}{verdict}{style:#}   {}", session.file));
    if let Some(reason) = &session.reason {
        printer.line(format_args!("  no evidence: {reason}"));
    }
    let verified_at = session.verified_at.as_deref();
    let rows = [
        ("when", verified_at.map(|at| format!("{at}, by its owner's clock"))),
        ("workload", session.workload.as_ref().map(|workload| workload.image.clone())),
        ("where", session.workload.as_ref().map(|workload| workload.place.clone())),
        ("who", session.workload.as_ref().map(|workload| workload.operator.clone())),
        (
            "said by",
            session
                .receipt
                .as_ref()
                .map(|said| format!("{}, rules {}, {}", said.program, said.rules, said.time)),
        ),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            printer.line(format_args!("  {name:<9} {value}"));
        }
    }
    for row in session.checks.iter().chain(&session.failed_token_checks) {
        if row.ok == Some(false) {
            printer.line(format_args!("  {BAD}{}{BAD:#}", row.name));
            printer.line(format_args!("      found    {}", row.got));
            printer.line(format_args!("      wanted   {}", row.wanted));
        }
    }
    let compared = ["phi", "result"]
        .into_iter()
        .filter(|name| session.checks.iter().any(|row| row.name == *name && row.ok == Some(true)));
    for name in compared {
        printer.line(format_args!("  {QUIET}the {name} at hand is what the receipt commits to{QUIET:#}"));
    }
}
