//! The workload's end: a token for each session, and always the same answer.

use std::path::Path;
use std::sync::{Arc, Mutex};

use attestation::Nonce;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::{Failure, websocket};

/// As long as USleep's answer to the codelab's night.
const ANSWER: &str = "Total sleep time is less than the recommended 8 hours and more than 8 hours are spent in bed; \
    the share of deep sleep is as it is recommended at this age, and so is the share of REM sleep of this night. Well done.";

/// Serves for ever; opens a connection to the launcher for each token, or keeps those it has for the next.
pub async fn serve(listener: TcpListener, socket: Arc<Path>, keep: bool) -> Result<(), Failure> {
    let config = session::tls::server_config(session::Identity::generate()?)?;
    let acceptor = TlsAcceptor::from(config);
    let launcher = Arc::new(Launcher { socket, keep, free: Mutex::default() });
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, launcher) = (acceptor.clone(), Arc::clone(&launcher));
        // A session that fails is told by its client.
        tokio::spawn(async move { answer(tcp, &acceptor, &launcher).await });
    }
}

async fn answer(tcp: TcpStream, acceptor: &TlsAcceptor, launcher: &Launcher) -> Result<(), Failure> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    let (_, connection) = tls.get_ref();
    let nonce = Nonce::of_session(|buffer, label, context| {
        connection.export_keying_material(&mut buffer[..], label, context).map(drop)
    })?;
    let mut websocket = tokio_tungstenite::accept_async_with_config(tls, Some(websocket(4 * 1024))).await?;
    websocket.send(Message::text(launcher.token(nonce.as_str()).await?)).await?;
    let phi = websocket.next().await.ok_or("no PHI")??;
    if phi.into_text()?.is_empty() {
        return Err("no PHI".into());
    }
    websocket.send(Message::text(ANSWER)).await?;
    while websocket.next().await.is_some_and(|message| message.is_ok()) {}
    // The alert that ends TLS (RFC 8446 §6.1).
    websocket.get_mut().shutdown().await?;
    Ok(())
}

/// The launcher's socket, and the connections to it that nobody uses at the moment.
struct Launcher {
    socket: Arc<Path>,
    keep: bool,
    free: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Launcher {
    async fn token(&self, nonce: &str) -> Result<String, Failure> {
        let body = serde_json::json!({ "audience": "uwear", "nonces": [nonce], "token_type": "PKI" });
        let mut request =
            Request::post("/v1/token").header(HOST, "localhost").header(CONTENT_TYPE, "application/json");
        if !self.keep {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Full::from(body.to_string()))?;
        let mut sender = self.sender().await?;
        let answered = sender.send_request(request).await?.into_body().collect().await?;
        if self.keep {
            self.free.lock().map_err(|_| "a panic")?.push(sender);
        }
        Ok(String::from_utf8(answered.to_bytes().into())?)
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let free = self.free.lock().map_err(|_| "a panic")?.pop();
        if let Some(mut sender) = free {
            sender.ready().await?;
            return Ok(sender);
        }
        let stream = TokioIo::new(UnixStream::connect(&*self.socket).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
