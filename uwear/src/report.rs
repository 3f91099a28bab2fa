//! What was checked and what came of it: one object, for `--format json` and for the text.

use attestation::{CertificateSummary, Check, Claims, VerifyError};
use policy::{Explained, Policy, Read, Shown};
use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use crate::advice::{self, Advice};
use crate::audit::AuditRow;
use crate::clock::{date, rfc3339, span};
use crate::evidence::Said;
use crate::exit::{Exit, Failure};
use crate::load::{Judge, other_roots};

/// One check or rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its stable name.
    pub(crate) name: String,
    /// `null`: not run.
    pub(crate) ok: Option<bool>,
    pub(crate) wanted: String,
    pub(crate) got: String,
    /// What its failure means, where we have words for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meaning: Option<String>,
    /// What to do about its failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Whether it is a check or a rule, by who has words for its failure: a policy may name a rule like a check.
type Kind = fn(&str) -> Option<Advice>;

impl Row {
    fn not_run(kind: Kind, name: &str) -> Self {
        Self::new(kind, name, None, String::new(), String::new())
    }

    fn new(kind: Kind, name: &str, ok: Option<bool>, wanted: String, got: String) -> Self {
        let advice = kind(name).filter(|_| ok == Some(false));
        Self {
            name: name.to_owned(),
            ok,
            wanted,
            got,
            meaning: advice.as_ref().map(|advice| advice.meaning.to_owned()),
            next: advice.map(|advice| advice.next.to_owned()),
        }
    }
}

/// A certificate of the token.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CertificateRow {
    pub(crate) name: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    pub(crate) sha256: String,
    #[serde(skip)]
    pub(crate) ends: u64,
    #[serde(skip)]
    pub(crate) begins: u64,
}

impl CertificateRow {
    fn of(certificate: &CertificateSummary) -> Self {
        Self {
            name: certificate.name.clone(),
            not_before: rfc3339(certificate.not_before),
            not_after: rfc3339(certificate.not_after),
            sha256: certificate.sha256.clone(),
            begins: certificate.not_before,
            ends: certificate.not_after,
        }
    }
}

/// A policy or a baseline by name and hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// An allow-list that the owner left open, and her reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Open {
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// The one object of `--format json`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) outcome: &'static str,
    pub(crate) exit_code: u8,
    /// Why not, if not.
    pub(crate) reason: Option<String>,
    /// What to do, if anything.
    pub(crate) next: Option<String>,
    /// Whether any byte of PHI was handed to TLS.
    pub(crate) released: bool,
    /// When it was judged.
    pub(crate) now: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) wire: Option<u8>,
    /// Whether this end has sent a proof of its own.
    pub(crate) mutual: bool,
    /// How many sessions share the token.
    pub(crate) batch: Option<u32>,
    pub(crate) key_exchange: Option<String>,
    pub(crate) token_sha256: Option<String>,
    pub(crate) policy: Source,
    pub(crate) baseline: Source,
    /// By position: leaf, intermediate, root; `null` for one that cannot be shown.
    pub(crate) certificates: Vec<Option<CertificateRow>>,
    pub(crate) checks: Vec<Row>,
    pub(crate) rules: Vec<Row>,
    /// What the server has signed, verified.
    pub(crate) receipt: Option<Said>,
    /// The file with the evidence.
    pub(crate) evidence: Option<String>,
    /// Allow-lists that are open.
    pub(crate) open: Vec<Open>,
    pub(crate) warnings: Vec<String>,
    /// The last line of this session in the audit log.
    pub(crate) audit: Option<AuditRow>,
    /// The result, only with `--print-result`: it is computed from PHI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<serde_json::Value>,
}

impl Report {
    /// A report on which nothing has run yet.
    pub(crate) fn new(judge: &Judge) -> Self {
        let policy = &judge.policy;
        Self {
            policy: Source { name: judge.policy_name.clone(), sha256: policy.policy_sha256().to_owned() },
            baseline: Source {
                name: judge.baseline_name.clone(),
                sha256: policy.baseline_sha256().to_owned(),
            },
            open: policy
                .waivers()
                .iter()
                .map(|waiver| Open { key: waiver.key.clone(), reason: waiver.reason.clone() })
                .collect(),
            warnings: other_roots(&judge.verifier).into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn judged_at(&mut self, now: UnixTime) {
        self.now = Some(rfc3339(now.as_secs()));
    }

    /// Every check of the verifier; what comes after it has not run. Where the token is genuine, warns of the ends of
    /// its certificates: nobody needs to be warned of what somebody made up.
    pub(crate) fn verified(&mut self, report: &attestation::Report, now: UnixTime, policy: &Policy) {
        let certificates = report.certificates().iter();
        self.certificates =
            certificates.map(|certificate| certificate.as_ref().map(CertificateRow::of)).collect();
        self.checks = report
            .checks()
            .iter()
            .map(|outcome| {
                let (wanted, got) = (outcome.wanted.clone(), outcome.got.clone());
                let row = Row::new(advice::of_check, outcome.check.name(), outcome.ok, wanted, got);
                match meaning(outcome.check, report, now.as_secs()).filter(|_| row.ok == Some(false)) {
                    Some(meaning) => Row { meaning: Some(meaning), ..row },
                    None => row,
                }
            })
            .collect();
        self.not_run(policy);
        if report.claims().is_some() {
            self.warn_of_ends(report.certificates(), now);
        }
    }

    /// The checks of the session and the rules of the policy, none of which has run.
    pub(crate) fn not_run(&mut self, policy: &Policy) {
        let checks = ["session_nonce", "session_audience", "session_claim_absent"];
        self.checks.extend(checks.map(|name| Row::not_run(advice::of_check, name)));
        self.rules = policy.rule_names().map(|name| Row::not_run(advice::of_rule, name)).collect();
    }

    /// Every check of the session, so many, and then every rule of the policy. Each finds its row among its own
    /// kind: no rule, whatever its name, says anything of a check.
    pub(crate) fn decided(&mut self, explained: &[Explained], checks: usize) {
        let (checks, rules) = explained.split_at_checked(checks).unwrap_or((explained, &[]));
        fill(&mut self.checks, checks, advice::of_check);
        fill(&mut self.rules, rules, advice::of_rule);
    }

    /// Adds a warning, once: a release that tries again comes by the same places.
    pub(crate) fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|there| there == warning) {
            self.warnings.push(warning.to_owned());
        }
    }

    /// Says of intermediate and root, in time, that they end. A leaf lives some 60 days by design.
    pub(crate) fn warn_of_ends(&mut self, certificates: &[Option<CertificateSummary>], now: UnixTime) {
        const SOON: u64 = 90 * 86_400;
        for certificate in certificates.iter().skip(1).flatten() {
            if let Some(left) = certificate.not_after.checked_sub(now.as_secs()).filter(|left| *left < SOON) {
                let warning = format!(
                    "the certificate {} ends in {}, on {}: from then on tokens that come with it are refused",
                    certificate.name,
                    span(left),
                    date(certificate.not_after),
                );
                self.warn(&warning);
            }
        }
    }

    pub(crate) fn ended(&mut self, exit: Exit) {
        self.outcome = exit.outcome();
        self.exit_code = exit.code();
    }

    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.ended(failure.exit);
        self.reason = Some(failure.what.clone());
        self.next = Some(failure.next.clone()).filter(|next| !next.is_empty());
    }

    /// The rows that failed, a check left out where a rule says the same.
    pub(crate) fn failures(&self) -> Vec<&Row> {
        let failed = |row: &&Row| row.ok == Some(false) && row.name != "allow";
        let rules: Vec<&Row> = self.rules.iter().filter(failed).collect();
        let checks = self
            .checks
            .iter()
            .filter(failed)
            .filter(|check| !rules.iter().any(|rule| advice::same_matter(&check.name, &rule.name)));
        checks.chain(rules.iter().copied()).collect()
    }
}

/// Puts what came of checks or rules into their rows.
fn fill(rows: &mut [Row], explained: &[Explained], kind: Kind) {
    for explained in explained {
        let got = match &explained.outcome {
            policy::Outcome::Error(reason) => format!("error: {reason}"),
            policy::Outcome::Undefined => format!("undefined; {}", joined(&explained.found)),
            _ => joined(&explained.found),
        };
        let mut row = Row::new(kind, &explained.name, explained.outcome.ok(), joined(&explained.wanted), got);
        if row.ok == Some(false) && row.name == "image_digest_verified" {
            row.next = explained.found.iter().find_map(to_paste).or(row.next);
        }
        if let Some(place) = rows.iter_mut().find(|place| place.name == row.name) {
            *place = row;
        }
    }
}

/// Words of its own for a failure that depends on the clock: how far it is off, or when the certificate ended.
fn meaning(check: Check, report: &attestation::Report, now: u64) -> Option<String> {
    let future = |of: fn(&Claims) -> u64| {
        let ahead = of(report.claims()?).checked_sub(now)?;
        Some(format!("the token comes from the future: the clock here is {} behind the token's", span(ahead)))
    };
    match (check, report.verdict().err()) {
        (Check::NotBefore, _) => future(|claims| claims.not_before),
        (Check::IssuedAt, _) => future(|claims| claims.issued_at),
        (_, Some(VerifyError::CertificateExpired { certificate, not_after })) => {
            Some(format!("the token's {certificate} certificate ended on {}", date(*not_after)))
        }
        (_, Some(VerifyError::CertificateNotValidYet { certificate, not_before })) => {
            Some(format!("the token's {certificate} certificate begins on {} only", date(*not_before)))
        }
        _ => None,
    }
}

/// What to do about an image that is not approved, with its digest as the baseline writes it and takes it: in lower
/// case.
fn to_paste(read: &Read) -> Option<String> {
    let Shown::One(digest) = &read.value else { return None };
    let hex = digest.strip_prefix("sha256:")?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then(|| {
        format!(
            "audit this image; if it is sound, add \"{digest}\" to allowed_submods_container_image_digest of \
             your baseline"
        )
    })
}

/// Values on one line; with their paths where there are several.
pub(crate) fn joined(reads: &[Read]) -> String {
    match reads {
        [] => String::new(),
        [Read { value, .. }] => value.to_string(),
        several => {
            let parts: Vec<String> =
                several.iter().map(|Read { path, value }| format!("{path}: {value}")).collect();
            parts.join("; ")
        }
    }
}

/// One-line facts of a token whose signature is good.
pub(crate) struct Facts {
    pub(crate) workload: String,
    pub(crate) place: String,
    pub(crate) operator: String,
}

impl Facts {
    pub(crate) fn of(claims: &Claims) -> Self {
        let shown = |value: &Option<String>| value.as_deref().map_or("?".to_owned(), attestation::printable);
        let list = |values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| attestation::printable(value)).collect();
            if values.is_empty() { "none".to_owned() } else { values.join(" ") }
        };
        let image = match claims.debug_status.as_deref() {
            Some("disabled-since-boot") => "production image",
            _ => "DEBUG image",
        };
        Self {
            workload: format!("{}   {}", shown(&claims.image_digest), shown(&claims.image_reference)),
            place: format!(
                "{}, {image} {}, support {}, {}",
                shown(&claims.hardware_model),
                list(&claims.software_version),
                list(&claims.support_attributes),
                shown(&claims.zone),
            ),
            operator: format!("project {}, {}", shown(&claims.project_id), list(&claims.service_accounts)),
        }
    }
}
