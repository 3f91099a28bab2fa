//! Evidence: what the data owner keeps of a session, so that anybody can later check "the attested image said this"
//! without any secret.
//!
//! It is judged at its own time, `verified_at`, since tokens live for an hour and leaves for two months. The token's own times
//! leave no room to misdate it: `verified_at` can be at most some minutes after the token was made. What cannot be seen
//! afterwards is a key that was stolen later: who has the key of a leaf whose time has passed can make evidence of
//! that time. Whether the image is one that the owner approved is a policy's business, as for a fresh token.

use std::fmt;

use rustls_pki_types::UnixTime;
use serde_json::json;

use super::error::MessageError;
use super::evidence_report::{Contents, EvidenceReport};
use super::fields::{Fields, base64};
use super::messages::{path, proof, token};
use super::proof::InclusionProof;
use super::receipt::SignedReceipt;
use super::secret::Secret;
use super::transcript::{HelloNonce, SessionBinding, Transcript};
use crate::message::Token;
use crate::{Nonce, Role, Verifier};

/// Longest evidence, in bytes of JSON.
pub const MAX_EVIDENCE_BYTES: usize = 256 * 1024;

/// The version in evidence: that of the wire.
const VERSION: u64 = 1;

/// Everything that the server's attestation and its receipt rest on:
///
/// ```json
/// {"v":1,"verified_at":n,"token":"…","index":n,"size":n,"proof":[B…],
///  "exporter":B,"spki":B,"client_nonce":B,"server_nonce":B,"receipt":"…","signature":B}
/// ```
///
/// A whole token is in it, and the exporter's output: the one is a credential for an hour, the other names the session. So
/// it belongs into a file of its owner alone. `Debug` shows nothing of either.
pub struct Evidence {
    /// When the data owner verified the token, seconds since 1970.
    pub(super) verified_at: u64,
    pub(super) token: Token,
    pub(super) proof: InclusionProof,
    exporter: Secret,
    pub(super) spki: Vec<u8>,
    client_nonce: HelloNonce,
    server_nonce: HelloNonce,
    pub(super) receipt: SignedReceipt,
}

impl Evidence {
    /// The evidence of a session: its transcript, in which the server attests, the SubjectPublicKeyInfo of the handshake's
    /// certificate, the token and its proof, the receipt, and when the token was verified. Nothing is judged here.
    pub fn new(
        transcript: &Transcript,
        spki_der: &[u8],
        token: Token,
        proof: InclusionProof,
        receipt: SignedReceipt,
        verified_at: UnixTime,
    ) -> Self {
        Self {
            verified_at: verified_at.as_secs(),
            token,
            proof,
            exporter: transcript.exporter.clone(),
            spki: spki_der.to_vec(),
            client_nonce: transcript.client_nonce,
            server_nonce: transcript.server_nonce,
            receipt,
        }
    }

    /// Reads at most [`MAX_EVIDENCE_BYTES`].
    ///
    /// # Errors
    /// [`MessageError`]; [`MessageError::Version`] for evidence of another version.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("evidence", MAX_EVIDENCE_BYTES, text)?;
        fields.version(VERSION)?;
        let evidence = Self {
            verified_at: fields.whole("verified_at")?,
            token: token(&mut fields)?,
            proof: proof(&mut fields)?,
            exporter: Secret::copy_of(&fields.hash("exporter")?),
            spki: fields.bytes("spki")?,
            client_nonce: HelloNonce::from_bytes(fields.hash("client_nonce")?),
            server_nonce: HelloNonce::from_bytes(fields.hash("server_nonce")?),
            receipt: SignedReceipt::take(&mut fields)?,
        };
        fields.finish()?;
        Ok(evidence)
    }

    /// The text to be kept. It holds a whole token: for a file of its owner alone.
    pub fn to_json(&self) -> String {
        json!({
            "v": VERSION,
            "verified_at": self.verified_at,
            "token": self.token.as_str(),
            "index": self.proof.index(),
            "size": self.proof.size(),
            "proof": path(&self.proof),
            "exporter": base64(&*self.exporter),
            "spki": base64(&self.spki),
            "client_nonce": base64(self.client_nonce.as_bytes()),
            "server_nonce": base64(self.server_nonce.as_bytes()),
            "receipt": self.receipt.receipt_json(),
            "signature": base64(self.receipt.signature()),
        })
        .to_string()
    }

    /// When the data owner verified the token, by its own word.
    pub fn verified_at(&self) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.verified_at))
    }

    /// The token, as unverified as any until [`Evidence::verify`] has judged it.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The receipt, as unverified as the token.
    pub fn receipt(&self) -> &SignedReceipt {
        &self.receipt
    }

    /// The nonce that the token must carry.
    pub fn nonce(&self) -> Nonce {
        self.proof.nonce(&self.transcript().leaf())
    }

    /// Judges everything that needs no secret, at the evidence's own time; `now` is only there to refuse evidence of the
    /// future.
    pub fn verify(&self, verifier: &Verifier, now: UnixTime) -> EvidenceReport {
        EvidenceReport::of(self, verifier, now, None)
    }

    /// The same, and whether PHI and result are those that the receipt commits to.
    pub fn verify_with_contents(
        &self,
        verifier: &Verifier,
        now: UnixTime,
        contents: &Contents,
    ) -> EvidenceReport {
        EvidenceReport::of(self, verifier, now, Some(contents))
    }

    /// Worked out again from its parts, always with the server as the attester: no other end signs receipts.
    pub(super) fn transcript(&self) -> Transcript {
        SessionBinding::of_parts(self.exporter.clone(), &self.spki).transcript(
            Role::Server,
            &self.client_nonce,
            &self.server_nonce,
        )
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("verified_at", &self.verified_at)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
