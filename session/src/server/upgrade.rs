//! HTTP/1.1 up to the websocket (RFC 6455 §4.2): what is asked, and an honest answer to everything else.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use attestation::Nonce;
use attestation::v1::{COMMITMENT_KEY_BYTES, SUBPROTOCOL, SessionBinding};
use hardening::wiping_stack;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::admission::Seat;
use super::health::{Checked, Health};
use super::observer::Meter;
use super::room::Room;
use super::stages::{Binding, Connected};
use crate::client::PATH;
use crate::corked::ServerTls;
use crate::identity::ReceiptKey;
use crate::limits::Limits;
use crate::link::{Link, websocket_config};
use crate::metered::Metered;
use crate::tls;
use crate::wire::Wire;

/// A small buffer: an idle session should cost little, and PHI is small.
pub(crate) const READ_BUFFER: usize = 4 * 1024;

/// Longest request head, in bytes; hyper takes no less.
const MAX_HEAD: usize = 8 * 1024;

/// When a client that found no room should come back, in seconds.
const RETRY_AFTER_SECONDS: &str = "2";

/// What became of a connection's one request.
pub(super) enum Upgrade {
    /// A websocket, and the permit to wait for a token of its own.
    Session { connected: Box<Connected>, waiting: Option<Seat> },
    /// Another answer.
    Answered { status: u16 },
}

/// Who is let in, and by which versions of the wire.
pub(super) struct Gate<P, H> {
    pub(super) wire: Wire,
    /// Whether there is room for this connection.
    pub(super) seated: bool,
    /// A place to wait for a token of its own, as a session of version 0 does; `None`: full. Those of version 1 share
    /// tokens, and their bound is the desk's.
    pub(super) place: P,
    /// What checks are told.
    pub(super) health: H,
    /// Counts the bytes of the websocket.
    pub(super) meter: Arc<Meter>,
    /// Room for what comes over it.
    pub(super) room: Room,
}

/// A version that was agreed on, and the permit that it takes.
struct Agreed {
    wire: u8,
    waiting: Option<Seat>,
}

/// What the request was answered with.
struct Answer {
    status: StatusCode,
    /// Gives the connection back, also when the upgrade that was asked for is refused.
    connection: OnUpgrade,
    /// `None`: there will be no session.
    agreed: Option<Agreed>,
}

pub(super) async fn upgrade<'h, P: Fn() -> Option<Seat>, H: Fn() -> Health<'h>>(
    tls: ServerTls,
    gate: Gate<P, H>,
    key: &ReceiptKey,
    limits: &Limits,
) -> io::Result<Upgrade> {
    // Handed from hyper's service to the connection's owner.
    let answered: Arc<Mutex<Option<Answer>>> = Arc::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let (response, agreed) = answer(&request, &gate);
        let connection = hyper::upgrade::on(&mut request);
        if let Ok(mut answered) = answered.lock() {
            *answered = Some(Answer { status: response.status(), connection, agreed });
        }
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(tls), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)?;

    let answered = answered.lock().ok().and_then(|mut answered| answered.take());
    let Some(Answer { status, connection, agreed }) = answered else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let Some(Agreed { wire, waiting }) = agreed else {
        // hyper has closed the connection, unless an upgrade was asked for.
        if let Ok(refused) = connection.await {
            TokioIo::new(refused).shutdown().await?;
        }
        return Ok(Upgrade::Answered { status: status.as_u16() });
    };
    let upgraded = connection.await.map_err(io::Error::other)?;
    let Ok(Parts { io: stream, read_buf, .. }) = upgraded.downcast::<TokioIo<ServerTls>>() else {
        return Err(io::Error::other("the upgraded connection is of another type"));
    };
    let mut stream = stream.into_inner();
    stream.get_mut().1.set_buffer_limit(Some(tls::WRITE_BUFFER));
    let binding = wiping_stack(|| binding(&stream, wire, key)).map_err(io::Error::other)?;
    let link = link(stream, wire, gate.meter, gate.room, &read_buf, limits).await;
    Ok(Upgrade::Session { connected: Box::new(Connected::new(link, binding, limits.clone())), waiting })
}

/// The websocket over a stream whose upgrade is done, of which `early` has been read already.
pub(crate) async fn link<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    wire: u8,
    meter: Arc<Meter>,
    room: Room,
    early: &[u8],
    limits: &Limits,
) -> Link<S> {
    let largest = match wire {
        0 => limits.phi_bytes,
        _ => limits.phi_bytes.saturating_add(COMMITMENT_KEY_BYTES).max(limits.attestation_bytes),
    };
    let config = websocket_config(READ_BUFFER, largest);
    let stream = Metered::new(stream).counted_by(meter).watched(room, largest, early);
    let websocket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    Link::new(websocket, largest, limits.close)
}

fn binding(tls: &ServerTls, wire: u8, key: &ReceiptKey) -> Result<Binding, rustls::Error> {
    let (_, connection) = tls.get_ref();
    if wire == 0 {
        let nonce = Nonce::of_session(|buffer, label, context| {
            connection.export_keying_material(&mut buffer[..], label, context).map(drop)
        })?;
        return Ok(Binding::V0(nonce));
    }
    let binding = SessionBinding::of_session(
        |buffer, label, context| connection.export_keying_material(&mut buffer[..], label, context).map(drop),
        key.spki(),
    )?;
    Ok(Binding::V1 { binding, key: key.clone() })
}

fn answer<'h, P: Fn() -> Option<Seat>, H: Fn() -> Health<'h>>(
    request: &Request<Incoming>,
    gate: &Gate<P, H>,
) -> (Response<Full<Bytes>>, Option<Agreed>) {
    // Before there is a question of room: a check must not fail because the server is busy.
    if let Some(checked) = (gate.health)().check(request.method(), request.uri().path()) {
        return (checked_response(checked), None);
    }
    if request.uri().path() != PATH {
        return (plain(StatusCode::NOT_FOUND, "the websocket is at /connection\n"), None);
    }
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "wanted GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return (response, None);
    }
    let Ok(mut switching) = switching_protocols(request) else {
        let mut response =
            plain(StatusCode::UPGRADE_REQUIRED, "this address speaks websocket version 13 only\n");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
        return (response, None);
    };
    let wire = if gate.wire.allows_version_1() && offers_version_1(request) { 1 } else { 0 };
    if wire == 0 && !gate.wire.allows_version_0() {
        let wanted = "wanted the websocket subprotocol attested-sleep.v1\n";
        return (plain(StatusCode::BAD_REQUEST, wanted), None);
    }
    let waiting = if wire == 0 && gate.seated { (gate.place)() } else { None };
    if !gate.seated || (wire == 0 && waiting.is_none()) {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "no room now\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        return (response, None);
    }
    if wire == 1 {
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        switching.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    (switching, Some(Agreed { wire, waiting }))
}

/// Whether version 1 is among the subprotocols that the client knows (RFC 6455 §11.3.4: several headers or one list).
fn offers_version_1(request: &Request<Incoming>) -> bool {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    names.any(|name| name.trim() == SUBPROTOCOL)
}

/// Status 101 with `Sec-WebSocket-Accept`, if the request is a sound upgrade. No extension is agreed on.
fn switching_protocols(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, ()> {
    create_response_with_body(request, Full::default).map_err(|_| ())
}

fn checked_response(checked: Checked) -> Response<Full<Bytes>> {
    match checked {
        Checked::Answer(status, text) => plain(status, text),
        Checked::WrongMethod => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "wanted GET or HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    }
}

/// An answer that ends the connection.
fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
