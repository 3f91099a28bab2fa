//! The workload's end: accept, upgrade, show a token made for this session, receive PHI, answer.
//!
//! [`Server::serve`] runs it all; what to do with the PHI is the [`Workload`]'s. A slow, silent or hostile peer
//! costs a bounded amount of memory and time and nobody else's session.

mod admission;
mod session;
mod upgrade;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use attestation::{Phi, Token};
use launcher::TokenSource;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info, info_span, warn};
use zeroize::Zeroizing;

pub use session::{Admitted, Attested, Connected, NoToken, Outcome, Responder, SessionError};

use crate::close::Close;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::tls;
use admission::{AddressSeat, Admission, Seat};
use upgrade::Upgrade;

/// How long to wait after an error of `accept`, such as too many open files, before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server does with the PHI it is given.
pub trait Workload: Send + Sync + 'static {
    /// Analyses one message of PHI. Called once for each session, on the task of that session.
    ///
    /// # Errors
    /// [`PhiInvalid`] if the PHI cannot be used; the peer learns no more than that.
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid>;

    /// A token has arrived and is about to be sent.
    fn token_received(&self, _token: &Token) {}
}

/// The result of a [`Workload`]: text that is computed from PHI, wiped on drop.
pub struct Reply(Zeroizing<String>);

impl Reply {
    /// Takes the text over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
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

/// A server that could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// TLS could not be configured.
    #[error("configuring TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The audience cannot be asked for.
    #[error(transparent)]
    Request(#[from] launcher::RequestError),
}

/// One workload behind TLS 1.3 and a websocket.
pub struct Server<W> {
    tls: TlsAcceptor,
    source: Arc<dyn TokenSource>,
    audience: String,
    workload: W,
    limits: Limits,
}

impl<W: Workload> Server<W> {
    /// A server that asks `source` for tokens made for `audience`.
    ///
    /// # Errors
    /// [`ServerError`] if the identity cannot be used or the audience is longer than the service takes.
    pub fn new(
        identity: Identity,
        source: Arc<dyn TokenSource>,
        audience: impl Into<String>,
        workload: W,
        limits: Limits,
    ) -> Result<Self, ServerError> {
        let audience = audience.into();
        launcher::TokenRequest::pki(audience.as_str(), &"n".repeat(attestation::NONCE_CHARS))?;
        let tls = TlsAcceptor::from(tls::server_config(identity)?);
        Ok(Self { tls, source, audience, workload, limits })
    }

    /// Serves until `shutdown` is cancelled, then stops accepting, lets sessions under way go on for `drain`, closes
    /// what is left with 1001 and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken, drain: Duration) {
        let admission = Arc::new(Admission::new(&self.limits));
        let server = Arc::new(self);
        let sessions = TaskTracker::new();
        let closing = CancellationToken::new();
        let mut number: u64 = 0;
        loop {
            // Beyond this many handshakes accepting pauses: the queue is the kernel's.
            let slot = Arc::clone(&admission.handshakes).acquire_owned();
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = async { (slot.await, listener.accept().await) } => accepted,
            };
            let (handshake, (tcp, peer)) = match accepted {
                (Ok(slot), Ok(accepted)) => (slot, accepted),
                (_, Err(error)) => {
                    warn!(%error, "accepting failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
                // The semaphore is never closed.
                (Err(_), _) => break,
            };
            let (Some(shaking), Some(admitted)) =
                (admission.handshake(peer.ip()), admit(&admission, peer, handshake))
            else {
                debug!(peer = %canonical(peer), "dropped: too many connections");
                continue;
            };
            number += 1;
            let span = info_span!("session", id = number, peer = %canonical(peer));
            let session = Arc::clone(&server).session(
                tcp,
                peer,
                Arc::clone(&admission),
                (shaking, admitted),
                closing.clone(),
            );
            sessions.spawn(session.instrument(span));
        }
        drop(listener);
        sessions.close();
        info!(sessions = sessions.len(), "draining");
        if timeout(drain, sessions.wait()).await.is_err() {
            closing.cancel();
            sessions.wait().await;
        }
    }

    /// One connection from its first byte to its last; logs its one outcome.
    async fn session(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        admission: Arc<Admission>,
        (shaking, Entry { handshake, seat }): (AddressSeat, Entry),
        closing: CancellationToken,
    ) {
        let upgrade = self.upgrade(tcp, peer.ip(), seat.is_some(), &admission);
        let upgrade = timeout(self.limits.handshake, upgrade);
        let upgraded = tokio::select! {
            () = closing.cancelled() => return debug!(outcome = "draining", "no session came about"),
            upgraded = upgrade => upgraded,
        };
        drop((shaking, handshake));
        let (connected, waiting) = match upgraded {
            Err(_) => return debug!(outcome = "lost", "TLS and the upgrade took too long"),
            Ok(Err(error)) => return debug!(outcome = "lost", %error, "no session came about"),
            Ok(Ok(Upgrade::Answered { status })) => {
                return debug!(outcome = "answered-by-http", status, "no session came about");
            }
            Ok(Ok(Upgrade::Session { connected, waiting })) => (*connected, waiting),
        };
        match self.exchange(connected, waiting, &closing).await {
            Ok(()) => info!(outcome = "answered", "session done"),
            Err(SessionError::Token(error)) => {
                let close = Close::AttestationUnavailable;
                error!(outcome = "no-token", %close, next = error.hint(), "token request failed: {error}");
            }
            Err(error) => info!(outcome = error.outcome().name(), %error, "session ended"),
        }
    }

    async fn upgrade(
        &self,
        tcp: TcpStream,
        peer: IpAddr,
        seated: bool,
        admission: &Admission,
    ) -> std::io::Result<Upgrade> {
        // Without it each session stalls some 40 ms on Nagle's algorithm meeting delayed acknowledgements.
        tcp.set_nodelay(true)?;
        let tls = self.tls.accept(tcp).await?;
        let place = || if seated { admission.place(peer) } else { None };
        upgrade::upgrade(tls, place, &self.limits).await
    }

    async fn exchange(
        &self,
        connected: Connected,
        waiting: Seat,
        closing: &CancellationToken,
    ) -> Result<(), SessionError> {
        let (attested, token) = connected.attest(&*self.source, &self.audience, closing).await?;
        drop(waiting);
        self.workload.token_received(&token);
        drop(token);
        let (phi, responder) = attested.admit_any_client().receive(closing).await?;
        let answered = self.workload.answer(&phi);
        drop(phi);
        responder.respond(answered).await
    }
}

/// An accepted connection that may shake hands, and its seat if there is one.
struct Entry {
    handshake: OwnedSemaphorePermit,
    seat: Option<Seat>,
}

/// Gives a connection its seat. Without one it may still shake hands to be told so, but not at the cost of those who
/// have one; `None`: not even that.
fn admit(admission: &Admission, peer: SocketAddr, handshake: OwnedSemaphorePermit) -> Option<Entry> {
    match admission.seat(peer.ip()) {
        Some(seat) => Some(Entry { handshake, seat: Some(seat) }),
        None => {
            let handshake = Arc::clone(&admission.refusals).try_acquire_owned().ok()?;
            Some(Entry { handshake, seat: None })
        }
    }
}

/// The peer's address as people write it: IPv4 where it is one, also when the listener is an IPv6 socket.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(address(peer.ip()), peer.port())
}

fn address(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
