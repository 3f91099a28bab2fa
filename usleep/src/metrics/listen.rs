//! `--metrics-listen`: one page, `/metrics`, over plain HTTP/1.1, for a scraper beside the server.
//!
//! It says nothing secret, but is no business of clients either: a port alone means the loopback address.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Metrics, TEXT_FORMAT};

const PATH: &str = "/metrics";

/// Connections at the same time; more wait until one has ended.
const MAX_CONNECTIONS: usize = 8;

/// From the first byte of a connection to its last.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest request head, in bytes; hyper takes no less.
const MAX_HEAD: usize = 8 * 1024;

/// How long to wait after an error of `accept` before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Reads `--metrics-listen`: an address and a port, or a port of 127.0.0.1.
///
/// # Errors
/// What is wanted.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse())
        .map_err(|_| "wanted a port, such as 9464, or an address and a port, such as [::1]:9464")
}

/// Serves until it is dropped, open connections too.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let metrics = Arc::clone(&metrics);
                connections.spawn(async move {
                    if timeout(DEADLINE, connection(tcp, &metrics)).await.is_err() {
                        debug!("a scraper was too slow");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "accepting scrapers failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request and its answer.
async fn connection(tcp: TcpStream, metrics: &Metrics) {
    let service = service_fn(|request| {
        let response = answer(&request, metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(tcp), service).await {
        debug!(%error, "no scrape came about");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return with_type(StatusCode::NOT_FOUND, "the metrics are at /metrics\n".into(), "text/plain");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = with_type(StatusCode::METHOD_NOT_ALLOWED, "wanted GET\n".into(), "text/plain");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    with_type(StatusCode::OK, metrics.text(), TEXT_FORMAT)
}

fn with_type(status: StatusCode, text: String, media_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_the_loopback_address() {
        let rows = [
            ("9464", "127.0.0.1:9464"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("[::1]:9464", "[::1]:9464"),
        ];
        for (text, wanted) in rows {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), Ok(wanted));
        }
        for text in ["", "65536", "localhost:9464", ":9464", "127.0.0.1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
