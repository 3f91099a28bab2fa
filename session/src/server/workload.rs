//! What a server does with the PHI it is given: the part that is not this crate's.

use attestation::{Phi, Token};
use zeroize::Zeroizing;

/// What a server does with the PHI it is given.
pub trait Workload: Send + Sync + 'static {
    /// Analyses one message of PHI. Called once for each session, on the task of that session.
    ///
    /// # Errors
    /// [`PhiInvalid`] if the PHI cannot be used; the peer learns no more than that.
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid>;

    /// What receipts say of it (wire version 1).
    fn about(&self) -> About;

    /// A token has arrived and is about to be sent.
    fn token_received(&self, _token: &Token) {}
}

/// What a receipt says of a workload. Both are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The rules that it applies.
    pub rules: String,
    /// The program and its version.
    pub program: String,
}

/// The result of a [`Workload`]: text that is computed from PHI, wiped on drop.
pub struct Reply(Zeroizing<String>);

impl Reply {
    /// Takes the text over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub(super) fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply(..)")
    }
}

/// The PHI cannot be used. The reason names fields by our own paths and quotes nothing of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PhiInvalid(pub String);
