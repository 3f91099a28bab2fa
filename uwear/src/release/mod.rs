//! `uwear release`: connect, verify, decide, prove ourselves where we are asked to, release.
//!
//! The order is not this file's to choose: each stage is a type of the `session` crate that only the stage
//! before can make, and only an approved one can send.

mod data;
mod failures;
mod nights;
mod own_proof;
mod recorded;

use std::time::Duration;

use attestation::{CertificateSummary, Phi, Token, UnverifiedToken};
use rustls_pki_types::UnixTime;
use session::client::{Answer, AnswerError, Approved, Attested, Presented, ReleaseError, Released};
use session::{ConnectOptions, Endpoint, Limits, LinkError, Wire, connect};
use sleep::Analysis;
use tokio::time::Instant;

use crate::audit::{Judgement, Recorder, Seen};
use crate::cli::{Format, ReleaseArguments};
use crate::evidence::{EvidenceFiles, Said};
use crate::exit::{Exit, Failure};
use crate::load::{self, Judge, NewFile};
use crate::report::Report;
use crate::text::{Printer, short};
use data::{Data, Kept, handed_over};
use failures::{AFTER_RELEASE, before_release, interrupted, no_result, not_connected, not_proven_ourselves};
use own_proof::OwnProof;
pub(crate) use own_proof::OwnProofArguments;

/// A release with everything in hand that can be checked beforehand.
struct Release {
    endpoint: Endpoint,
    options: ConnectOptions,
    own_proof: OwnProof,
    judge: Judge,
    data: Data,
    /// What the owner wants to be sent again where a release brought no result.
    kept: Option<Kept>,
    result_file: Option<NewFile>,
    evidence_files: Option<EvidenceFiles>,
    audit: Option<Recorder>,
    /// What the receipt signs, once it has been verified.
    receipt: Option<String>,
    /// Whether data has left in a session before this one.
    released_before: bool,
    print_result: bool,
    require_result: bool,
    /// Whether every check is to be spelt out also when all is well.
    explain: bool,
    format: Format,
    printer: Printer,
    report: Report,
}

pub(crate) fn run(arguments: &ReleaseArguments) -> Result<Exit, Failure> {
    let (Some(endpoint), Some(phi)) = (&arguments.address, &arguments.phi) else {
        return Err(Failure::usage("ADDRESS and --phi are required", "see `uwear release --help`"));
    };
    let own_proof = OwnProof::new(&arguments.own_proof, arguments.wire)?;
    let judge = load::judge(&arguments.acceptance)?;
    let wire = wire(arguments)?;
    let data = Data::load(phi, arguments.nights)?;
    let kept = arguments.retry_after_release.then(|| data.keep()).transpose()?;
    let audit = arguments.audit_log.as_deref().map(Recorder::open).transpose()?;
    let result_file = arguments.result.as_deref().map(|path| NewFile::create(path, "result")).transpose()?;
    let evidence_files = arguments.evidence.as_deref().map(EvidenceFiles::create).transpose()?;
    let mut report = Report::new(&judge);
    report.endpoint = Some(endpoint.to_string());
    let mut release = Release {
        endpoint: endpoint.clone(),
        options: ConnectOptions { limits: Limits::default(), wire, attest: own_proof.attest },
        own_proof,
        judge,
        data,
        kept,
        result_file,
        evidence_files,
        explain: arguments.output.format == Format::Json || audit.is_some(),
        audit,
        receipt: None,
        released_before: false,
        print_result: arguments.print_result,
        require_result: arguments.require_result,
        format: arguments.output.format,
        printer: Printer::new(arguments.output.format),
        report,
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Unexpected, error.to_string(), ""))?;
    let ended = runtime.block_on(release.persevere(arguments.retry_for));
    match &ended {
        Ok(exit) => release.report.ended(*exit),
        Err(failure) => release.report.failed(failure),
    }
    release.show_audit();
    if arguments.output.format == Format::Json {
        crate::print_json(&release.report);
    }
    // The reasons of a refusal stand in the report; the line on standard error is for all other failures.
    match ended {
        Err(failure)
            if matches!(failure.exit, Exit::NotProven | Exit::NotAcceptable)
                && !release.report.failures().is_empty() =>
        {
            Ok(failure.exit)
        }
        other => other,
    }
}

/// The version to speak: where evidence is asked for or there are many nights, one that has neither will not do.
fn wire(arguments: &ReleaseArguments) -> Result<Wire, Failure> {
    match (arguments.wire, &arguments.evidence, arguments.nights) {
        (Wire::V0, Some(_), _) => {
            Err(Failure::usage("--evidence needs wire version 1", "leave --wire 0 out, or --evidence"))
        }
        (Wire::V0, _, true) => Err(Failure::usage(
            "--nights needs wire version 1",
            "leave --wire 0 out, or release the nights one by one",
        )),
        (wire, None, false) => Ok(wire),
        _ => Ok(Wire::V1),
    }
}

impl Release {
    /// Tries until it is done, refused, or out of time. Each try is a new connection with a new token.
    async fn persevere(&mut self, retry_for: Duration) -> Result<Exit, Failure> {
        let end = Instant::now() + retry_for;
        let mut backoff = FIRST_PAUSE;
        loop {
            let failure = match self.run().await {
                Err(failure)
                    if failure.exit == Exit::NotReached && (self.data.is_there() || self.kept.is_some()) =>
                {
                    failure
                }
                Err(failure) if failure.may_pass && self.kept.is_some() => failure,
                other => return self.after_all(other),
            };
            // Half of it is random, so that those who were turned away together do not come back together. What
            // the server asks for is its choice: it is bounded before anything is computed from it.
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_ASKED);
            let spread = 0.5 + fastrand::f64() / 2.0;
            let pause = backoff.mul_f64(spread).max(asked.mul_f64(0.5 + spread));
            if Instant::now() + pause >= end {
                return self.after_all(Err(failure));
            }
            if let Err(failure) = self.start_over() {
                return self.after_all(Err(failure));
            }
            self.printer.line(format_args!("{}; trying again in {pause:.1?}", failure.what));
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(LONGEST_PAUSE);
        }
    }

    /// Another copy of the data where it has been handed over, and a file for results without those that lack their end.
    fn start_over(&mut self) -> Result<(), Failure> {
        self.released_before |= std::mem::take(&mut self.report.released);
        let (false, Some(kept)) = (self.data.is_there(), &self.kept) else { return Ok(()) };
        self.data = kept.again()?;
        let Some(file) = &mut self.result_file else { return Ok(()) };
        file.empty().map_err(|error| {
            Failure::new(Exit::Unexpected, format!("emptying the result file: {error}"), AFTER_RELEASE)
        })
    }

    /// "Nothing was sent" is true of the last session; it is not of all, where data has left in one before it.
    fn after_all(&mut self, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
        self.report.released |= self.released_before;
        match ended {
            Err(failure) if self.released_before && failure.exit != Exit::Refused => {
                let what = format!("{}; but the data was sent in a session before it", failure.what);
                let exit = if failure.exit == Exit::Unexpected { failure.exit } else { Exit::Refused };
                Err(Failure { exit, what, ..failure })
            }
            other => other,
        }
    }

    async fn run(&mut self) -> Result<Exit, Failure> {
        self.printer.begin(format_args!("Attempting to dial {} ... ", self.endpoint));
        let connected = match connect(&self.endpoint, &self.options).await {
            Ok(connected) => connected,
            Err(error) => {
                self.printer.line("");
                return Err(not_connected(&error));
            }
        };
        let info = connected.info();
        self.report.wire = Some(info.wire);
        self.report.key_exchange = Some(info.key_exchange.clone());
        self.printer.line(format_args!("TLS 1.3, {}, wire version {}", info.key_exchange, info.wire));
        if info.wire == 0 && self.options.wire == Wire::Auto {
            self.report.warn(WIRE_VERSION_0);
        }

        let presented = connected.receive_token().await.map_err(|error| before_release(&error))?;
        self.report.batch = (presented.info().wire == 1).then(|| presented.batch_size());
        let ended = self.judge_and_release(presented).await;
        self.record_end(ended)
    }

    async fn judge_and_release(&mut self, presented: Presented) -> Result<Exit, Failure> {
        let seen = Seen::of(&presented);
        let attested = self.attest(presented, &seen).await?;
        let approved = self.decide(attested, &seen).await?;
        let mut approved = self.prove(approved).await?;
        // The data is only given up to a session that is still there: what is not may be tried again.
        if let Err(error) = approved.still_there().await {
            return Err(before_release(&error));
        }
        match self.data.take() {
            Data::Document(phi) => {
                let released = self.release(approved, phi).await?;
                self.result(released).await
            }
            Data::Nights(nights) => self.release_nights(approved, nights).await,
            Data::HandedOver => Err(handed_over()),
        }
    }

    async fn attest(&mut self, presented: Presented, seen: &Seen) -> Result<Attested, Failure> {
        let now = UnixTime::now();
        self.report.judged_at(now);
        let token = &presented.token().clone();
        let sha256 = token.sha256();
        self.printer.line(format_args!("token: {token}  (sha256 {})", short(&sha256)));
        self.report.token_sha256 = Some(sha256);
        match presented.attest(&self.judge.verifier, now) {
            Ok(attested) => {
                if self.explain {
                    self.report.verified(&self.judge.verifier.report(token, now), now, &self.judge.policy);
                } else {
                    self.report.warn_of_ends(&certificates(token), now);
                }
                self.printer.line("PKI token validated successfully");
                Ok(attested)
            }
            Err(unproven) => {
                self.report.verified(&self.judge.verifier.report(token, now), now, &self.judge.policy);
                self.printer.line("Failed to validate PKI token");
                self.printer.refused(&self.report, &self.judge);
                let failure = Failure::new(Exit::NotProven, unproven.error.to_string(), "");
                self.record_refusal(&Judgement { allowed: false, now, seen, claims: None, commitment: None });
                unproven.close().await;
                Err(failure)
            }
        }
    }

    async fn decide(&mut self, attested: Attested, seen: &Seen) -> Result<Approved, Failure> {
        self.printer.line("Performing OPA query evaluation...");
        let now = UnixTime::now();
        match attested.decide(&self.judge.policy, &self.judge.audience, now) {
            Ok(mut approved) => {
                let decision = approved.decision();
                if self.explain {
                    self.report.decided(&decision.explain(), decision.checks().len());
                }
                self.printer.rules(outcomes(decision.rules()));
                self.printer.line("Policy check PASSED");
                self.printer.line("JWT is authorized.");
                self.printer.sources(&self.report);
                match self.record_approval(&mut approved, seen, now) {
                    Ok(()) => Ok(approved),
                    Err(failure) => {
                        approved.close().await;
                        Err(failure)
                    }
                }
            }
            Err(denied) => {
                if !self.explain {
                    self.report.not_run(&self.judge.policy);
                }
                let decision = &denied.decision;
                self.report.decided(&decision.explain(), decision.checks().len());
                self.printer.rules(outcomes(decision.rules()));
                self.printer.line("Policy check FAILED");
                self.printer.line("Remote TEE's JWT failed policy check.");
                self.printer.refused(&self.report, &self.judge);
                let claims = Some(denied.token.claims_json());
                self.record_refusal(&Judgement { allowed: false, now, seen, claims, commitment: None });
                denied.close().await;
                Err(Failure::new(Exit::NotAcceptable, "remote TEE's JWT failed policy check", ""))
            }
        }
    }

    /// Proves ourselves, where the server asks for it. Whether it accepts us shows in what comes after the release.
    async fn prove(&mut self, approved: Approved) -> Result<Approved, Failure> {
        if !approved.proof_wanted() {
            return Ok(approved);
        }
        self.printer.line("The server wants a proof of ours: asking our own launcher for a token.");
        let approved = self.own_proof.give(approved).await.map_err(|error| not_proven_ourselves(&error))?;
        self.report.mutual = true;
        self.printer.line("Sent our own token.");
        Ok(approved)
    }

    async fn release(&mut self, approved: Approved, phi: Phi) -> Result<Released, Failure> {
        self.printer.line("Validated token and claims. Sending sensitive data");
        match approved.release(phi).await {
            Ok(released) => {
                self.report.released = true;
                self.printer.line("Sent payload.");
                Ok(released)
            }
            Err(ReleaseError::NotBegun(error)) => Err(before_release(&error)),
            Err(error @ ReleaseError::Interrupted(_)) => {
                self.report.released = true;
                Err(interrupted(&error))
            }
            Err(error) => Err(Failure::new(Exit::Unexpected, error.to_string(), "")),
        }
    }

    async fn result(&mut self, released: Released) -> Result<Exit, Failure> {
        match released.result().await {
            Ok(answer) => {
                // One that cannot be kept must not cost the other.
                let evidence = self.keep_evidence(&answer);
                let kept = self.keep(&answer)?;
                evidence.map(|()| kept)
            }
            Err(AnswerError::Link(error)) if self.says_nothing(&error) && !self.require_result => {
                let warning = "no result: the server analysed without answering, as the codelab's does";
                self.report.warnings.push(warning.to_owned());
                self.printer.line(format_args!("warning: {warning}"));
                Ok(Exit::Done)
            }
            Err(error) => Err(no_result(&error)),
        }
    }

    /// A codelab USleep leaves without a word once it has the data. In wire version 1 that is no way to end.
    fn says_nothing(&self, error: &LinkError) -> bool {
        self.report.wire == Some(0)
            && matches!(error, LinkError::Ended | LinkError::Closed { code: None | Some(1000 | 1005), .. })
    }

    fn keep_evidence(&mut self, answer: &Answer) -> Result<(), Failure> {
        let Some(receipted) = answer.receipted() else { return Ok(()) };
        let said = Said::by(&receipted.receipt);
        self.printer
            .line(format_args!("Receipt verified: {}, rules {}, {}", said.program, said.rules, said.time));
        self.report.receipt = Some(said);
        self.receipt = Some(receipted.evidence.receipt().receipt_json().to_owned());
        let Some(files) = &mut self.evidence_files else { return Ok(()) };
        files.keep(receipted).map_err(|error| {
            Failure::new(Exit::Unexpected, format!("writing the evidence: {error}"), AFTER_RELEASE)
        })?;
        let path = load::shown(files.path());
        self.printer.line(format_args!("Evidence written to {path}"));
        self.report.evidence = Some(path);
        Ok(())
    }

    fn keep(&mut self, answer: &Answer) -> Result<Exit, Failure> {
        let invalid = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Refused, format!("what came after the release is {error}"), AFTER_RELEASE)
        };
        let analysis = Analysis::parse(answer.expose().as_bytes()).map_err(|error| invalid(&error))?;
        if let Some(file) = &mut self.result_file {
            file.keep(answer.expose().as_bytes()).map_err(|error| {
                Failure::new(Exit::Unexpected, format!("writing the result: {error}"), AFTER_RELEASE)
            })?;
        }
        if self.print_result {
            self.printer.line("Result:");
            self.printer.begin(analysis.to_text().as_str());
            // Not the message itself: the analysis is what has been made safe to show.
            self.report.result = serde_json::to_value(&analysis).ok();
        } else {
            self.printer.line(match self.result_file {
                Some(_) => "Result received and written.",
                None => "Result received; --print-result shows it, --result FILE keeps it.",
            });
        }
        Ok(Exit::Done)
    }
}

/// Pauses between tries: doubled each time, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// What `--wire auto` says of a server of the codelab's kind.
const WIRE_VERSION_0: &str =
    "wire version 0 was used, since the server does not speak version 1: this session leaves no receipt";

/// What a token brings, by position, where nothing is spelt out and so no report has read it.
fn certificates(token: &Token) -> Vec<Option<CertificateSummary>> {
    let parsed = UnverifiedToken::parse(token.as_str());
    parsed.iter().flat_map(|parsed| parsed.certificates()).map(|der| CertificateSummary::of(der)).collect()
}

fn outcomes(rules: &[policy::RuleOutcome]) -> impl Iterator<Item = (&str, String)> {
    rules.iter().map(|rule| (rule.name.as_str(), rule.outcome.to_string()))
}
