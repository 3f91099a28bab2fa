//! Every step of verifying evidence with what it wanted and what it found.

use std::fmt;

use rustls_pki_types::UnixTime;

use super::commitment::{Commit, Commitment, CommitmentKey};
use super::evidence::Evidence;
use super::receipt::{Receipt, p256_point};
use crate::chain::sha256;
use crate::{Nonce, Report, VerifiedToken, Verifier, printable};

/// The steps in their order. Their names are stable: reports and tests rely on them.
///
/// Up to [`EvidenceCheck::Receipt`] a failure ends the pass, since what follows would judge bytes that nobody vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceCheck {
    /// The evidence's own time is not in the future, leeway allowed.
    Dated,
    /// The token was authentic and valid at that time; [`EvidenceReport::token`] has its 18 checks.
    Token,
    /// The token's only nonce is the one that session and proof lead to.
    Nonce,
    /// The server's key is one that signs receipts.
    Key,
    /// That key signed the receipt.
    Signature,
    /// What was signed is a receipt.
    Receipt,
    /// The receipt is for this session.
    Session,
    /// The receipt is for this token.
    TokenDigest,
    /// The PHI at hand is what the receipt commits to.
    Phi,
    /// The result at hand is what the receipt commits to.
    Result,
}

impl EvidenceCheck {
    /// All steps, in order.
    pub const ALL: [Self; 10] = [
        Self::Dated,
        Self::Token,
        Self::Nonce,
        Self::Key,
        Self::Signature,
        Self::Receipt,
        Self::Session,
        Self::TokenDigest,
        Self::Phi,
        Self::Result,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dated => "dated",
            Self::Token => "token",
            Self::Nonce => "nonce",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Receipt => "receipt",
            Self::Session => "session",
            Self::TokenDigest => "token_digest",
            Self::Phi => "phi",
            Self::Result => "result",
        }
    }
}

impl fmt::Display for EvidenceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One step: what was wanted, what was found, how it ended. Strings are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceOutcome {
    /// Which step.
    pub check: EvidenceCheck,
    /// `None`: not run, because an earlier step failed, or the contents were not given.
    pub ok: Option<bool>,
    /// What it wanted.
    pub wanted: String,
    /// What it found; empty where it did not run.
    pub got: String,
}

/// What the owner has beside the evidence, to be compared with what the receipt commits to: commitments to it under the
/// session's key. Where there are several, one of them has to be the receipt's, for what lies in a file may have crossed in
/// more than one way. Where there is none, nothing is compared.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// To all PHI messages in order, without the key.
    pub phi: Vec<Commitment>,
    /// To all result messages in order.
    pub result: Vec<Commitment>,
}

impl Contents {
    /// Commits to what is given, as it is.
    pub fn of(key: &CommitmentKey, phi: Option<&[u8]>, result: Option<&[u8]>) -> Self {
        let committed = |mut commit: Commit, bytes: &[u8]| {
            commit.update(bytes);
            commit.finish()
        };
        Self {
            phi: phi.map(|phi| committed(key.commit_phi(), phi)).into_iter().collect(),
            result: result.map(|result| committed(key.commit_result(), result)).into_iter().collect(),
        }
    }
}

/// How every step ended.
#[derive(Debug)]
pub struct EvidenceReport {
    checks: Vec<EvidenceOutcome>,
    token: Report,
    nonce: Nonce,
    receipt: Option<Receipt>,
    valid: bool,
}

impl EvidenceReport {
    pub(super) fn of(
        evidence: &Evidence,
        verifier: &Verifier,
        now: UnixTime,
        contents: Option<&Contents>,
    ) -> Self {
        let token = verifier.report(&evidence.token, evidence.verified_at());
        let nonce = evidence.nonce();
        let mut pass = Pass { ended: false, found: Vec::new() };
        pass.step(EvidenceCheck::Dated, || dated(evidence, verifier, now));
        pass.step(EvidenceCheck::Token, || authentic(&token));
        pass.step(EvidenceCheck::Nonce, || carries(&token, &nonce));
        pass.step(EvidenceCheck::Key, || key(evidence));
        pass.step(EvidenceCheck::Signature, || signature(evidence));
        let mut receipt = None;
        pass.step(EvidenceCheck::Receipt, || {
            let parsed = Receipt::parse(evidence.receipt.receipt_json());
            receipt = Some(parsed.map_err(|error| printable(&error.to_string()))?);
            Ok("as wanted".to_owned())
        });
        if let Some(receipt) = &receipt {
            pass.compare(EvidenceCheck::Session, &evidence.transcript().sha256(), &receipt.transcript);
            let digest = sha256(evidence.token.as_str().as_bytes());
            pass.compare(EvidenceCheck::TokenDigest, &digest, &receipt.token);
            if let Some(contents) = contents {
                pass.contents(contents, receipt);
            }
        }
        let valid = pass.holds(contents);
        let checks = EvidenceCheck::ALL.map(|check| pass.outcome(check, evidence, &nonce)).to_vec();
        Self { checks, token, nonce, receipt, valid }
    }

    /// The steps, in order, all of them.
    pub fn checks(&self) -> &[EvidenceOutcome] {
        &self.checks
    }

    /// Whether every step ran and held; those on PHI and result only where these were given.
    pub fn valid(&self) -> bool {
        self.valid
    }

    /// The token's own checks, at the evidence's own time.
    pub fn token(&self) -> &Report {
        &self.token
    }

    /// The nonce that the token must carry.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// What the attested image said; `None` unless its signature is good.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// The token, for a policy to judge, if the evidence is valid.
    pub fn into_verified(self) -> Option<VerifiedToken> {
        if self.valid { self.token.into_verdict().ok() } else { None }
    }
}

/// What a step found: `Ok` as wanted, `Err` something else.
type Found = Result<String, String>;

/// The steps that have run.
struct Pass {
    ended: bool,
    found: Vec<(EvidenceCheck, Found)>,
}

impl Pass {
    /// Runs a step that ends the pass if it fails, unless it has ended.
    fn step(&mut self, check: EvidenceCheck, run: impl FnOnce() -> Found) {
        if !self.ended {
            let found = run();
            self.ended = found.is_err();
            self.found.push((check, found));
        }
    }

    fn compare(&mut self, check: EvidenceCheck, wanted: &[u8; 32], got: &[u8; 32]) {
        let found = if wanted == got { Ok(hex::encode(got)) } else { Err(hex::encode(got)) };
        self.found.push((check, found));
    }

    fn contents(&mut self, contents: &Contents, receipt: &Receipt) {
        let both = [
            (EvidenceCheck::Phi, &contents.phi, receipt.phi),
            (EvidenceCheck::Result, &contents.result, receipt.result),
        ];
        for (check, at_hand, committed) in both {
            if !at_hand.is_empty() {
                self.found.push((check, committed_to(at_hand, committed)));
            }
        }
    }

    fn holds(&self, contents: Option<&Contents>) -> bool {
        let ran = |check| self.found.iter().any(|(found, _)| *found == check);
        self.found.iter().all(|(_, found)| found.is_ok())
            && EvidenceCheck::ALL.into_iter().all(|check| match check {
                EvidenceCheck::Phi => contents.is_none_or(|given| given.phi.is_empty()) || ran(check),
                EvidenceCheck::Result => contents.is_none_or(|given| given.result.is_empty()) || ran(check),
                _ => ran(check),
            })
    }

    fn outcome(&self, check: EvidenceCheck, evidence: &Evidence, nonce: &Nonce) -> EvidenceOutcome {
        let wanted = wanted(check, evidence, nonce);
        let found = self.found.iter().find(|(found, _)| *found == check).map(|(_, found)| found);
        let (ok, got) = match found {
            Some(Ok(got)) => (Some(true), got.clone()),
            Some(Err(got)) => (Some(false), got.clone()),
            None => (None, String::new()),
        };
        EvidenceOutcome { check, ok, wanted, got }
    }
}

fn wanted(check: EvidenceCheck, evidence: &Evidence, nonce: &Nonce) -> String {
    match check {
        EvidenceCheck::Dated => "a time that is not in the future".to_owned(),
        EvidenceCheck::Token => format!("authentic and valid at {} s since 1970", evidence.verified_at),
        EvidenceCheck::Nonce => nonce.to_string(),
        EvidenceCheck::Key => "ECDSA on P-256, uncompressed".to_owned(),
        EvidenceCheck::Signature => "ECDSA with SHA-256 by the server's key".to_owned(),
        EvidenceCheck::Receipt => "a JSON object with the keys of a receipt".to_owned(),
        EvidenceCheck::Session => hex::encode(evidence.transcript().sha256()),
        EvidenceCheck::TokenDigest => evidence.token.sha256(),
        EvidenceCheck::Phi => "the PHI that the receipt commits to".to_owned(),
        EvidenceCheck::Result => "the result that the receipt commits to".to_owned(),
    }
}

fn dated(evidence: &Evidence, verifier: &Verifier, now: UnixTime) -> Found {
    let latest = now.as_secs().saturating_add(verifier.expectation().leeway.as_secs());
    match evidence.verified_at.checked_sub(now.as_secs()) {
        Some(ahead) if evidence.verified_at > latest => Err(format!("{ahead} s ahead")),
        Some(ahead) => Ok(format!("{ahead} s ahead")),
        None => Ok(format!("{} s ago", now.as_secs().saturating_sub(evidence.verified_at))),
    }
}

fn authentic(token: &Report) -> Found {
    token.verdict().map(|_| "as wanted".to_owned()).map_err(|error| printable(&error.to_string()))
}

fn carries(token: &Report, nonce: &Nonce) -> Found {
    let nonces = token.claims().map(|claims| claims.nonces.as_slice()).unwrap_or_default();
    match nonces {
        [only] if nonce.matches(only) => Ok(printable(only)),
        [only] => Err(printable(only)),
        several => Err(format!("{} nonces", several.len())),
    }
}

fn key(evidence: &Evidence) -> Found {
    match p256_point(&evidence.spki) {
        Some(_) => Ok("as wanted".to_owned()),
        None => Err("another key".to_owned()),
    }
}

fn signature(evidence: &Evidence) -> Found {
    match evidence.receipt.verify_signature(&evidence.spki) {
        Ok(()) => Ok("as wanted".to_owned()),
        Err(error) => Err(printable(&error.to_string())),
    }
}

fn committed_to(at_hand: &[Commitment], committed: Commitment) -> Found {
    if at_hand.contains(&committed) {
        Ok("as wanted".to_owned())
    } else {
        Err("other bytes, or another key".to_owned())
    }
}
