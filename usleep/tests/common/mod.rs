//! Plain clients of both versions of the wire, written without the project's own, and what the tests share.

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../session/tests/peers/version_1.rs"]
pub mod peers;
pub mod program;
pub mod server;
#[path = "../../../session/tests/peers/tokens.rs"]
pub mod tokens;
pub mod version_1;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, KeyLog, NoKeyLog, SignatureScheme};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// What the client of the codelab sends, with strings that must turn up nowhere else.
pub const PHI: &str = r#"{"name":"Canary Quetzal","age":29,"sleep":{"light":{"minutes":270.4182937},"deep":{"minutes":135.5517384},"rem":{"minutes":105.2240119}}}"#;

/// Parts of [`PHI`] and of its result.
pub const CANARIES: [&str; 7] =
    ["Quetzal", "4182937", "5517384", "2240119", "511.194", "total sleep", "Sleep quality"];

/// Longer than anything here takes, also beside other work; only a test that fails waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of it; a panic that says what was waited for if nothing does.
pub async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, done).await;
    done.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A client that takes any certificate, as the codelab's does.
pub struct Client {
    pub websocket: WebSocketStream<TlsStream<TcpStream>>,
    /// What the token must carry: base64 of the SHA-256 of this session's keying material.
    pub nonce: String,
}

/// TLS with whoever answers.
pub async fn dial(address: SocketAddr) -> TlsStream<TcpStream> {
    dial_telling(address, Arc::new(NoKeyLog)).await
}

/// TLS with whoever answers, whose secrets are told to `log`.
pub async fn dial_telling(address: SocketAddr, log: Arc<dyn KeyLog>) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.key_log = log;
    let tcp = soon("a TCP connection", TcpStream::connect(address)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    soon("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap()
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let tls = dial(address).await;
        let keying_material =
            tls.get_ref().1.export_keying_material([0; 32], b"testing_nonce", None).unwrap();
        let nonce = STANDARD.encode(digest(&SHA256, &keying_material));
        let address = format!("wss://{address}/connection");
        let (websocket, _) = tokio_tungstenite::client_async(address, tls).await.unwrap();
        Self { websocket, nonce }
    }

    /// The first message.
    pub async fn token(&mut self) -> String {
        match self.websocket.next().await {
            Some(Ok(Message::Text(token))) => token.to_string(),
            other => panic!("wanted a token, got {other:?}"),
        }
    }

    pub async fn send(&mut self, message: Message) {
        self.websocket.send(message).await.unwrap();
    }

    /// Sends PHI and reads the result.
    pub async fn ask(&mut self, phi: &str) -> Value {
        self.send(Message::binary(phi.to_owned())).await;
        match self.websocket.next().await {
            Some(Ok(Message::Text(result))) => serde_json::from_str(&result).unwrap(),
            other => panic!("wanted a result, got {other:?}"),
        }
    }

    /// Reads on until the server says why it closes.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.websocket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("wanted a close frame with a code, got {other:?}"),
            }
        }
    }
}

/// The claims of a token that nobody has verified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
