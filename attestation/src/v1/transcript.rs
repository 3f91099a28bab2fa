//! What binds a session: the transcript, and the leaf that a token commits to.
//!
//! ```text
//! transcript, 145 bytes =
//!     "attested-sleep/1"        16   no other protocol's hash input begins like this
//!   ‖ role                       1   01 the server attests, 02 the client: nothing can be reflected to its sender
//!   ‖ exporter output           32   RFC 9266: this TLS session and no other, what stops a relay
//!   ‖ SHA-256 of the SPKI       32   makes the key that signs the receipt part of what the token vouches for
//!   ‖ client nonce              32   defence in depth, should an exporter ever repeat
//!   ‖ server nonce              32
//! ```

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::error::RandomError;
use super::secret::Secret;
use super::tree::Leaf;
use crate::Role;
use crate::chain::sha256;

/// Exporter label of wire version 1, without context: the channel binding `tls-exporter` of RFC 9266 §2.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Length of a transcript in bytes.
pub const TRANSCRIPT_BYTES: usize = 145;

/// What every transcript begins with.
const PREFIX: &[u8] = b"attested-sleep/1";

/// The 32 random bytes by which each end makes a session its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HelloNonce([u8; 32]);

impl HelloNonce {
    /// Fresh ones from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] if it gives none.
    pub fn random() -> Result<Self, RandomError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomError)?;
        Ok(Self(bytes))
    }

    /// The bytes that a message or evidence carries.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes. They are public.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for HelloNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HelloNonce({})", STANDARD.encode(self.0))
    }
}

/// What both roles of one TLS session are bound by: the exporter's output and the server's key. Wiped on drop;
/// `Debug` shows nothing of it.
pub struct SessionBinding {
    exporter: Secret,
    spki_sha256: [u8; 32],
}

impl SessionBinding {
    /// Takes both from a TLS session whose handshake is complete.
    ///
    /// `export` fills the buffer with keying material exported from that session for the given label and context: with
    /// rustls, `connection.export_keying_material(buffer, label, context)`. `server_spki_der` is the
    /// SubjectPublicKeyInfo (RFC 5280 §4.1) of the certificate of this very handshake, the whole DER element as it
    /// stands there.
    ///
    /// # Errors
    /// Whatever `export` answers, for example that the handshake is not complete.
    pub fn of_session<E>(
        export: impl FnOnce(&mut [u8; 32], &[u8], Option<&[u8]>) -> Result<(), E>,
        server_spki_der: &[u8],
    ) -> Result<Self, E> {
        let exporter = Secret::filled(|buffer| export(buffer, EXPORTER_LABEL, None))?;
        Ok(Self::of_parts(exporter, server_spki_der))
    }

    pub(super) fn of_parts(exporter: Secret, server_spki_der: &[u8]) -> Self {
        Self { exporter, spki_sha256: sha256(server_spki_der) }
    }

    /// The transcript in which `role` attests.
    pub fn transcript(&self, role: Role, client_nonce: &HelloNonce, server_nonce: &HelloNonce) -> Transcript {
        Transcript {
            role,
            exporter: self.exporter.clone(),
            spki_sha256: self.spki_sha256,
            client_nonce: *client_nonce,
            server_nonce: *server_nonce,
        }
    }
}

impl fmt::Debug for SessionBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionBinding(..)")
    }
}

/// Everything that one attestation of one session is bound to. Wiped on drop; `Debug` shows nothing of the exporter's
/// output.
pub struct Transcript {
    pub(super) role: Role,
    pub(super) exporter: Secret,
    pub(super) spki_sha256: [u8; 32],
    pub(super) client_nonce: HelloNonce,
    pub(super) server_nonce: HelloNonce,
}

impl Transcript {
    /// The bytes, [`TRANSCRIPT_BYTES`] of them. They hold the exporter's output: never to be logged.
    pub fn expose(&self) -> Zeroizing<Vec<u8>> {
        let role = match self.role {
            Role::Server => 1,
            Role::Client => 2,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(TRANSCRIPT_BYTES));
        bytes.extend_from_slice(PREFIX);
        bytes.push(role);
        bytes.extend_from_slice(&*self.exporter);
        bytes.extend_from_slice(&self.spki_sha256);
        bytes.extend_from_slice(self.client_nonce.as_bytes());
        bytes.extend_from_slice(self.server_nonce.as_bytes());
        bytes
    }

    /// SHA-256 of the bytes, which the receipt carries. It may be shown.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.expose())
    }

    /// The leaf of the tree that this session's token commits to.
    pub fn leaf(&self) -> Leaf {
        Leaf::of(&self.sha256())
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").field("role", &self.role).finish_non_exhaustive()
    }
}
