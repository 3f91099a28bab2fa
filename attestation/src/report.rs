//! Every check with what it wanted and what it found, for people and for `--format json`.

use rustls_pki_types::UnixTime;

use crate::chain::CertificateSummary;
use crate::claims::Claims;
use crate::error::{Check, VerifyError};
use crate::message::{MAX_TOKEN_BYTES, Token};
use crate::printable;
use crate::token::{ALGORITHM, UnverifiedToken, X5C_CERTIFICATES};
use crate::verify::{Failures, VerifiedToken, Verifier};

/// One check: what was wanted, what was found, how it ended. Strings are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// Which check.
    pub check: Check,
    /// `None`: not run, because what it would have judged is not authentic or was never reached.
    pub ok: Option<bool>,
    /// What it wanted.
    pub wanted: String,
    /// What it found; empty where it did not run.
    pub got: String,
}

/// The outcome of every check, and the verdict of the same pass.
#[derive(Debug)]
pub struct Report {
    checks: Vec<CheckOutcome>,
    certificates: Vec<Option<CertificateSummary>>,
    claims: Option<Claims>,
    verdict: Result<VerifiedToken, VerifyError>,
}

impl Report {
    pub(crate) fn new(
        verifier: &Verifier,
        token: &Token,
        now: UnixTime,
        passed: Result<VerifiedToken, Failures>,
    ) -> Self {
        let unverified = UnverifiedToken::parse(token.as_str()).ok();
        let certificates = unverified.iter().flat_map(|parsed| parsed.certificates());
        // By position: one that cannot be read must not give its place to the next.
        let certificates: Vec<_> = certificates.map(|der| CertificateSummary::of(der)).collect();
        let (failed, claims) = match &passed {
            Ok(verified) => (Vec::new(), Some(verified.claims().clone())),
            Err(failures) => (
                std::iter::once(&failures.first).chain(&failures.others).collect(),
                failures.claims.as_deref().cloned(),
            ),
        };
        let facts = Facts {
            verifier,
            token,
            now: now.as_secs(),
            certificates: &certificates,
            claims: claims.as_ref(),
        };
        let checks = Check::ALL.map(|check| facts.outcome(check, &failed)).to_vec();
        Self { checks, certificates, claims, verdict: passed.map_err(|failures| failures.first) }
    }

    /// The checks, in order, all of them.
    pub fn checks(&self) -> &[CheckOutcome] {
        &self.checks
    }

    /// The certificates by their position in `x5c`: leaf, intermediate, root; `None` for one whose names and dates
    /// cannot be read. None at all where the header is not one that brings three. Verified only as far as the checks
    /// say.
    pub fn certificates(&self) -> &[Option<CertificateSummary>] {
        &self.certificates
    }

    /// The claims, where the signature is good, whatever issuer and times are.
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    /// The verdict.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verdict(&self) -> Result<&VerifiedToken, &VerifyError> {
        self.verdict.as_ref()
    }

    /// The verdict, for what comes next.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn into_verdict(self) -> Result<VerifiedToken, VerifyError> {
        self.verdict
    }
}

/// What the outcomes are described from.
struct Facts<'a> {
    verifier: &'a Verifier,
    token: &'a Token,
    now: u64,
    /// Leaf, intermediate, root; `None` for one that path validation may take and a reader of names cannot read.
    certificates: &'a [Option<CertificateSummary>],
    claims: Option<&'a Claims>,
}

impl Facts<'_> {
    fn outcome(&self, check: Check, failed: &[&VerifyError]) -> CheckOutcome {
        let wanted = self.wanted(check);
        if let Some(error) = failed.iter().find(|error| error.check() == check) {
            return CheckOutcome { check, ok: Some(false), wanted, got: printable(&error.to_string()) };
        }
        let ended_before = failed.iter().any(|error| error.check().ends_the_pass() && error.check() < check);
        if ended_before {
            return CheckOutcome { check, ok: None, wanted, got: String::new() };
        }
        CheckOutcome { check, ok: Some(true), wanted, got: self.got(check) }
    }

    fn wanted(&self, check: Check) -> String {
        let expectation = self.verifier.expectation();
        let leeway = expectation.leeway.as_secs();
        match check {
            Check::Size => format!("at most {MAX_TOKEN_BYTES} bytes"),
            Check::Shape => "three segments of strict base64url".to_owned(),
            Check::Header => "a JSON object with unique names".to_owned(),
            Check::Algorithm => ALGORITHM.to_owned(),
            Check::Critical => "no critical extensions".to_owned(),
            Check::X5c => format!("{X5C_CERTIFICATES} certificates, strict base64 and DER"),
            Check::RootPinned => format!("sha256 {}", self.verifier.anchors().fingerprints().join(" or ")),
            Check::Chain => "leaf, intermediate, root: a path that is valid now".to_owned(),
            Check::RootValidity => "the root's dates include now".to_owned(),
            Check::LeafKey => "RSA, 2048 to 8192 bits, exponent 65537 or more".to_owned(),
            Check::Signature => "RS256 by the leaf's key".to_owned(),
            Check::Claims => "a JSON object with unique names and the right types".to_owned(),
            Check::Issuer => expectation.issuer.clone(),
            Check::NotBefore => format!("nbf at most {leeway} s ahead"),
            Check::Expiry => format!("exp passed less than {leeway} s ago"),
            Check::IssuedAt => format!("iat at most {leeway} s ahead"),
            Check::Age => {
                format!("issued at most {} s ago", expectation.max_age.as_secs().saturating_add(leeway))
            }
            Check::Lifetime => format!("1 to {} s from iat to exp", expectation.max_lifetime.as_secs()),
        }
    }

    /// What a check that passed found.
    fn got(&self, check: Check) -> String {
        let certificate = |index: usize| self.certificates.get(index).and_then(Option::as_ref);
        let until = |index| {
            certificate(index).map_or_else(
                || "one that cannot be shown".to_owned(),
                |found| {
                    let days = found.not_after.saturating_sub(self.now) / 86_400;
                    format!("{}, {days} days left", found.name)
                },
            )
        };
        let claim = |describe: &dyn Fn(&Claims) -> String| self.claims.map_or_else(String::new, describe);
        let relative = |at: u64| match at.checked_sub(self.now) {
            Some(ahead) => format!("{ahead} s ahead"),
            None => format!("{} s ago", self.now.saturating_sub(at)),
        };
        match check {
            Check::Size => format!("{} bytes", self.token.as_str().len()),
            Check::Shape | Check::Header | Check::Claims => "as wanted".to_owned(),
            Check::Algorithm => ALGORITHM.to_owned(),
            Check::Critical => "none".to_owned(),
            Check::X5c => format!("{} certificates", self.certificates.len()),
            Check::RootPinned => {
                certificate(2).map_or_else(String::new, |root| format!("sha256 {}", root.sha256))
            }
            Check::Chain => format!("{}; {}", until(0), until(1)),
            Check::RootValidity => until(2),
            Check::LeafKey | Check::Signature => "as wanted".to_owned(),
            Check::Issuer => claim(&|claims| printable(&claims.issuer)),
            Check::NotBefore => claim(&|claims| format!("nbf {}", relative(claims.not_before))),
            Check::Expiry => claim(&|claims| format!("exp {}", relative(claims.expires_at))),
            Check::IssuedAt => claim(&|claims| format!("iat {}", relative(claims.issued_at))),
            Check::Age => claim(&|claims| format!("{} s", self.now.saturating_sub(claims.issued_at))),
            Check::Lifetime => {
                claim(&|claims| format!("{} s", claims.expires_at.saturating_sub(claims.issued_at)))
            }
        }
    }
}
