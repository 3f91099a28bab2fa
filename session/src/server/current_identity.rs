//! The TLS identity that new connections get, and its renewal while others go on.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::Error;
use tokio_rustls::TlsAcceptor;

use crate::identity::{Identity, ReceiptKey};
use crate::tls;

/// The identity of a [`Server`](super::Server), to be renewed while it serves.
///
/// A connection takes it once, when it is accepted, and keeps it: for its handshake, for the key in its transcript, and
/// for its receipt. An identity that was replaced is wiped with the last connection that has it.
#[derive(Clone)]
pub struct CurrentIdentity(Arc<RwLock<Arc<Keys>>>);

/// One identity in both of its uses.
pub(super) struct Keys {
    pub(super) tls: TlsAcceptor,
    pub(super) receipts: ReceiptKey,
}

impl Keys {
    fn of(identity: Identity) -> Result<Arc<Self>, Error> {
        let receipts = identity.receipt_key()?;
        Ok(Arc::new(Self { tls: TlsAcceptor::from(tls::server_config(identity)?), receipts }))
    }
}

impl CurrentIdentity {
    pub(super) fn new(identity: Identity) -> Result<Self, Error> {
        Ok(Self(Arc::new(RwLock::new(Keys::of(identity)?))))
    }

    /// Connections that are accepted from now on get this one.
    ///
    /// # Errors
    /// rustls', if it cannot be used; the one before stays.
    pub fn renew(&self, identity: Identity) -> Result<(), Error> {
        let keys = Keys::of(identity)?;
        // A pointer is whole whatever panicked while it was held.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for CurrentIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentIdentity").finish_non_exhaustive()
    }
}
