//! `uwear release`: connect, verify, decide, release.
//!
//! The order is not this file's to choose: each stage is a type of the `session` crate that only the stage
//! before can make, and only an approved one can send.

use std::time::Duration;

use attestation::{CertificateSummary, Phi, Token, UnverifiedToken};
use rustls_pki_types::UnixTime;
use session::client::{Answer, AnswerError, Approved, Attested, Presented, ReleaseError, Released};
use session::{ConnectError, ConnectOptions, Endpoint, LinkError, Wire, connect};
use sleep::Analysis;
use tokio::time::Instant;

use crate::cli::{Format, ReleaseArguments};
use crate::clock::span;
use crate::exit::{Exit, Failure};
use crate::load::{self, Judge, ResultFile};
use crate::report::Report;
use crate::text::{Printer, short};

/// A release with everything in hand that can be checked beforehand.
struct Release {
    endpoint: Endpoint,
    options: ConnectOptions,
    judge: Judge,
    /// None once it has been handed over to be sent.
    phi: Option<Phi>,
    result_file: Option<ResultFile>,
    print_result: bool,
    require_result: bool,
    /// Whether every check is to be spelt out also when all is well.
    explain: bool,
    printer: Printer,
    report: Report,
}

pub(crate) fn run(arguments: &ReleaseArguments) -> Result<Exit, Failure> {
    let (Some(endpoint), Some(phi)) = (&arguments.address, &arguments.phi) else {
        return Err(Failure::usage("ADDRESS and --phi are required", "see `uwear release --help`"));
    };
    let judge = load::judge(&arguments.acceptance)?;
    let phi = load::phi(phi)?;
    let result_file = arguments.result.as_deref().map(ResultFile::create).transpose()?;
    let mut report = Report::new(&judge);
    report.endpoint = Some(endpoint.to_string());
    let mut release = Release {
        endpoint: endpoint.clone(),
        options: ConnectOptions { wire: arguments.wire, ..ConnectOptions::default() },
        judge,
        phi: Some(phi),
        result_file,
        print_result: arguments.print_result,
        require_result: arguments.require_result,
        explain: arguments.output.format == Format::Json,
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
    if arguments.output.format == Format::Json {
        crate::print_json(&release.report);
    }
    // The reasons of a refusal stand in the report; the line on standard error is for all other failures.
    match ended {
        Err(failure)
            if matches!(failure.exit, Exit::NotProven | Exit::NotAcceptable)
                && !release.report.checks.is_empty() =>
        {
            Ok(failure.exit)
        }
        other => other,
    }
}

impl Release {
    /// Tries until it is done, refused, or out of time. Each try is a new connection with a new token.
    async fn persevere(&mut self, retry_for: Duration) -> Result<Exit, Failure> {
        let end = Instant::now() + retry_for;
        let mut backoff = FIRST_PAUSE;
        loop {
            let failure = match self.run().await {
                Err(failure) if failure.exit == Exit::NotReached && self.phi.is_some() => failure,
                other => return other,
            };
            // Half of it is random, so that those who were turned away together do not come back together. What
            // the server asks for is its choice: it is bounded before anything is computed from it.
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_ASKED);
            let pause = backoff.mul_f64(0.5 + fastrand::f64() / 2.0).max(asked);
            if Instant::now() + pause >= end {
                return Err(failure);
            }
            self.printer.line(format_args!("{}; trying again in {pause:.1?}", failure.what));
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(LONGEST_PAUSE);
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
        let attested = self.attest(presented).await?;
        let approved = self.decide(attested).await?;
        let released = self.release(approved).await?;
        self.result(released).await
    }

    async fn attest(&mut self, presented: Presented) -> Result<Attested, Failure> {
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
                unproven.close().await;
                Err(failure)
            }
        }
    }

    async fn decide(&mut self, attested: Attested) -> Result<Approved, Failure> {
        self.printer.line("Performing OPA query evaluation...");
        match attested.decide(&self.judge.policy, &self.judge.audience, UnixTime::now()) {
            Ok(approved) => {
                let decision = approved.decision();
                if self.explain {
                    self.report.decided(&decision.explain(), decision.checks().len());
                }
                self.printer.rules(outcomes(decision.rules()));
                self.printer.line("Policy check PASSED");
                self.printer.line("JWT is authorized.");
                self.printer.sources(&self.report);
                Ok(approved)
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
                denied.close().await;
                Err(Failure::new(Exit::NotAcceptable, "remote TEE's JWT failed policy check", ""))
            }
        }
    }

    async fn release(&mut self, approved: Approved) -> Result<Released, Failure> {
        self.printer.line("Validated token and claims. Sending sensitive data");
        let Some(phi) = self.phi.take() else {
            return Err(Failure::new(Exit::Unexpected, "the data has been handed over before", ""));
        };
        match approved.release(phi).await {
            Ok(released) => {
                self.report.released = true;
                self.printer.line("Sent payload.");
                Ok(released)
            }
            Err(ReleaseError::NotBegun(error)) => Err(before_release(&error)),
            Err(error @ ReleaseError::Interrupted(_)) => {
                self.report.released = true;
                Err(Failure::new(Exit::Refused, error.to_string(), AFTER_RELEASE))
            }
            Err(error) => Err(Failure::new(Exit::Unexpected, error.to_string(), "")),
        }
    }

    async fn result(&mut self, released: Released) -> Result<Exit, Failure> {
        match released.result().await {
            Ok(answer) => self.keep(&answer),
            Err(AnswerError::Link(error)) if self.says_nothing(&error) && !self.require_result => {
                let warning = "no result: the server analysed without answering, as the codelab's does";
                self.report.warnings.push(warning.to_owned());
                self.printer.line(format_args!("warning: {warning}"));
                Ok(Exit::Done)
            }
            Err(error) => Err(Failure::new(
                Exit::Refused,
                format!("no result after the release: {error}"),
                AFTER_RELEASE,
            )),
        }
    }

    /// A codelab USleep leaves without a word once it has the data. In wire version 1 that is no way to end.
    fn says_nothing(&self, error: &LinkError) -> bool {
        self.report.wire == Some(0)
            && matches!(error, LinkError::Ended | LinkError::Closed { code: None | Some(1000 | 1005), .. })
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

const AFTER_RELEASE: &str = "the data may have been received: do not send it again without thinking";

/// What a token brings, by position, where nothing is spelt out and so no report has read it.
fn certificates(token: &Token) -> Vec<Option<CertificateSummary>> {
    let parsed = UnverifiedToken::parse(token.as_str());
    parsed.iter().flat_map(|parsed| parsed.certificates()).map(|der| CertificateSummary::of(der)).collect()
}

fn outcomes(rules: &[policy::RuleOutcome]) -> impl Iterator<Item = (&str, String)> {
    rules.iter().map(|rule| (rule.name.as_str(), rule.outcome.to_string()))
}

fn not_connected(error: &ConnectError) -> Failure {
    if let ConnectError::Busy { retry_after: Some(wait) } = error {
        let next = format!("try again in {}", span(wait.as_secs()));
        let failure = Failure::new(Exit::NotReached, format!("{error}; nothing was sent"), next);
        return Failure { retry_after: Some(*wait), ..failure };
    }
    let (exit, next) = match error {
        ConnectError::Name { .. } => (Exit::Usage, "give an IP address or a host name"),
        ConnectError::Resolve { .. } => (Exit::NotReached, "check the name, or give the IP address"),
        ConnectError::Unreachable { .. } | ConnectError::ConnectTimeout { .. } => {
            (Exit::NotReached, "check that USleep runs and that its firewall lets TCP port 8081 through")
        }
        ConnectError::HandshakeTimeout { .. } | ConnectError::Lost(_) | ConnectError::Socket(_) => {
            (Exit::NotReached, "check that the address is USleep's, then try again")
        }
        ConnectError::Busy { .. } => (Exit::NotReached, "try again later"),
        ConnectError::Refused { .. } => (Exit::Refused, "check that the address is USleep's"),
        ConnectError::TlsVersion => (
            Exit::NotProven,
            "USleep speaks TLS 1.3: something else answered, or something in between ends TLS",
        ),
        ConnectError::NotTls => (Exit::NotProven, "check the address and the port"),
        _ => (Exit::NotProven, "check that the address is USleep's"),
    };
    Failure::new(exit, format!("{error}; nothing was sent"), next)
}

/// Design of the exit codes: what may be better next time is 3, a refusal is 6, anything that is no proof is 4.
fn before_release(error: &LinkError) -> Failure {
    let (exit, next) = match error {
        LinkError::Closed { code: Some(1003 | 1008), .. } => (Exit::Refused, "see USleep's log"),
        LinkError::Closed { code: Some(1011), .. } => {
            (Exit::NotReached, "USleep got no token from its launcher: see its log, then try again")
        }
        LinkError::Closed { .. } | LinkError::Ended | LinkError::Timeout { .. } => {
            (Exit::NotReached, "try again; if it stays, see USleep's log")
        }
        _ => (Exit::NotProven, "check that the address is USleep's"),
    };
    Failure::new(exit, format!("no token: {error}; nothing was sent"), next)
}
