//! Wire version 1: one token for many sessions, each of them bound by itself; both ends may attest; evidence
//! stays.
//!
//! ```text
//! exporter, SPKI, both nonces, role ── transcript ── leaf ─┐
//!                      other sessions' leaves ─────────────┴─ tree ── root, size ── nonce of the token
//! ```
//!
//! The sessions that wait for a token at the same moment are the leaves of one Merkle tree (RFC 9162 §2.1), and the
//! token's only nonce commits to its root. Each session gets the token and the proof that its own leaf is in the
//! tree. Attack that it stops: the same as in version 0, a relay of a genuine token to another session, since
//! nobody else has the exporter's output. What each part adds is said where it is made.
//!
//! What does not follow from a good proof: who runs the other end, how many sessions share the token, and
//! what they are. Bytes, orders and limits are written down in `docs/protocol.md`.

mod commitment;
mod error;
mod evidence;
mod evidence_report;
mod fields;
mod messages;
mod proof;
mod receipt;
mod secret;
mod transcript;
mod tree;

pub use commitment::{COMMITMENT_KEY_BYTES, Commit, Commitment, CommitmentKey};
pub use error::{MessageError, RandomError};
pub use evidence::{Evidence, MAX_EVIDENCE_BYTES};
pub use evidence_report::{Contents, EvidenceCheck, EvidenceOutcome, EvidenceReport};
pub use messages::{Attestation, ClientAttestation, End, Hello};
pub use proof::{InclusionProof, ProofError};
pub use receipt::{ExpectedReceipt, Receipt, ReceiptError, SignedReceipt};
pub use transcript::{EXPORTER_LABEL, HelloNonce, SessionBinding, TRANSCRIPT_BYTES, Transcript};
pub use tree::{Batch, BatchSizeError, Leaf, MAX_BATCH};

pub use crate::Role;

/// The websocket subprotocol by which both ends agree on this version (RFC 6455 §1.9).
pub const SUBPROTOCOL: &str = "attested-sleep.v1";

/// Longest hello, in bytes of JSON.
pub const MAX_HELLO_BYTES: usize = 1024;

/// Longest attestation of either end, in bytes of JSON: a token of [`crate::message::MAX_TOKEN_BYTES`], a proof of 12
/// hashes and the rest.
pub const MAX_ATTESTATION_BYTES: usize = 132 * 1024;

/// Longest receipt message, in bytes of JSON.
pub const MAX_RECEIPT_BYTES: usize = 64 * 1024;

/// SHA-256 of the parts, one after the other.
fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
