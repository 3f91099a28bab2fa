//! From an open websocket to a decision.

use attestation::v1::{Attestation, Hello, HelloNonce, InclusionProof, SessionBinding, Transcript};
use attestation::{Nonce, Role, Token, VerifiedToken, Verifier, VerifyError};
use policy::{Decision, Policy, SessionFacts};
use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Message;

use super::approved::Approved;
use super::connect::{Attest, ConnectionInfo};
use crate::close::Close;
use crate::corked::ClientTls;
use crate::limits::Limits;
use crate::link::{Deadline, Link, LinkError};

pub(super) type ClientLink = Link<ClientTls>;

/// An open websocket over TLS 1.3 to somebody who has proven nothing yet.
pub struct Connected {
    pub(super) link: ClientLink,
    pub(super) binding: Binding,
    pub(super) info: ConnectionInfo,
    pub(super) limits: Limits,
}

/// What the proof of a session must be bound to, as far as it is known before the proof comes.
pub(super) enum Binding {
    /// The nonce that the token must carry.
    V0(Nonce),
    V1(Box<Unattested>),
}

/// A session of version 1 whose hello has been said.
pub(super) struct Unattested {
    pub(super) binding: SessionBinding,
    /// The SubjectPublicKeyInfo of this handshake's certificate, DER.
    pub(super) spki: Vec<u8>,
    pub(super) client_nonce: HelloNonce,
    pub(super) attest: Attest,
}

/// A connection whose peer has presented a token that nobody has judged yet.
pub struct Presented {
    pub(super) link: ClientLink,
    pub(super) info: ConnectionInfo,
    pub(super) limits: Limits,
    pub(super) token: Token,
    /// What the token must carry.
    pub(super) nonce: Nonce,
    /// `None`: wire version 0.
    pub(super) version_1: Option<Box<Version1>>,
}

/// What version 1 keeps of a session beside its token.
pub(super) struct Version1 {
    pub(super) binding: SessionBinding,
    pub(super) spki: Vec<u8>,
    pub(super) client_nonce: HelloNonce,
    pub(super) server_nonce: HelloNonce,
    /// In which the server attests.
    pub(super) transcript: Transcript,
    pub(super) proof: InclusionProof,
    /// Whether the server has asked for a proof that has not been given yet.
    pub(super) proof_wanted: bool,
}

/// A connection whose peer showed an authentic token that is valid now. Whose token it is, and whether it is for
/// this session, is not decided yet.
pub struct Attested {
    presented: Presented,
    token: VerifiedToken,
}

/// A token that is not authentic, or not valid now, and the connection it came over.
pub struct Unproven {
    /// The first check that failed; [`Verifier::report`] lists all.
    pub error: VerifyError,
    link: ClientLink,
}

/// An authentic token that is not acceptable, and the connection it came over.
pub struct Denied {
    /// Which rules failed, and the values.
    pub decision: Decision,
    /// The token.
    pub token: VerifiedToken,
    link: ClientLink,
}

impl Unattested {
    pub(super) fn hello(&self) -> Hello {
        Hello { client_nonce: self.client_nonce, attest: self.attest != Attest::Never }
    }

    /// What follows from the server's message for this session. Nothing of it is judged, but that both ends agree on
    /// whether the client proves itself.
    fn attested(self, message: Attestation) -> Result<(Token, Nonce, Box<Version1>), LinkError> {
        let Self { binding, spki, client_nonce, attest } = self;
        let Attestation { server_nonce, token, proof, attest: asked } = message;
        match (attest, asked) {
            (Attest::Never, true) => {
                return Err(LinkError::Mutual { wanted: "no proof of ours", got: "one asked for" });
            }
            (Attest::Required, false) => {
                return Err(LinkError::Mutual { wanted: "a proof of ours asked for", got: "none" });
            }
            _ => {}
        }
        let transcript = binding.transcript(Role::Server, &client_nonce, &server_nonce);
        let nonce = proof.nonce(&transcript.leaf());
        let proof_wanted = asked;
        let version_1 =
            Version1 { binding, spki, client_nonce, server_nonce, transcript, proof, proof_wanted };
        Ok((token, nonce, Box::new(version_1)))
    }
}

impl Connected {
    /// What is known of the connection.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Waits for the server's first message: the token, in wire version 1 with the proof that it is for this session
    /// too.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is closed by then.
    pub async fn receive_token(mut self) -> Result<Presented, LinkError> {
        let deadline = Deadline::after(self.limits.attestation);
        let received = match self.link.receive_at_most(self.limits.attestation_bytes, deadline).await {
            Ok(Message::Text(text)) => read(self.binding, text.as_str()),
            Ok(_) => Err(LinkError::WrongType { wanted: "the token as text", got: "binary" }),
            Err(error) => Err(error),
        };
        let Self { link, info, limits, .. } = self;
        match received {
            Ok((token, nonce, version_1)) => Ok(Presented { link, info, limits, token, nonce, version_1 }),
            Err(error) => {
                match &error {
                    LinkError::TooLarge { .. } => link.close(Close::TooBig).await,
                    LinkError::WrongType { .. } | LinkError::Malformed { .. } => {
                        link.close(Close::Type).await;
                    }
                    LinkError::Mutual { .. } => link.close(Close::Refused).await,
                    LinkError::Timeout { .. } => link.close(Close::TooSlow).await,
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

fn read(binding: Binding, text: &str) -> Result<(Token, Nonce, Option<Box<Version1>>), LinkError> {
    match binding {
        Binding::V0(nonce) => match Token::new(text) {
            Ok(token) => Ok((token, nonce, None)),
            Err(_) => Err(LinkError::TooLarge { limit: attestation::message::MAX_TOKEN_BYTES }),
        },
        Binding::V1(unattested) => {
            let message = Attestation::parse(text)
                .map_err(|error| LinkError::malformed("an attestation of version 1", &error))?;
            let (token, nonce, version_1) = unattested.attested(message)?;
            Ok((token, nonce, Some(version_1)))
        }
    }
}

impl Presented {
    /// What is known of the connection.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// The token as it came.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The nonce that a token for this session must carry, which both ends work out for themselves. In wire version 1 it
    /// follows from this session's own leaf and the proof that came with the token.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// How many sessions share the token: 1 in wire version 0.
    pub fn batch_size(&self) -> u32 {
        self.version_1.as_ref().map_or(1, |version_1| version_1.proof.size())
    }

    /// Verifies the token that came over this connection, at `now`.
    ///
    /// # Errors
    /// [`Unproven`], to be closed with [`Unproven::close`].
    pub fn attest(self, verifier: &Verifier, now: UnixTime) -> Result<Attested, Box<Unproven>> {
        match verifier.verify(&self.token, now) {
            Ok(token) => Ok(Attested { presented: self, token }),
            Err(error) => Err(Box::new(Unproven { error, link: self.link })),
        }
    }
}

impl Attested {
    /// The token.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Decides whether the peer may have the PHI. Whatever the policy says, the token must carry this
    /// session's nonce and nothing else, and be made for `audience` and nobody else.
    ///
    /// # Errors
    /// [`Denied`], to be closed with [`Denied::close`].
    pub fn decide(self, policy: &Policy, audience: &str, now: UnixTime) -> Result<Approved, Box<Denied>> {
        let Self { presented, token } = self;
        let facts = SessionFacts {
            nonce: presented.nonce.clone(),
            audience: audience.to_owned(),
            wire: presented.info.wire,
            role: Role::Server,
            now,
        };
        let decision = policy.decide(&token, &facts);
        if decision.allowed() {
            Ok(Approved::new(presented, token, decision, now))
        } else {
            Err(Box::new(Denied { decision, token, link: presented.link }))
        }
    }
}

impl Unproven {
    /// Tells the peer that it is refused, not why, and ends the connection.
    pub async fn close(self) {
        self.link.close(Close::Refused).await;
    }
}

impl Denied {
    /// Tells the peer that it is refused, not why, and ends the connection.
    pub async fn close(self) {
        self.link.close(Close::Refused).await;
    }
}
