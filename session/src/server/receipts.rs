//! What a session of wire version 1 commits to while PHI and results cross, and the receipt that says so at its end.

use attestation::Phi;
use attestation::v1::{Commit, CommitmentKey, Receipt, SignedReceipt};
use hardening::wiping_stack;
use rustls::pki_types::UnixTime;

use super::workload::About;
use crate::identity::ReceiptKey;

/// What a receipt says of the session, and what signs it.
pub(super) struct Receipts {
    key: ReceiptKey,
    /// SHA-256 of the transcript in which this end attests.
    transcript: [u8; 32],
    /// SHA-256 of the token.
    token: [u8; 32],
}

impl Receipts {
    pub(super) fn new(key: ReceiptKey, transcript: [u8; 32], token: [u8; 32]) -> Box<Self> {
        Box::new(Self { key, transcript, token })
    }
}

/// The commitments to the PHI and to the results, as far as they have crossed. Each keeps the last bytes of what it commits
/// to, at most a block of SHA-256: behind a pointer, and touched on stacks that are wiped alone.
pub(super) struct Committing {
    receipts: Box<Receipts>,
    phi: Commit,
    result: Commit,
}

impl Committing {
    /// Under the key that leads this first message of PHI; `None` if it is too short to hold one.
    pub(super) fn begin(message: &[u8], receipts: Box<Receipts>) -> Option<Box<Self>> {
        wiping_stack(|| {
            let (key, _) = CommitmentKey::lead(message)?;
            Some(Box::new(Self { receipts, phi: key.commit_phi(), result: key.commit_result() }))
        })
    }

    /// The next PHI has come.
    pub(super) fn phi(&mut self, phi: &Phi) {
        wiping_stack(|| self.phi.update(phi.expose()));
    }

    /// The next result is sent, which is not the last.
    pub(super) fn result(&mut self, text: &str) {
        wiping_stack(|| self.result.update(text.as_bytes()));
    }

    /// The receipt for all of it, of which this result is the last.
    pub(super) fn receipt(
        mut self: Box<Self>,
        last: &str,
        about: About,
        now: UnixTime,
    ) -> Result<SignedReceipt, rustls::Error> {
        self.result(last);
        wiping_stack(|| {
            let Self { receipts, phi, result } = *self;
            let Receipts { key, transcript, token } = *receipts;
            let About { rules, program } = about;
            let (phi, result) = (phi.finish(), result.finish());
            let receipt = Receipt { transcript, token, phi, result, rules, program, time: now.as_secs() };
            SignedReceipt::sign(&receipt, |message| key.sign(message))
        })
    }
}
