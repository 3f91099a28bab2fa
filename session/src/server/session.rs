//! The stages of one session at the workload's end.
//!
//! ```text
//! Connected ─attest→ Attested ─admit_any_client→ Admitted ─receive→ (Phi, Responder) ─respond→ done
//! ```
//!
//! Only an [`Admitted`] session can receive PHI. Wire version 0 admits whoever asks: it is the client who has
//! something to lose.

use std::time::Duration;

use attestation::{Nonce, Phi, Token};
use launcher::{LauncherError, RequestError, TokenRequest, TokenSource};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{PhiInvalid, Reply};
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, Link, LinkError};

type ServerLink = Link<TlsStream<TcpStream>>;

/// A client has opened a websocket over TLS 1.3.
pub struct Connected {
    link: ServerLink,
    nonce: Nonce,
    limits: Limits,
}

/// The client has been sent a token made for this very session.
pub struct Attested {
    link: ServerLink,
    limits: Limits,
}

/// The client may send PHI.
pub struct Admitted {
    link: ServerLink,
    limits: Limits,
}

/// The client has sent PHI and waits for the result.
pub struct Responder {
    link: ServerLink,
    limits: Limits,
}

/// Why there is no token to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoToken {
    /// The launcher gave none.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// The launcher took longer than a client waits.
    #[error("no token within {waited:?}")]
    Timeout {
        /// [`Limits::launcher`].
        waited: Duration,
    },
    /// It could not be asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl NoToken {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Launcher(error) => error.hint(),
            Self::Timeout { .. } => {
                "see the launcher's log on the VM's serial port; it makes one token at a time, and its quota is 5 a second"
            }
            Self::Request(_) => "set an audience of 1 to 512 bytes",
        }
    }
}

/// Why a session ended without a result. The connection is closed by then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The launcher gave no token.
    #[error("token request failed: {0}")]
    Token(NoToken),
    /// The client closed with 1008 instead of sending PHI.
    #[error("the client refused the token")]
    Refused,
    /// The client sent something else than PHI.
    #[error(transparent)]
    Link(LinkError),
    /// The PHI cannot be used.
    #[error("the PHI cannot be used: {0}")]
    PhiInvalid(PhiInvalid),
    /// The result is longer than the limit.
    #[error("the result is too large: wanted at most {limit} bytes")]
    ReplyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The server is shutting down.
    #[error("draining")]
    Draining,
}

/// How a session ended, in one word for logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A result was sent.
    Answered,
    /// No token was to be had.
    NoToken,
    /// The client refused the token.
    Refused,
    /// The client's message was refused.
    PhiInvalid,
    /// The client was too slow, broke the protocol, or left.
    Lost,
    /// The server ended it.
    Draining,
}

impl Outcome {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoToken => "no-token",
            Self::Refused => "refused",
            Self::PhiInvalid => "phi-invalid",
            Self::Lost => "lost",
            Self::Draining => "draining",
        }
    }
}

impl SessionError {
    /// In one word.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Token(_) => Outcome::NoToken,
            Self::Refused => Outcome::Refused,
            Self::Link(_) => Outcome::Lost,
            Self::PhiInvalid(_) | Self::ReplyTooLarge { .. } => Outcome::PhiInvalid,
            Self::Draining => Outcome::Draining,
        }
    }
}

impl Connected {
    pub(super) fn new(link: ServerLink, nonce: Nonce, limits: Limits) -> Self {
        Self { link, nonce, limits }
    }

    /// Asks for a token for this session and sends it. The token is returned too, to be named in a log.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn attest(
        mut self,
        source: &dyn TokenSource,
        audience: &str,
        closing: &CancellationToken,
    ) -> Result<(Attested, Token), SessionError> {
        let asked = tokio::select! {
            () = closing.cancelled() => None,
            asked = ask(source, audience, &self.nonce, &self.limits) => Some(asked),
            // A client that leaves, or speaks out of turn, gives its place up to others.
            left = self.link.receive(Deadline::after(self.limits.launcher.saturating_mul(2))) => {
                let (close, error) = match left {
                    Ok(_) => (Close::Type, LinkError::WrongType { wanted: "silence", got: "a message" }),
                    Err(error) => (Close::Done, error),
                };
                return Err(end(self.link, close, SessionError::Link(error)).await);
            }
        };
        let token = match asked {
            None => return Err(end(self.link, Close::Draining, SessionError::Draining).await),
            Some(Err(error)) => {
                return Err(end(self.link, Close::AttestationUnavailable, SessionError::Token(error)).await);
            }
            Some(Ok(token)) => token,
        };
        let message = Message::text(token.as_str());
        match self.link.send(message, Deadline::after(self.limits.phi_first_byte)).await {
            Ok(()) => Ok((Attested { link: self.link, limits: self.limits }, token)),
            Err(error) => Err(SessionError::Link(error)),
        }
    }
}

async fn ask(
    source: &dyn TokenSource,
    audience: &str,
    nonce: &Nonce,
    limits: &Limits,
) -> Result<Token, NoToken> {
    let request = TokenRequest::pki(audience, nonce.as_str())?;
    match timeout(limits.launcher, source.token(&request)).await {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(NoToken::Timeout { waited: limits.launcher }),
    }
}

impl Attested {
    /// Lets the client send PHI without a proof of its own, as wire version 0 does.
    pub fn admit_any_client(self) -> Admitted {
        Admitted { link: self.link, limits: self.limits }
    }
}

impl Admitted {
    /// Receives one message of PHI.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn receive(mut self, closing: &CancellationToken) -> Result<(Phi, Responder), SessionError> {
        let first_byte = Deadline::after(self.limits.phi_first_byte);
        let whole = Deadline::after(self.limits.phi);
        let received = tokio::select! {
            () = closing.cancelled() => None,
            received = self.link.receive_begun_by(first_byte, whole) => Some(received),
        };
        let (close, error) = match received {
            None => (Close::Draining, SessionError::Draining),
            Some(Ok(Message::Binary(bytes))) => match Phi::new(Zeroizing::new(Vec::from(bytes))) {
                Ok(phi) => {
                    return Ok((phi, Responder { link: self.link, limits: self.limits }));
                }
                Err(_) => {
                    let limit = self.limits.phi_bytes;
                    (Close::TooBig, SessionError::Link(LinkError::TooLarge { limit }))
                }
            },
            Some(Ok(_)) => {
                let wrong = LinkError::WrongType { wanted: "PHI as binary", got: "text" };
                (Close::Type, SessionError::Link(wrong))
            }
            Some(Err(LinkError::Closed { code: Some(1008), .. })) => (Close::Done, SessionError::Refused),
            Some(Err(error)) => {
                let close = match &error {
                    LinkError::TooLarge { .. } => Close::TooBig,
                    LinkError::Timeout { .. } => Close::TooSlow,
                    LinkError::Protocol(_) => Close::Type,
                    _ => Close::Done,
                };
                (close, SessionError::Link(error))
            }
        };
        Err(end(self.link, close, error).await)
    }
}

impl Responder {
    /// Sends the result, or says that the PHI cannot be used, and closes.
    ///
    /// A client of the codelab has left by now; that the result does not reach it is no error.
    ///
    /// # Errors
    /// [`SessionError::PhiInvalid`], or [`SessionError::ReplyTooLarge`].
    pub async fn respond(mut self, answered: Result<Reply, PhiInvalid>) -> Result<(), SessionError> {
        let Reply(text) = match answered {
            Ok(reply) => reply,
            Err(reason) => {
                return Err(end(self.link, Close::PhiInvalid, SessionError::PhiInvalid(reason)).await);
            }
        };
        let limit = self.limits.result_bytes;
        if text.len() > limit {
            return Err(end(self.link, Close::PhiInvalid, SessionError::ReplyTooLarge { limit }).await);
        }
        let _ = self.link.send(Message::text(text.as_str()), Deadline::after(self.limits.result)).await;
        self.link.close(Close::Done).await;
        Ok(())
    }
}

async fn end(link: ServerLink, close: Close, error: SessionError) -> SessionError {
    link.close(close).await;
    error
}
