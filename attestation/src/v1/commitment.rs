//! Commitments: what the receipt says of PHI and result without giving anything of them away.
//!
//! A plain digest of health data can be guessed back within a minute, there are so few nights; nor is its length
//! written anywhere. HMAC-SHA-256 (RFC 2104) under a key of the session hides both from all who lack the key, and whoever
//! has it and the data can show that these and no others were committed to.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::error::RandomError;
use super::secret::Secret;

/// Length of a commitment key in bytes. It leads the first PHI message of a session.
pub const COMMITMENT_KEY_BYTES: usize = 32;

const PHI: &[u8] = b"phi\0";
const RESULT: &[u8] = b"result\0";

/// The key of a session's commitments, chosen by the data owner. Wiped on drop; `Debug` shows nothing of it.
pub struct CommitmentKey(Secret);

impl CommitmentKey {
    /// A fresh one from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] if it gives none.
    pub fn random() -> Result<Self, RandomError> {
        Secret::filled(|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError)).map(Self)
    }

    /// A key that was kept, or came over the wire.
    pub fn from_bytes(bytes: Zeroizing<[u8; COMMITMENT_KEY_BYTES]>) -> Self {
        Self(Secret::copy_of(&bytes))
    }

    /// Parts the first PHI message into the key and the PHI; `None` if it is too short to hold a key.
    pub fn lead(message: &[u8]) -> Option<(Self, &[u8])> {
        let (key, phi) = message.split_first_chunk::<COMMITMENT_KEY_BYTES>()?;
        Some((Self(Secret::copy_of(key)), phi))
    }

    /// The bytes: for the first PHI message and the owner's own file, never to be logged.
    pub fn expose(&self) -> &[u8; COMMITMENT_KEY_BYTES] {
        &self.0
    }

    /// Begins the commitment to the PHI: HMAC(key, `phi` ‖ 00 ‖ all PHI messages in order, without the key).
    pub fn commit_phi(&self) -> Commit {
        self.commit(PHI)
    }

    /// Begins the commitment to the result: HMAC(key, `result` ‖ 00 ‖ all result messages in order).
    pub fn commit_result(&self) -> Commit {
        self.commit(RESULT)
    }

    fn commit(&self, what: &[u8]) -> Commit {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0));
        context.update(what);
        Commit(context)
    }
}

impl fmt::Debug for CommitmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentKey(..)")
    }
}

/// A commitment under way: the messages come as they cross.
pub struct Commit(hmac::Context);

impl Commit {
    /// Adds the next bytes. How they are cut into pieces makes no difference.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The commitment to all of them.
    pub fn finish(self) -> Commitment {
        let mut commitment = [0; 32];
        commitment.copy_from_slice(self.0.sign().as_ref());
        Commitment(commitment)
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commit(..)")
    }
}

/// What was committed to, hidden from all who lack the key. It may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// One that a receipt carries.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commitment({self})")
    }
}
