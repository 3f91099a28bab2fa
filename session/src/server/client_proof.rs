//! Mutual attestation: the client proves itself before a byte of its PHI is parsed.
//!
//! It is the same proof the other way round, over the same session and in the client's role, judged by the same
//! verifier and a policy of the server's own. The role is in what the token commits to, so that the server's own
//! token, sent back to it, is for another session.

use std::fmt;
use std::sync::Arc;

use attestation::v1::{self, Hello, Leaf};
use attestation::{Nonce, Role, Token, Verifier};
use policy::{Policy, SessionFacts};
use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::error::{ClientRefusal, SessionError};
use super::receipts::Receipts;
use super::responder::Admitted;
use super::stages::{ServerLink, end};
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// Whether a server lets clients prove themselves. Wire version 0 has no way to.
#[derive(Clone, Debug, Default)]
pub enum ClientAttestation {
    /// Any client is served, and none is asked.
    #[default]
    Never,
    /// Any client is served; those that offer to prove themselves are asked, and judged.
    Auto(Arc<ClientJudge>),
    /// Only clients that prove themselves are served.
    Required(Arc<ClientJudge>),
}

/// What a server accepts of its clients.
pub struct ClientJudge {
    /// Verifies their tokens.
    pub verifier: Verifier,
    /// Decides on what they say.
    pub policy: Policy,
    /// Our own name: the audience that their tokens must be made for.
    pub audience: String,
}

impl fmt::Debug for ClientJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientJudge").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl ClientAttestation {
    /// Whether a client that greets so may go on.
    pub(super) fn admits(&self, hello: &Hello) -> bool {
        hello.attest || !matches!(self, Self::Required(_))
    }

    /// Who judges a client that greets so, if it is asked for a proof.
    pub(super) fn judge_of(&self, hello: &Hello) -> Option<Arc<ClientJudge>> {
        match self {
            Self::Never => None,
            Self::Auto(judge) => hello.attest.then(|| Arc::clone(judge)),
            Self::Required(judge) => Some(Arc::clone(judge)),
        }
    }
}

/// The client has been sent a token and asked for its own.
pub struct AwaitingClient {
    link: ServerLink,
    limits: Limits,
    receipts: Box<Receipts>,
    judge: Arc<ClientJudge>,
    /// What the client's token must commit to.
    leaf: Leaf,
}

/// The client has presented a token that nobody has judged yet.
pub struct PresentedClient {
    link: ServerLink,
    limits: Limits,
    receipts: Box<Receipts>,
    judge: Arc<ClientJudge>,
    token: Token,
    /// What the token must carry.
    nonce: Nonce,
}

/// A client whose proof was refused, and its connection.
pub struct RefusedClient {
    /// Why.
    pub refusal: ClientRefusal,
    link: ServerLink,
}

impl AwaitingClient {
    pub(super) fn new(
        link: ServerLink,
        limits: Limits,
        receipts: Box<Receipts>,
        judge: Arc<ClientJudge>,
        leaf: Leaf,
    ) -> Self {
        Self { link, limits, receipts, judge, leaf }
    }

    /// Waits for the client's token.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn receive_proof(
        mut self,
        closing: &CancellationToken,
    ) -> Result<PresentedClient, SessionError> {
        let deadline = Deadline::after(self.limits.mutual);
        let received = tokio::select! {
            () = closing.cancelled() => None,
            received = self.link.receive_at_most(self.limits.attestation_bytes, deadline) => Some(received),
        };
        let (close, error) = match received {
            None => (Close::Draining, SessionError::Draining),
            Some(Ok(Message::Text(text))) => match v1::ClientAttestation::parse(text.as_str()) {
                Ok(v1::ClientAttestation { token, proof }) => {
                    let Self { link, limits, receipts, judge, leaf } = self;
                    let nonce = proof.nonce(&leaf);
                    return Ok(PresentedClient { link, limits, receipts, judge, token, nonce });
                }
                Err(error) => {
                    let error = LinkError::malformed("a client's attestation", &error);
                    (Close::Type, SessionError::Link(error))
                }
            },
            Some(Ok(_)) => {
                let wrong = LinkError::WrongType { wanted: "a client's attestation as text", got: "binary" };
                (Close::Type, SessionError::Link(wrong))
            }
            Some(Err(LinkError::Closed { code: Some(1008), .. })) => (Close::Done, SessionError::Refused),
            Some(Err(error)) => (error.close(), SessionError::Link(error)),
        };
        Err(end(self.link, close, error).await)
    }
}

impl PresentedClient {
    /// The token as it came.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Decides whether the client may send PHI, at `now`. Whatever the policy says, its token must carry this session's
    /// nonce for the client's role and nothing else, and be made for us and nobody else.
    ///
    /// # Errors
    /// [`RefusedClient`], to be closed with [`RefusedClient::close`].
    pub fn decide(self, now: UnixTime) -> Result<Admitted, Box<RefusedClient>> {
        match self.judge.refusal(&self.token, &self.nonce, now) {
            None => Ok(Admitted::new(self.link, self.limits, Some(self.receipts))),
            Some(refusal) => Err(Box::new(RefusedClient { refusal, link: self.link })),
        }
    }
}

impl ClientJudge {
    fn refusal(&self, token: &Token, nonce: &Nonce, now: UnixTime) -> Option<ClientRefusal> {
        let token = match self.verifier.verify(token, now) {
            Ok(token) => token,
            Err(error) => return Some(ClientRefusal::NotProven(error)),
        };
        let facts = SessionFacts {
            nonce: nonce.clone(),
            audience: self.audience.clone(),
            wire: 1,
            role: Role::Client,
            now,
        };
        let denied = self.policy.decide(&token, &facts).into_allowance().err()?;
        Some(ClientRefusal::NotAcceptable { failed: denied.failed().map(str::to_owned).collect() })
    }
}

impl RefusedClient {
    /// Tells the client that it is refused, not why, and ends the connection.
    pub async fn close(self) -> SessionError {
        end(self.link, Close::ClientRefused, SessionError::ClientRefused(self.refusal)).await
    }
}
