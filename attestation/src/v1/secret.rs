//! 32 bytes that must not be left behind.

use std::ops::Deref;

use zeroize::Zeroizing;

/// 32 secret bytes that stay in one place until they are wiped: whoever moves it moves a pointer, and leaves no copy on a
/// stack.
pub(crate) struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// Filled in its place.
    pub(crate) fn filled<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::default());
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// A copy of bytes that are elsewhere.
    pub(crate) fn copy_of(bytes: &[u8; 32]) -> Self {
        let mut secret = Self(Box::default());
        secret.0.copy_from_slice(bytes);
        secret
    }
}

impl Deref for Secret {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}
