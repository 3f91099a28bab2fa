//! From an address to an open websocket: dial, shake hands, agree on the version of the wire.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use attestation::Nonce;
use attestation::v1::{HelloNonce, SUBPROTOCOL, SessionBinding};
use hardening::wiping_stacks;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, handshake::client::Request};

use super::endpoint::Endpoint;
use super::stages::{Binding, Connected, Unattested};
use crate::connect_error::ConnectError;
use crate::corked::{ClientTls, Corked};
use crate::limits::Limits;
use crate::link::{Deadline, Link, websocket_config};
use crate::metered::Metered;
use crate::tls;
use crate::wire::Wire;

const READ_BUFFER: usize = 16 * 1024;

/// How a client connects. The default speaks both versions of the wire, version 1 preferred, and does not offer to
/// prove itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// What the server can make us hold, and for how long.
    pub limits: Limits,
    /// Which versions of the wire may be spoken.
    pub wire: Wire,
    /// Whether this end proves itself too.
    pub attest: Attest,
}

/// Whether a client proves itself to the server too (mutual attestation, wire version 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attest {
    /// It does not, and refuses a server that asks for it all the same.
    #[default]
    Never,
    /// It does if the server asks for it.
    Offer,
    /// It does, and refuses a server that does not ask for it.
    Required,
}

/// What is known of a connection before anything is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Who answered.
    pub peer: SocketAddr,
    /// The TLS key exchange group, for example `X25519MLKEM768`.
    pub key_exchange: String,
    /// The version of the wire that was agreed on.
    pub wire: u8,
}

/// Dials, shakes hands, upgrades, and in wire version 1 says hello. Takes at most [`Limits::connect`] and
/// [`Limits::handshake`]; twice that where the server does not know version 1 and version 0 is allowed, which takes
/// a connection of its own.
///
/// # Errors
/// [`ConnectError`], which says how far it came.
pub async fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Connected, ConnectError> {
    let needs_version_1 = !options.wire.allows_version_0() || options.attest == Attest::Required;
    if needs_version_1 && !options.wire.allows_version_1() {
        return Err(ConnectError::Contradiction);
    }
    if !options.wire.allows_version_1() {
        return open(endpoint, options, 0).await;
    }
    match open(endpoint, options, 1).await {
        Err(ConnectError::NoVersion1) if !needs_version_1 => open(endpoint, options, 0).await,
        opened => opened,
    }
}

/// One connection that speaks this version.
async fn open(endpoint: &Endpoint, options: &ConnectOptions, wire: u8) -> Result<Connected, ConnectError> {
    let limits = &options.limits;
    let tcp = dial(endpoint, limits).await?;
    // Where it is: it is large, and would be moved into the timeout.
    let upgrade = pin!(upgrade(tcp, endpoint, options, wire));
    timeout(limits.handshake, upgrade)
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

async fn upgrade(
    tcp: TcpStream,
    endpoint: &Endpoint,
    options: &ConnectOptions,
    wire: u8,
) -> Result<Connected, ConnectError> {
    let limits = &options.limits;
    let peer = tcp.peer_addr().map_err(ConnectError::Socket)?;
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| ConnectError::Name { host: endpoint.host.clone() })?;
    let config = tls::client_config().map_err(ConnectError::tls)?;
    // The end of the handshake goes with the request, which follows at once.
    let mut tcp = Corked::new(tcp);
    tcp.cork();
    // Keys and keying material leave copies on the stack.
    let shaking = wiping_stacks(async {
        let tls: ClientTls = Box::new(TlsConnector::from(config).connect(name, tcp).into_fallible().await?);
        let (_, connection) = tls.get_ref();
        let binding = match wire {
            0 => nonce(connection).map(Binding::V0),
            _ => version_1(connection, options),
        };
        Ok((tls, binding))
    });
    let (mut tls, binding) = match shaking.await {
        Ok(shaken) => shaken,
        Err((error, mut tcp)) => {
            // There may be an alert that says why.
            tcp.uncork();
            let _ = tcp.flush().await;
            return Err(ConnectError::from_tls_io(error));
        }
    };
    let binding = binding?;
    tls.get_mut().1.set_buffer_limit(Some(tls::WRITE_BUFFER));

    let (_, connection) = tls.get_ref();
    let key_exchange = connection
        .negotiated_key_exchange_group()
        .map_or_else(|| "unknown".to_owned(), |group| format!("{:?}", group.name()));

    let (largest, config) = websocket(limits, wire);
    let request = request(endpoint, wire)?;
    let upgraded =
        tokio_tungstenite::client_async_with_config(request, Metered::new(tls), Some(config)).await;
    let (websocket, _response) = upgraded.map_err(ConnectError::from_upgrade)?;
    let mut link = Link::new(websocket, largest, limits.close);
    link.uncork();
    if let Binding::V1(unattested) = &binding {
        let hello = Message::text(unattested.hello().to_json());
        link.send(hello, Deadline::after(limits.hello)).await.map_err(ConnectError::Hello)?;
    }
    let info = ConnectionInfo { peer, key_exchange, wire };
    Ok(Connected { link, binding, info, limits: limits.clone() })
}

/// The longest message that is due at any stage, and the websocket that takes it.
pub(crate) fn websocket(limits: &Limits, wire: u8) -> (usize, WebSocketConfig) {
    let largest = limits.attestation_bytes.max(limits.result_bytes).max(limits.receipt_bytes);
    // Streams are of version 1. What is due at another stage is held to that stage's own limit.
    let largest = if wire == 0 { largest } else { largest.max(limits.part_result_bytes) };
    (largest, websocket_config(READ_BUFFER, largest))
}

fn request(endpoint: &Endpoint, wire: u8) -> Result<Request, ConnectError> {
    let mut request = endpoint.to_string().into_client_request().map_err(ConnectError::from_upgrade)?;
    if wire == 1 {
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
    }
    Ok(request)
}

fn nonce(connection: &ClientConnection) -> Result<Nonce, ConnectError> {
    Nonce::of_session(|buffer, label, context| {
        connection.export_keying_material(&mut buffer[..], label, context).map(drop)
    })
    .map_err(ConnectError::tls)
}

fn version_1(connection: &ClientConnection, options: &ConnectOptions) -> Result<Binding, ConnectError> {
    let certificate = connection.peer_certificates().and_then(|certificates| certificates.first());
    let certificate = certificate.ok_or_else(|| ConnectError::Tls("no certificate".to_owned()))?;
    let spki = tls::subject_public_key_info(certificate).map_err(ConnectError::tls)?;
    let binding = SessionBinding::of_session(
        |buffer, label, context| connection.export_keying_material(&mut buffer[..], label, context).map(drop),
        &spki,
    )
    .map_err(ConnectError::tls)?;
    let client_nonce = HelloNonce::random()?;
    Ok(Binding::V1(Box::new(Unattested { binding, spki, client_nonce, attest: options.attest })))
}
