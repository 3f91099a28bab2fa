//! The data owner's end: dial, receive the token, verify it for this very session, decide, release.
//!
//! Each stage consumes the one before and holds the connection that it proves something about:
//!
//! ```text
//! connect → Connected ─attest→ Attested ─decide→ Approved ─release→ Released ─result→ the answer
//!                        └ Unproven        └ Denied
//! ```
//!
//! [`Approved::release`] is the only function that sends PHI, and an [`Approved`] comes from
//! [`Attested::decide`] alone, which takes its token from [`Connected::attest`] alone, which works out the
//! nonce from its own connection. No caller passes a nonce, and no other order compiles.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use attestation::{Nonce, Phi, Token, VerifiedToken, Verifier, VerifyError};
use policy::{Decision, Policy, Role, SessionFacts};
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use crate::close::Close;
use crate::connect_error::ConnectError;
use crate::limits::Limits;
use crate::link::{Deadline, Link, LinkError, Metered, websocket_config};
use crate::tls;

/// The port of wire version 0.
pub const DEFAULT_PORT: u16 = 8081;

/// The path of the websocket.
pub const PATH: &str = "/connection";

/// The wire version that this release speaks.
pub const WIRE_VERSION: u8 = 0;

const READ_BUFFER: usize = 16 * 1024;

/// Where a server is: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// The text is no `HOST` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: wanted HOST, HOST:PORT or [IPV6]:PORT, got {0:?}")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(attestation::printable(text));
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: DEFAULT_PORT });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| error())?),
            None => (text, DEFAULT_PORT),
        };
        match ServerName::try_from(host) {
            Ok(ServerName::DnsName(_)) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(error()),
        }
    }
}

impl Endpoint {
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wss://{}{PATH}", self.authority())
    }
}

/// What is known of a connection before anything is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Who answered.
    pub peer: SocketAddr,
    /// The TLS key exchange group, for example `X25519MLKEM768`.
    pub key_exchange: String,
    /// The wire version.
    pub wire: u8,
}

type ClientLink = Link<TlsStream<TcpStream>>;

/// An open websocket over TLS 1.3 to somebody who has proven nothing yet.
pub struct Connected {
    link: ClientLink,
    nonce: Nonce,
    info: ConnectionInfo,
    limits: Limits,
}

/// A connection whose peer showed an authentic token that is valid now. Whose token it is, and whether it is for
/// this session, is not decided yet.
pub struct Attested {
    connected: Connected,
    token: VerifiedToken,
}

/// A connection whose peer is approved: its token is authentic, made for this very TLS session and for this
/// audience, and the policy allows it.
pub struct Approved {
    connected: Connected,
    token: VerifiedToken,
    /// Holds the allowance that the release consumes.
    decision: Decision,
}

/// A connection over which all of the PHI has been handed to TLS.
pub struct Released {
    link: ClientLink,
    limits: Limits,
}

/// A token that is not authentic, or not valid now, and the connection it came over.
pub struct Unproven {
    /// The first check that failed; [`Verifier::report`] lists all.
    pub error: VerifyError,
    connected: Connected,
}

/// An authentic token that is not acceptable, and the connection it came over.
pub struct Denied {
    /// Which rules failed, and the values.
    pub decision: Decision,
    /// The token.
    pub token: VerifiedToken,
    connected: Connected,
}

/// Why the PHI was not sent, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The decision holds no allowance. Nothing was sent.
    #[error("nothing was sent: the decision does not allow it")]
    NotAllowed,
    /// The peer was gone before the first byte: nothing was handed to TLS.
    #[error("nothing was sent: {0}")]
    NotBegun(LinkError),
    /// Some of it may have been sent.
    #[error("the PHI was sent in part at most: {0}")]
    Interrupted(LinkError),
}

/// The peer's result message, wiped on drop. It is computed from PHI and treated like it.
pub struct Answer(Zeroizing<String>);

impl Answer {
    /// The text, for its owner alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// Dials, shakes hands, upgrades. Takes at most [`Limits::connect`] and [`Limits::handshake`].
///
/// # Errors
/// [`ConnectError`], which says how far it came.
pub async fn connect(endpoint: &Endpoint, limits: &Limits) -> Result<Connected, ConnectError> {
    let tcp = dial(endpoint, limits).await?;
    timeout(limits.handshake, upgrade(tcp, endpoint, limits))
        .await
        .map_err(|_| ConnectError::HandshakeTimeout { waited: limits.handshake })?
}

async fn dial(endpoint: &Endpoint, limits: &Limits) -> Result<TcpStream, ConnectError> {
    let dialled = timeout(limits.connect, async {
        let resolve = |error| ConnectError::Resolve { host: endpoint.host.clone(), error };
        let addresses: Vec<SocketAddr> = match endpoint.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, endpoint.port)],
            Err(_) => lookup_host((endpoint.host.as_str(), endpoint.port)).await.map_err(resolve)?.collect(),
        };
        TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|error| ConnectError::Unreachable { endpoint: endpoint.authority(), error })
    });
    let tcp = dialled.await.map_err(|_| ConnectError::ConnectTimeout { waited: limits.connect })??;
    // Without it each session stalls some 40 ms on Nagle's algorithm meeting delayed acknowledgements.
    tcp.set_nodelay(true).map_err(ConnectError::Socket)?;
    Ok(tcp)
}

async fn upgrade(tcp: TcpStream, endpoint: &Endpoint, limits: &Limits) -> Result<Connected, ConnectError> {
    let peer = tcp.peer_addr().map_err(ConnectError::Socket)?;
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| ConnectError::Name { host: endpoint.host.clone() })?;
    let config = tls::client_config().map_err(ConnectError::tls)?;
    let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(ConnectError::from_tls_io)?;

    let (_, connection) = tls.get_ref();
    let nonce = Nonce::of_session(|buffer, label, context| {
        connection.export_keying_material(&mut buffer[..], label, context).map(drop)
    })
    .map_err(ConnectError::tls)?;
    let key_exchange = connection
        .negotiated_key_exchange_group()
        .map_or_else(|| "unknown".to_owned(), |group| format!("{:?}", group.name()));

    let config = websocket_config(READ_BUFFER, limits.attestation_bytes.max(limits.result_bytes));
    let request = endpoint.to_string();
    let upgraded =
        tokio_tungstenite::client_async_with_config(request, Metered::new(tls), Some(config)).await;
    let (websocket, _response) = upgraded.map_err(ConnectError::from_upgrade)?;
    Ok(Connected {
        link: Link::new(websocket, limits.attestation_bytes, limits.close),
        nonce,
        info: ConnectionInfo { peer, key_exchange, wire: WIRE_VERSION },
        limits: limits.clone(),
    })
}

impl Connected {
    /// What is known of the connection.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// The nonce that a token for this session must carry; both ends work it out for themselves.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Waits for the server's first message, which must be the token.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is closed by then.
    pub async fn receive_token(mut self) -> Result<(Self, Token), LinkError> {
        let deadline = Deadline::after(self.limits.attestation);
        let error = match self.link.receive(deadline).await {
            Ok(Message::Text(text)) => match Token::new(text.as_str()) {
                Ok(token) => return Ok((self, token)),
                Err(_) => LinkError::TooLarge { limit: attestation::message::MAX_TOKEN_BYTES },
            },
            Ok(_) => LinkError::WrongType { wanted: "the token as text", got: "binary" },
            Err(error) => error,
        };
        match &error {
            LinkError::TooLarge { .. } => self.link.close(Close::TooBig).await,
            LinkError::WrongType { .. } => self.link.close(Close::Type).await,
            LinkError::Timeout { .. } => self.link.close(Close::TooSlow).await,
            _ => {}
        }
        Err(error)
    }

    /// Verifies the token that came over this connection, at `now`.
    ///
    /// # Errors
    /// [`Unproven`], to be closed with [`Unproven::close`].
    pub fn attest(
        self,
        verifier: &Verifier,
        token: &Token,
        now: UnixTime,
    ) -> Result<Attested, Box<Unproven>> {
        match verifier.verify(token, now) {
            Ok(token) => Ok(Attested { connected: self, token }),
            Err(error) => Err(Box::new(Unproven { error, connected: self })),
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
        let Self { connected, token } = self;
        let facts = SessionFacts {
            nonce: connected.nonce.clone(),
            audience: audience.to_owned(),
            wire: connected.info.wire,
            role: Role::Server,
            now,
        };
        let decision = policy.decide(&token, &facts);
        if decision.allowed() {
            Ok(Approved { connected, token, decision })
        } else {
            Err(Box::new(Denied { decision, token, connected }))
        }
    }
}

impl Approved {
    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The token that it was decided on.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Sends the PHI over this very session. The buffer is wiped once it has been handed to TLS.
    ///
    /// # Errors
    /// [`ReleaseError`], which tells "nothing was sent" from "some of it may have been".
    pub async fn release(self, phi: Phi) -> Result<Released, ReleaseError> {
        let Self { connected, decision, .. } = self;
        let Connected { mut link, limits, .. } = connected;
        // An approval without an allowance cannot be made; if it could, nothing would leave.
        let _allowance = decision.into_allowance().map_err(|_| ReleaseError::NotAllowed)?;
        if let Some(error) = link.already_closed().await {
            return Err(ReleaseError::NotBegun(error));
        }
        let message = Message::Binary(bytes::Bytes::from_owner(phi.into_inner()));
        link.send(message, Deadline::after(limits.phi)).await.map_err(ReleaseError::Interrupted)?;
        Ok(Released { link, limits })
    }
}

impl Released {
    /// Waits for the result, then shakes hands on closing.
    ///
    /// # Errors
    /// [`LinkError`]. [`LinkError::Ended`] and a close with 1000 or no code are what a codelab USleep does,
    /// which analyses without answering.
    pub async fn result(mut self) -> Result<Answer, LinkError> {
        match self.link.receive(Deadline::after(self.limits.result)).await {
            Ok(Message::Text(text)) if text.len() <= self.limits.result_bytes => {
                let answer = Answer(Zeroizing::new(text.as_str().to_owned()));
                self.link.close(Close::Done).await;
                Ok(answer)
            }
            Ok(Message::Text(_)) => {
                self.link.close(Close::TooBig).await;
                Err(LinkError::TooLarge { limit: self.limits.result_bytes })
            }
            Ok(_) => {
                self.link.close(Close::Type).await;
                Err(LinkError::WrongType { wanted: "the result as text", got: "binary" })
            }
            Err(error) => Err(error),
        }
    }

    /// Closes without waiting for a result, as a codelab UWear does.
    pub async fn close(self) {
        self.link.close(Close::Done).await;
    }
}

impl Unproven {
    /// Tells the peer that it is refused, not why, and ends the connection.
    pub async fn close(self) {
        self.connected.link.close(Close::Refused).await;
    }
}

impl Denied {
    /// Tells the peer that it is refused, not why, and ends the connection.
    pub async fn close(self) {
        self.connected.link.close(Close::Refused).await;
    }
}
