//! What a server does with the PHI it is given: the part that is not this crate's.

use attestation::Phi;
use zeroize::Zeroizing;

/// What a server does with the PHI it is given.
pub trait Workload: Send + Sync + 'static {
    /// Analyses one message of PHI. Called once for each session, on the task of that session.
    ///
    /// # Errors
    /// [`PhiInvalid`] if the PHI cannot be used; the peer learns no more than that.
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid>;

    /// Begins a stream of documents (wire version 1); `None`: none are taken, which is the default. Called once for each
    /// session whose client opens one.
    fn documents(&self) -> Option<Box<dyn DocumentStream>> {
        None
    }

    /// What receipts say of it (wire version 1).
    fn about(&self) -> About;
}

/// Many documents of one session, a line each, as they come. What it keeps must not grow with their number.
pub trait DocumentStream: Send {
    /// Takes the next message: whole lines, the last byte a line feed. The reply is to it alone, and no message is read
    /// before the client has been sent that.
    ///
    /// # Errors
    /// [`PhiInvalid`] if the PHI cannot be used; it ends the session, and the peer learns no more than that.
    fn push(&mut self, phi: &Phi) -> Result<Reply, PhiInvalid>;

    /// What all of them come to, after the last.
    ///
    /// # Errors
    /// [`PhiInvalid`], as for [`DocumentStream::push`].
    fn finish(self: Box<Self>) -> Result<Reply, PhiInvalid>;
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
