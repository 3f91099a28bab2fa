//! The workload's end: accept, upgrade, show a token made for this session, receive PHI, answer.
//!
//! [`Server::serve`] runs it all; what to do with the PHI is the [`Workload`]'s. A slow, silent or hostile peer
//! costs a bounded amount of memory and time and nobody else's session.

mod admission;
mod client_proof;
mod error;
mod responder;
mod stages;
mod upgrade;
mod workload;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hardening::wiping_stacks;
use launcher::TokenDesk;
use rustls::pki_types::UnixTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info, info_span, warn};

pub use client_proof::{AwaitingClient, ClientAttestation, ClientJudge, PresentedClient, RefusedClient};
pub use error::{ClientRefusal, NoToken, Outcome, SessionError};
pub use responder::{Admitted, Responder};
pub use stages::{AnyClient, Attested, Attester, Connected};
pub use workload::{About, PhiInvalid, Reply, Workload};

use crate::identity::{Identity, ReceiptKey};
use crate::limits::Limits;
use crate::tls;
use crate::wire::Wire;
use admission::{AddressSeat, Admission, Seat};
use upgrade::{Gate, Upgrade};

/// How long to wait after an error of `accept`, such as too many open files, before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    /// The key of `tls`, which signs receipts.
    key: ReceiptKey,
    wire: Wire,
    attester: Attester,
    workload: W,
    limits: Limits,
}

impl<W: Workload> Server<W> {
    /// A server that asks `desk` for tokens made for `audience`. It speaks both versions of the wire and serves any
    /// client.
    ///
    /// # Errors
    /// [`ServerError`] if the identity cannot be used or the audience is longer than the service takes.
    pub fn new(
        identity: Identity,
        desk: TokenDesk,
        audience: impl Into<String>,
        workload: W,
        limits: Limits,
    ) -> Result<Self, ServerError> {
        let audience = audience.into();
        launcher::TokenRequest::pki(audience.as_str(), &"n".repeat(attestation::NONCE_CHARS))?;
        let key = identity.receipt_key()?;
        let tls = TlsAcceptor::from(tls::server_config(identity)?);
        let attester = Attester { desk, audience, clients: ClientAttestation::Never };
        Ok(Self { tls, key, wire: Wire::default(), attester, workload, limits })
    }

    /// Speaks these versions of the wire. One that requires version 1 answers version 0 with HTTP 400.
    #[must_use]
    pub fn with_wire(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// Asks clients to prove themselves, which wire version 1 alone lets them do: where it is required, version 0 is
    /// answered with HTTP 400 from now on.
    #[must_use]
    pub fn with_client_attestation(self, clients: ClientAttestation) -> Self {
        let wire = if matches!(clients, ClientAttestation::Required(_)) { Wire::V1 } else { self.wire };
        Self { wire, attester: Attester { clients, ..self.attester }, ..self }
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
            let (Some(shaking), Some(entry)) =
                (admission.handshake(peer.ip()), enter(&admission, peer, handshake))
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
                (shaking, entry),
                closing.clone(),
            );
            // Keys, keying material and PHI leave copies on the stacks of the threads that work on a session.
            sessions.spawn(wiping_stacks(session.instrument(span)));
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
                let close = error.close();
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
        let gate = Gate { wire: self.wire, seated, place: || admission.place(peer) };
        upgrade::upgrade(tls, gate, &self.key, &self.limits).await
    }

    async fn exchange(
        &self,
        connected: Connected,
        waiting: Option<Seat>,
        closing: &CancellationToken,
    ) -> Result<(), SessionError> {
        let (attested, token) = connected.attest(&self.attester, closing).await?;
        drop(waiting);
        self.workload.token_received(&token);
        drop(token);
        let admitted = match attested {
            Attested::AnyClient(client) => client.admit(),
            Attested::Mutual(awaiting) => admit(awaiting.receive_proof(closing).await?).await?,
        };
        let (phi, responder) = admitted.receive(closing).await?;
        let answered = self.workload.answer(&phi);
        drop(phi);
        responder.respond(answered, self.workload.about(), UnixTime::now()).await
    }
}

/// Judges a client's proof, and logs what came of it.
async fn admit(presented: PresentedClient) -> Result<Admitted, SessionError> {
    let token = presented.token().sha256();
    match presented.decide(UnixTime::now()) {
        Ok(admitted) => {
            info!(client_token_sha256 = token, "the client has proven itself");
            Ok(admitted)
        }
        Err(refused) => {
            info!(client_token_sha256 = token, "the client's proof is refused");
            Err(refused.close().await)
        }
    }
}

/// An accepted connection that may shake hands, and its seat if there is one.
struct Entry {
    handshake: OwnedSemaphorePermit,
    seat: Option<Seat>,
}

/// Gives a connection its seat. Without one it may still shake hands to be told so, but not at the cost of those who
/// have one; `None`: not even that.
fn enter(admission: &Admission, peer: SocketAddr, handshake: OwnedSemaphorePermit) -> Option<Entry> {
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
