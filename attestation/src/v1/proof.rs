//! The proof that a leaf is in a tree (RFC 9162 §2.1.3), from strangers.

use super::tree::{Leaf, MAX_BATCH, node, root_nonce};
use crate::Nonce;

/// A place in a tree: 1 <= size <= [`MAX_BATCH`], index < size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    index: u32,
    size: u32,
}

impl Position {
    pub(super) fn new(index: u64, size: u64) -> Result<Self, ProofError> {
        let small = u32::try_from(size).ok().filter(|size| (1..=MAX_BATCH).contains(size));
        let Some(size) = small else { return Err(ProofError::Size { got: size }) };
        match u32::try_from(index) {
            Ok(index) if index < size => Ok(Self { index, size }),
            _ => Err(ProofError::Index { got: index, size }),
        }
    }

    /// The way from the leaf to the root, a level at a time.
    fn climb(self) -> impl Iterator<Item = Level> {
        let mut place = (self.index, self.size - 1);
        std::iter::from_fn(move || {
            let (index, last) = place;
            place = (index >> 1, last >> 1);
            match (index, last) {
                (_, 0) => None,
                (index, _) if index % 2 == 1 => Some(Level::Right),
                (index, last) if index == last => Some(Level::Alone),
                _ => Some(Level::Left),
            }
        })
    }

    /// How many siblings a proof for this place has: at most 12.
    fn siblings(self) -> usize {
        self.climb().filter(|level| *level != Level::Alone).count()
    }

    pub(super) fn admit(self, siblings: usize) -> Result<(), ProofError> {
        let wanted = self.siblings();
        if siblings == wanted { Ok(()) } else { Err(ProofError::Length { wanted, got: siblings }) }
    }
}

/// Where a node stands below its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Left,
    Right,
    /// The last of an odd number: it has no sibling and goes up as it is.
    Alone,
}

/// The siblings on the way from one leaf to the root. Its place is one that a tree of at most [`MAX_BATCH`] has, and its
/// length the one that belongs to the place, whoever sent it. That a leaf is in the tree it says only together with a
/// token that carries [`InclusionProof::nonce`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    position: Position,
    path: Vec<[u8; 32]>,
}

/// A proof that no tree can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// An empty tree, or one of more than [`MAX_BATCH`].
    #[error("wrong tree size: wanted 1 to {MAX_BATCH}, got {got}")]
    Size {
        /// The size.
        got: u64,
    },
    /// No leaf has this index.
    #[error("wrong leaf index: wanted one below the tree size {size}, got {got}")]
    Index {
        /// The index.
        got: u64,
        /// The size of the tree.
        size: u32,
    },
    /// Too few or too many siblings for the place.
    #[error("wrong length of the proof: wanted {wanted} hashes for this index and tree size, got {got}")]
    Length {
        /// Hashes.
        wanted: usize,
        /// Hashes.
        got: usize,
    },
}

impl InclusionProof {
    /// A proof for the leaf at `index` of a tree of `size` leaves; `path` from the leaf's sibling upwards.
    ///
    /// # Errors
    /// [`ProofError`] unless 1 <= `size` <= [`MAX_BATCH`], `index` < `size` and `path` has exactly the length that RFC 9162
    /// §2.1.3.1 gives for them.
    pub fn new(index: u32, size: u32, path: Vec<[u8; 32]>) -> Result<Self, ProofError> {
        Self::at(Position::new(index.into(), size.into())?, path)
    }

    pub(super) fn at(position: Position, path: Vec<[u8; 32]>) -> Result<Self, ProofError> {
        position.admit(path.len())?;
        Ok(Self { position, path })
    }

    /// The place of the leaf, from 0.
    pub fn index(&self) -> u32 {
        self.position.index
    }

    /// How many sessions share the token.
    pub fn size(&self) -> u32 {
        self.position.size
    }

    /// The siblings, from the leaf's upwards.
    pub fn path(&self) -> &[[u8; 32]] {
        &self.path
    }

    /// The nonce that a token must carry if it is for the session of this leaf: the fold of leaf and siblings to the root
    /// (RFC 9162 §2.1.3.2), hashed with the size.
    pub fn nonce(&self, leaf: &Leaf) -> Nonce {
        let mut siblings = self.path.iter();
        let root = self.position.climb().fold(*leaf.as_bytes(), |below, level| match level {
            Level::Alone => below,
            Level::Left => siblings.next().map_or(below, |right| node(&below, right)),
            Level::Right => siblings.next().map_or(below, |left| node(left, &below)),
        });
        root_nonce(self.position.size, &root)
    }
}
