//! The workload's end: accept, upgrade, show a token made for this session, receive PHI, answer.
//!
//! [`Server::serve`] runs it all; what to do with the PHI is the [`Workload`]'s. A slow, silent or hostile peer
//! costs a bounded amount of memory and time and nobody else's session.

mod admission;
mod client_proof;
mod current_identity;
mod error;
mod health;
mod lines;
mod observer;
mod receipts;
mod responder;
mod room;
mod serving;
mod stages;
mod streamed;
mod turns;
mod upgrade;
mod workload;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use attestation::Phi;
use hardening::{wiping_stack, wiping_stacks};
use launcher::TokenDesk;
use rustls::pki_types::UnixTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info, info_span, warn};

pub use client_proof::{AwaitingClient, ClientAttestation, ClientJudge, PresentedClient, RefusedClient};
pub use current_identity::CurrentIdentity;
pub use error::{ClientRefusal, NoToken, Outcome, SessionError};
pub use health::Readiness;
pub use observer::{ConnectionEnd, Observer, Stage, TRAFFIC_UNIT, Traffic};
pub use responder::{Admitted, Received, Responder};
pub use room::Load;
pub use stages::{AnyClient, Attested, Attester, Connected};
pub use streamed::{Answered, Next, PartResponder, StreamEnd};
pub use workload::{About, DocumentStream, PhiInvalid, Reply, Workload};

use crate::corked::Corked;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::wire::Wire;
use admission::{AddressSeat, Admission, Seat};
use health::{Health, WhileServing};
use lines::Lines;
pub(crate) use observer::Meter;
use observer::{Nobody, Stopwatch, Watched};
#[cfg(any(test, feature = "framing"))]
pub(crate) use room::Rooms;
pub(crate) use room::{NoRoom, Reserved, Room};
use serving::Serving;
use turns::{Slot, Turn};
pub(crate) use upgrade::READ_BUFFER;
#[cfg(feature = "framing")]
pub(crate) use upgrade::link;
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
    identity: CurrentIdentity,
    wire: Wire,
    attester: Attester,
    readiness: Arc<dyn Readiness>,
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
        let identity = CurrentIdentity::new(identity)?;
        let observer = Arc::new(Nobody);
        let attester = Attester { desk, audience, clients: ClientAttestation::Never, observer };
        let readiness = Arc::new(WhileServing);
        Ok(Self { identity, wire: Wire::default(), attester, readiness, workload, limits })
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { attester: Attester { observer, ..self.attester }, ..self }
    }

    /// Asks `readiness` for the answer of `/readyz`. Unless told it is ready while it serves.
    ///
    /// `/healthz` and `/readyz` are on the port of the sessions, over TLS, for GET and HEAD: 200, or 503 with a short
    /// reason. They take no place of a session, and are answered when there is no room for more. When `serve` is shut
    /// down both are 503 to who has connected already, and others find the port closed.
    #[must_use]
    pub fn with_readiness(self, readiness: Arc<dyn Readiness>) -> Self {
        Self { readiness, ..self }
    }

    /// The identity of connections to come, to be renewed while the server serves.
    pub fn identity(&self) -> CurrentIdentity {
        self.identity.clone()
    }

    /// Speaks these versions of the wire. One that requires version 1 answers version 0 with HTTP 400.
    #[must_use]
    pub fn with_wire(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// Asks clients to prove themselves, which wire version 1 alone lets them do: where it is required, version 0 is
    /// answered with HTTP 400, whatever [`Server::with_wire`] is given.
    #[must_use]
    pub fn with_client_attestation(self, clients: ClientAttestation) -> Self {
        Self { attester: Attester { clients, ..self.attester }, ..self }
    }

    /// The versions that are spoken.
    fn wire(&self) -> Wire {
        match self.attester.clients {
            ClientAttestation::Required(_) => Wire::V1,
            _ => self.wire,
        }
    }

    /// Serves until `shutdown` is cancelled, then stops accepting, lets sessions under way go on for `drain`, closes
    /// what is left with 1001 and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken, drain: Duration) {
        let admission = Admission::new(&self.limits);
        self.attester.observer.serving(admission.load());
        let serving = Arc::new(Serving {
            admission,
            lines: Lines::default(),
            shutdown,
            closing: CancellationToken::new(),
        });
        let Serving { admission, lines, shutdown, closing } = &*serving;
        let telling = Arc::clone(&serving);
        let _telling = AbortOnDropHandle::new(tokio::spawn(async move { telling.lines.tell_often().await }));
        let server = Arc::new(self);
        let sessions = TaskTracker::new();
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
            let watched = Watched::open(Arc::clone(&server.attester.observer));
            let (Some(shaking), Some(entry)) =
                (admission.handshake(peer.ip()), enter(admission, peer, handshake))
            else {
                if lines.allow("dropped") {
                    debug!(peer = %canonical(peer), "dropped: too many connections");
                }
                watched.ended(ConnectionEnd::Dropped);
                continue;
            };
            number += 1;
            let span = info_span!("session", id = number, peer = %canonical(peer), wire = Empty);
            let session =
                Arc::clone(&server).session(tcp, peer, Arc::clone(&serving), (shaking, entry), watched);
            sessions.spawn(session.instrument(span));
        }
        drop(listener);
        sessions.close();
        info!(sessions = sessions.len(), "draining");
        if timeout(drain, sessions.wait()).await.is_err() {
            closing.cancel();
            sessions.wait().await;
        }
        lines.tell();
    }

    /// One connection from its first byte to its last.
    async fn session(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        serving: Arc<Serving>,
        (shaking, Entry { turn, seat }): (AddressSeat, Entry),
        watched: Watched,
    ) {
        let stopwatch = Stopwatch::start(Stage::Handshake);
        let upgrade = async {
            let Some(_slot) = turn.come().await else { return Err(io::ErrorKind::TimedOut.into()) };
            self.upgrade(tcp, peer.ip(), seat.is_some(), &serving, watched.meter()).await
        };
        // What a stage needs is on the heap and gone with it: a task keeps the room that its largest stage took.
        let upgrade = timeout(self.limits.handshake, Box::pin(upgrade));
        let upgraded = tokio::select! {
            () = serving.closing.cancelled() => None,
            upgraded = upgrade => Some(upgraded.unwrap_or(Err(io::ErrorKind::TimedOut.into()))),
        };
        drop(shaking);
        let end = match upgraded {
            Some(Ok(Upgrade::Session { connected, waiting })) => {
                stopwatch.passed(&*self.attester.observer);
                let wire = connected.wire();
                Span::current().record("wire", wire);
                let ended = self.exchange(*connected, waiting, &serving).await;
                ConnectionEnd::Session { wire, outcome: serving.log_session(ended) }
            }
            Some(Ok(Upgrade::Answered { status })) => {
                if serving.lines.allow("http") {
                    debug!(outcome = "answered-by-http", status, "no session came about");
                }
                ConnectionEnd::Http { status }
            }
            none => {
                let error = none.and_then(Result::err);
                serving.log_no_session(error.as_ref());
                ConnectionEnd::NoSession
            }
        };
        watched.ended(end);
    }

    async fn upgrade(
        &self,
        tcp: TcpStream,
        peer: IpAddr,
        seated: bool,
        serving: &Serving,
        meter: Arc<Meter>,
    ) -> io::Result<Upgrade> {
        // Without it each session stalls some 40 ms on Nagle's algorithm meeting delayed acknowledgements.
        tcp.set_nodelay(true)?;
        let keys = self.identity.keys();
        // Each look at the handshake wipes the stack; waiting for its first byte needs none.
        poll_fn(|context| tcp.poll_read_ready(context)).await?;
        // Keys leave copies on the stacks of the threads that make them.
        let shaking = async { keys.tls.accept(Corked::new(tcp)).await.map(Box::new) };
        let tls = wiping_stacks(shaking).await?;
        let draining = || serving.shutdown.is_cancelled();
        let gate = Gate {
            wire: self.wire(),
            seated,
            place: || serving.admission.place(peer),
            health: || Health { readiness: &*self.readiness, draining: draining() },
            meter,
            room: serving.admission.room(peer),
        };
        upgrade::upgrade(tls, gate, &keys.receipts, &self.limits).await
    }

    async fn exchange(
        &self,
        connected: Connected,
        waiting: Option<Seat>,
        serving: &Serving,
    ) -> Result<(), SessionError> {
        let Serving { closing, lines, .. } = serving;
        let observer = &*self.attester.observer;
        let (attested, _) = Box::pin(connected.attest(&self.attester, closing)).await?;
        drop(waiting);
        let admitted = match attested {
            Attested::AnyClient(client) => client.admit(),
            Attested::Mutual(awaiting) => {
                let stopwatch = Stopwatch::start(Stage::ClientProof);
                let presented = Box::pin(awaiting.receive_proof(closing)).await?;
                stopwatch.passed(observer);
                Box::pin(admit(presented, lines)).await?
            }
        };
        let stopwatch = Stopwatch::start(Stage::Phi);
        let received = admitted.receive(closing).await?;
        stopwatch.passed(observer);
        match received {
            Received::Document(phi, responder) => {
                let stopwatch = Stopwatch::start(Stage::Analysis);
                let answered = wiping_stack(|| self.workload.answer(&phi));
                drop(phi);
                stopwatch.passed(observer);
                let stopwatch = Stopwatch::start(Stage::Reply);
                let responded = responder.respond(answered, self.workload.about(), UnixTime::now());
                Box::pin(responded).await?;
                stopwatch.passed(observer);
                Ok(())
            }
            Received::Stream(first, responder) => Box::pin(self.stream(first, responder, closing)).await,
        }
    }

    /// One message after the other: the next is not read before this one's result is on its way.
    async fn stream(
        &self,
        first: Phi,
        responder: PartResponder,
        closing: &CancellationToken,
    ) -> Result<(), SessionError> {
        let observer = &*self.attester.observer;
        let stopwatch = Stopwatch::start(Stage::Stream);
        let (mut phi, mut responder) = (first, responder);
        let Some(mut documents) = self.workload.documents() else {
            let none = PhiInvalid("wanted one document, got a stream of them".to_owned());
            return responder.answer(Err(none), closing).await.map(drop);
        };
        loop {
            let answered = wiping_stack(|| documents.push(&phi));
            responder.reuse(phi);
            match responder.answer(answered, closing).await?.receive(closing).await? {
                Next::Part(next, waiting) => (phi, responder) = (next, waiting),
                Next::End(end) => {
                    let summary = wiping_stack(|| documents.finish());
                    stopwatch.passed(observer);
                    let stopwatch = Stopwatch::start(Stage::Reply);
                    end.respond(summary, self.workload.about(), UnixTime::now()).await?;
                    stopwatch.passed(observer);
                    return Ok(());
                }
            }
        }
    }
}

/// Judges a client's proof, and logs what came of it.
async fn admit(presented: PresentedClient, lines: &Lines) -> Result<Admitted, SessionError> {
    let token = presented.token().sha256();
    match presented.decide(UnixTime::now()) {
        Ok(admitted) => {
            info!(client_token_sha256 = token, "the client has proven itself");
            Ok(admitted)
        }
        Err(refused) => {
            if lines.allow("client-proof-refused") {
                info!(client_token_sha256 = token, "the client's proof is refused");
            }
            Err(refused.close().await)
        }
    }
}

/// An accepted connection that may shake hands, and its seat if there is one.
struct Entry {
    turn: Turn,
    seat: Option<Seat>,
}

/// Gives a connection its seat. Without one it may still shake hands to be told so, but not at the cost of those who
/// have one; `None`: not even that.
fn enter(admission: &Admission, peer: SocketAddr, handshake: OwnedSemaphorePermit) -> Option<Entry> {
    match admission.seat(peer.ip()) {
        Some(seat) => Some(Entry { turn: admission.turns.turn(peer.ip(), handshake), seat: Some(seat) }),
        None => {
            let refusal = Arc::clone(&admission.refusals).try_acquire_owned().ok()?;
            Some(Entry { turn: Turn::Now(Slot::apart(refusal)), seat: None })
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
