//! The verifier: a function of the token's bytes, the anchors, the expectation and the time.
//!
//! The checks, in the order of [`Check::ALL`]:
//!
//!  1. `size`, 2. `shape`, 3. `header`, 4. `algorithm`, 5. `critical`, 6. `x5c`: what the bytes are;
//!  7. `root_pinned`, 8. `chain`, 9. `root_validity`, 10. `leaf_key`: whose key it is;
//! 11. `signature`: from here on the claims are Google's word;
//! 12. `claims`: they have the right types;
//! 13. `issuer`, 14. `not_before`, 15. `expiry`, 16. `issued_at`, 17. `age`, 18. `lifetime`: all of them run, so
//!     that a report names everything that is wrong at once.
//!
//! Up to 12 a failure ends the pass, since what follows would judge bytes that nobody vouches for.
//!
//! What is *not* checked here: that the token is for this TLS session and this audience, and what
//! workload it speaks of. The first two need the connection, the third a policy.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::UnixTime;
use serde_json::{Map, Value};

use crate::chain::{self, Anchors, LeafKey};
use crate::chain_cache::ChainCache;
use crate::claims::Claims;
use crate::error::{Check, VerifyError};
use crate::json::object_with_unique_names;
use crate::known_header::KnownHeader;
use crate::message::Token;
use crate::printable;
use crate::report::Report;
use crate::token::{UnverifiedJws, UnverifiedToken, X5c};

/// Issuer of Google's attestation service, for Confidential Space and its neighbouring products.
pub const GOOGLE_ISSUER: &str = "https://confidentialcomputing.googleapis.com";

/// What a token must say of its issuer and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// `iss`, exactly.
    pub issuer: String,
    /// How far two honest clocks may be apart.
    pub leeway: Duration,
    /// Longest time since `iat`, to which the leeway is added: the token was made for a session of now.
    pub max_age: Duration,
    /// Longest time from `iat` to `exp`; the service gives 3600 s.
    pub max_lifetime: Duration,
}

impl Default for Expectation {
    fn default() -> Self {
        Self {
            issuer: GOOGLE_ISSUER.to_owned(),
            leeway: Duration::from_secs(60),
            max_age: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(3600),
        }
    }
}

/// Verifies tokens, and may be shared by all threads. A token can change nothing in it that another's verdict depends on.
#[derive(Debug)]
pub struct Verifier {
    anchors: Anchors,
    expectation: Expectation,
    pub(crate) header: KnownHeader,
    chains: Option<ChainCache>,
}

/// A token whose chain led to a pinned root, whose signature was the leaf's, and whose issuer and times
/// were right, at the time that was given.
///
/// It comes from [`Verifier::verify`] and nowhere else. It says nothing yet of session, audience or workload.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: Claims,
    json: Map<String, Value>,
    token: Token,
}

impl VerifiedToken {
    /// The claims, typed.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// All claims as they came, names unique at every level: the input of a policy.
    pub fn claims_json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// SHA-256 of the whole token in hex, to name it in logs.
    pub fn sha256(&self) -> String {
        self.token.sha256()
    }
}

/// Why a token was refused: one failed check, or several of those on issuer and times. Never empty.
pub(crate) struct Failures {
    pub(crate) first: VerifyError,
    pub(crate) others: Vec<VerifyError>,
    /// The claims, where the signature was good and they could be read.
    pub(crate) claims: Option<Box<Claims>>,
}

impl From<VerifyError> for Failures {
    fn from(first: VerifyError) -> Self {
        Self { first, others: Vec::new(), claims: None }
    }
}

impl Verifier {
    /// A verifier for these anchors and this expectation.
    pub fn new(anchors: Anchors, expectation: Expectation) -> Self {
        Self { anchors, expectation, header: KnownHeader::default(), chains: None }
    }

    /// Remembers the last [`MAX_KNOWN_CHAINS`](crate::MAX_KNOWN_CHAINS) chains that were validated, for a verifier that
    /// sees many tokens: the next token of a chain that is known costs one RSA verification in place of three. The verdicts are
    /// the same.
    #[must_use]
    pub fn with_chain_cache(mut self) -> Self {
        self.chains = Some(ChainCache::default());
        self
    }

    /// What this verifier wants of issuer and times.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// The roots that it trusts.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The strict verdict at `now`.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, token: &Token, now: UnixTime) -> Result<VerifiedToken, VerifyError> {
        self.pass(token, now).map_err(|failures| failures.first)
    }

    /// The same pass with every check's outcome spelt out. Costs more than [`Verifier::verify`].
    pub fn report(&self, token: &Token, now: UnixTime) -> Report {
        Report::new(self, token, now, self.pass(token, now))
    }

    /// The one pass behind the verdict and the report.
    fn pass(&self, token: &Token, now: UnixTime) -> Result<VerifiedToken, Failures> {
        let text = token.as_str();
        let unverified = UnverifiedToken::parse_by(text, &self.header)?;
        let leaf = self.leaf_key(&unverified.x5c, now)?;
        unverified.jws.verify(&leaf.pkcs1)?;
        self.header.remember(unverified.header, &unverified.x5c);
        let (json, claims) = read_claims(&unverified.jws.payload)?;

        let mut failed = self.judge(&claims, now.as_secs()).into_iter().flatten();
        if let Some(first) = failed.next() {
            return Err(Failures { first, others: failed.collect(), claims: Some(Box::new(claims)) });
        }
        Ok(VerifiedToken { claims, json, token: token.clone() })
    }

    /// Checks 7 to 10.
    fn leaf_key(&self, x5c: &X5c, now: UnixTime) -> Result<Arc<LeafKey>, VerifyError> {
        match &self.chains {
            Some(known) => known.validate(x5c, &self.anchors, now),
            None => chain::validate(x5c, &self.anchors, now).map(Arc::new),
        }
    }

    /// Issuer and times of claims that are authentic.
    fn judge(&self, claims: &Claims, now: u64) -> [Option<VerifyError>; 6] {
        let Expectation { issuer, leeway, max_age, max_lifetime } = &self.expectation;
        let leeway = leeway.as_secs();
        let Claims { issued_at, not_before, expires_at, .. } = *claims;
        let age = now.saturating_sub(issued_at);
        let oldest = max_age.as_secs().saturating_add(leeway);
        [
            (claims.issuer != *issuer)
                .then(|| VerifyError::Issuer { wanted: issuer.clone(), got: printable(&claims.issuer) }),
            (not_before > now.saturating_add(leeway))
                .then(|| VerifyError::NotYetValid { ahead: not_before.saturating_sub(now), leeway }),
            // RFC 7519 §4.1.4: on or after exp is too late.
            (now >= expires_at.saturating_add(leeway))
                .then(|| VerifyError::Expired { ago: now.saturating_sub(expires_at), leeway }),
            (issued_at > now.saturating_add(leeway))
                .then(|| VerifyError::IssuedInFuture { ahead: issued_at.saturating_sub(now), leeway }),
            (age > oldest).then_some(VerifyError::TooOld { age, wanted: oldest }),
            lifetime_error(issued_at, expires_at, max_lifetime.as_secs()),
        ]
    }
}

fn lifetime_error(issued_at: u64, expires_at: u64, wanted: u64) -> Option<VerifyError> {
    match expires_at.checked_sub(issued_at) {
        None | Some(0) => Some(VerifyError::NoLifetime),
        Some(got) if got > wanted => Some(VerifyError::Lifetime { got, wanted }),
        Some(_) => None,
    }
}

impl UnverifiedJws<'_> {
    /// Check 11.
    fn verify(&self, pkcs1: &[u8]) -> Result<(), VerifyError> {
        verify_rs256(self.signature, self.signing_input.as_bytes(), pkcs1)
    }
}

/// A JWS in compact serialization (RFC 7515 §7.1) against one key, an `RSAPublicKey` in DER: the checks 1 to 5, 10 and
/// 11, by the very code that verifies tokens. Gives the payload, which may be anything, also empty.
///
/// For JWS that are no attestation tokens, and for others' test vectors: who vouches for the key, and what the
/// payload means, is the caller's to know. The header's own words about keys (`x5c`, `jwk`, `kid`) are read past.
///
/// # Errors
/// The first check that failed.
pub fn verify_compact_rs256(jws: &str, pkcs1: &[u8]) -> Result<Vec<u8>, VerifyError> {
    let jws = UnverifiedJws::parse(jws)?;
    chain::require_sound_key(pkcs1)?;
    jws.verify(pkcs1)?;
    Ok(jws.payload)
}

/// Check 11: an RS256 signature (RFC 7518 §3.3) in base64url over `signing_input`, by an `RSAPublicKey`
/// (RFC 8017 §A.1.1) in DER.
///
/// # Errors
/// [`VerifyError::Signature`], whatever was wrong.
pub fn verify_rs256(signature: &str, signing_input: &[u8], pkcs1: &[u8]) -> Result<(), VerifyError> {
    let key = DecodingKey::from_rsa_der(pkcs1);
    match jsonwebtoken::crypto::verify(signature, signing_input, &key, Algorithm::RS256) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(VerifyError::Signature),
    }
}

/// Check 12: only after the signature.
fn read_claims(payload: &[u8]) -> Result<(Map<String, Value>, Claims), VerifyError> {
    let json = object_with_unique_names(payload)
        .map_err(|error| VerifyError::ClaimsJson(printable(&error.to_string())))?;
    let claims = Claims::from_json(&json)?;
    Ok((json, claims))
}

impl Check {
    /// Whether a failure of this check ends the pass.
    pub(crate) fn ends_the_pass(self) -> bool {
        self <= Self::Claims
    }
}
