//! HTTP/1.1 up to the websocket (RFC 6455 §4.2): what is asked, and an honest answer to everything else.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use attestation::Nonce;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::admission::Seat;
use super::session::Connected;
use crate::client::PATH;
use crate::limits::Limits;
use crate::link::{Link, Metered, websocket_config};

/// A small buffer: an idle session should cost little, and PHI is small.
const READ_BUFFER: usize = 4 * 1024;

/// Longest request head, in bytes; hyper takes no less.
const MAX_HEAD: usize = 8 * 1024;

/// When a client that found no room should come back, in seconds.
const RETRY_AFTER_SECONDS: &str = "2";

/// What became of a connection's one request.
pub(super) enum Upgrade {
    /// A websocket, and the permit to wait for a token.
    Session { connected: Box<Connected>, waiting: Seat },
    /// Another answer.
    Answered { status: u16 },
}

/// What the request was answered with.
struct Answer {
    status: StatusCode,
    /// Gives the connection back, also when the upgrade that was asked for is refused.
    connection: OnUpgrade,
    /// The permit to wait for a token, if there will be a session.
    waiting: Option<Seat>,
}

pub(super) async fn upgrade(
    tls: TlsStream<TcpStream>,
    place: impl Fn() -> Option<Seat>,
    limits: &Limits,
) -> io::Result<Upgrade> {
    let (_, connection) = tls.get_ref();
    let nonce = Nonce::of_session(|buffer, label, context| {
        connection.export_keying_material(&mut buffer[..], label, context).map(drop)
    })
    .map_err(io::Error::other)?;

    // Handed from hyper's service to the connection's owner.
    let answered: Arc<Mutex<Option<Answer>>> = Arc::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let (response, waiting) = answer(&request, &place);
        let connection = hyper::upgrade::on(&mut request);
        if let Ok(mut answered) = answered.lock() {
            *answered = Some(Answer { status: response.status(), connection, waiting });
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
    let Some(Answer { status, connection, waiting }) = answered else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let Some(waiting) = waiting else {
        // hyper has closed the connection, unless an upgrade was asked for.
        if let Ok(refused) = connection.await {
            TokioIo::new(refused).shutdown().await?;
        }
        return Ok(Upgrade::Answered { status: status.as_u16() });
    };
    let upgraded = connection.await.map_err(io::Error::other)?;
    let Ok(Parts { io: stream, read_buf, .. }) = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() else {
        return Err(io::Error::other("the upgraded connection is of another type"));
    };
    let config = websocket_config(READ_BUFFER, limits.phi_bytes);
    let stream = Metered::new(stream.into_inner());
    let websocket =
        WebSocketStream::from_partially_read(stream, read_buf.to_vec(), Role::Server, Some(config)).await;
    let link = Link::new(websocket, limits.phi_bytes, limits.close);
    Ok(Upgrade::Session { connected: Box::new(Connected::new(link, nonce, limits.clone())), waiting })
}

fn answer(
    request: &Request<Incoming>,
    place: &impl Fn() -> Option<Seat>,
) -> (Response<Full<Bytes>>, Option<Seat>) {
    if request.uri().path() != PATH {
        return (plain(StatusCode::NOT_FOUND, "the websocket is at /connection\n"), None);
    }
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "wanted GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return (response, None);
    }
    let Ok(switching) = switching_protocols(request) else {
        let mut response =
            plain(StatusCode::UPGRADE_REQUIRED, "this address speaks websocket version 13 only\n");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
        return (response, None);
    };
    let Some(waiting) = place() else {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "no room now\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        return (response, None);
    };
    (switching, Some(waiting))
}

/// Status 101 with `Sec-WebSocket-Accept`, if the request is a sound upgrade. No extension and no subprotocol
/// is agreed on.
fn switching_protocols(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, ()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    let response = create_response(&head).map_err(|_| ())?;
    Ok(response.map(|()| Full::default()))
}

/// An answer that ends the connection.
fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
