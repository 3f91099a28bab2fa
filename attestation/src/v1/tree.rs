//! The Merkle tree of a batch: RFC 9162 §2.1 over SHA-256, where an entry is the SHA-256 of a session's transcript.
//!
//! The first byte keeps leaves and nodes apart, so that no inner node can be passed off as a leaf (RFC 9162 §2.1.1).
//!
//! It is our own, a screen of code. Of the maintained crates `ct-merkle` 0.3 has this very tree, but hashes through the traits
//! of `digest`: with `sha2` what ships would have a second SHA-256 beside aws-lc's, and a wrapper of aws-lc's is as long as
//! the tree. It also calls itself unaudited, and panics on a size over 2^63, so the bounds in `proof.rs` would be needed all the
//! same. `rs_merkle` does not keep leaves and nodes apart.

use super::proof::{InclusionProof, Position};
use super::sha256_of;
use crate::Nonce;

/// Most sessions that share a token.
pub const MAX_BATCH: u32 = 4096;

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// What the token's nonce commits to in front of size and root: no other protocol's nonce is made like this.
const ROOT: &[u8] = b"attested-sleep/1 root";

/// A session's leaf: SHA-256(00 ‖ SHA-256(transcript)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf([u8; 32]);

impl Leaf {
    /// The leaf of a transcript by its SHA-256.
    pub(super) fn of(transcript_sha256: &[u8; 32]) -> Self {
        Self(sha256_of(&[LEAF, transcript_sha256]))
    }

    /// A hash that is already a leaf's, as one of a queue that sits between session and launcher.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The node over two others: SHA-256(01 ‖ left ‖ right).
pub(super) fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256_of(&[NODE, left, right])
}

/// The nonce of a token for this tree: base64(SHA-256("attested-sleep/1 root" ‖ size ‖ root)).
///
/// The size, 4 bytes big endian, is in it because the root alone does not say it: the same path leads to the same root
/// in trees of several sizes.
pub(super) fn root_nonce(size: u32, root: &[u8; 32]) -> Nonce {
    Nonce::of_hash(&sha256_of(&[ROOT, &size.to_be_bytes(), root]))
}

/// A tree that grows no more: the sessions whose leaves are in it share the token that carries its nonce.
#[derive(Debug)]
pub struct Batch {
    size: u32,
    /// From the leaves up to the root; each level has half the hashes of the one below, rounded up.
    levels: Vec<Vec<[u8; 32]>>,
}

/// No leaf, or more than [`MAX_BATCH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "wrong size of a batch: wanted 1 to {MAX_BATCH} sessions, got {got}; the rest waits for the next token"
)]
pub struct BatchSizeError {
    /// Leaves.
    pub got: usize,
}

impl Batch {
    /// Builds the tree over the leaves in their order.
    ///
    /// # Errors
    /// [`BatchSizeError`] unless there are 1 to [`MAX_BATCH`].
    pub fn seal(leaves: Vec<Leaf>) -> Result<Self, BatchSizeError> {
        let got = leaves.len();
        let size = u32::try_from(got).map_err(|_| BatchSizeError { got })?;
        if !(1..=MAX_BATCH).contains(&size) {
            return Err(BatchSizeError { got });
        }
        let mut levels: Vec<Vec<[u8; 32]>> = Vec::new();
        let mut level: Vec<[u8; 32]> = leaves.into_iter().map(|leaf| leaf.0).collect();
        while level.len() > 1 {
            let above = level.chunks(2).map(parent).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Ok(Self { size, levels })
    }

    /// How many sessions it holds.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The only nonce of the token that this batch needs.
    pub fn nonce(&self) -> Nonce {
        root_nonce(self.size, &self.root())
    }

    /// The proof that the leaf at `index` is in the tree; `None` if it has no such leaf.
    pub fn proof(&self, index: u32) -> Option<InclusionProof> {
        let position = Position::new(index.into(), self.size.into()).ok()?;
        let mut at = usize::try_from(index).ok()?;
        let mut path = Vec::new();
        for level in &self.levels {
            // The last of an odd number has no sibling; it is its own parent.
            path.extend(level.get(at ^ 1));
            at >>= 1;
        }
        InclusionProof::at(position, path).ok()
    }

    /// RFC 9162 §2.1.1, MTH: splitting at the largest power of two below the size is the same as pairing from the left.
    pub(super) fn root(&self) -> [u8; 32] {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }
}

fn parent(children: &[[u8; 32]]) -> [u8; 32] {
    match children {
        [left, right] => node(left, right),
        // The last of an odd number goes up as it is.
        [only] => *only,
        _ => [0; 32],
    }
}
