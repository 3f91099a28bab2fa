//! A server that does what a test tells it to, at TCP, TLS or websocket level, and records every byte that
//! the client sent at that level.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_util::sync::CancellationToken;

use super::certificate::{self, Identity};
use super::version_1::{self, Bound, Proof, SERVER, SUBPROTOCOL, receipt_key};

pub type Tcp = Recorder<TcpStream>;
pub type Tls = Recorder<TlsStream<TcpStream>>;

pub struct Scripted {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    done: CancellationToken,
    /// Ends when told to, after the connections that were open; gives their number.
    serving: JoinHandle<usize>,
}

/// What the client sent, above the level of the script.
pub struct Seen {
    pub connections: usize,
    pub bytes: Vec<u8>,
}

impl Scripted {
    /// Nobody listens, and nobody else can take the port meanwhile.
    pub fn nobody() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let done = CancellationToken::new();
        let until = done.clone();
        let serving = tokio::spawn(async move {
            until.cancelled().await;
            drop(socket);
            0
        });
        Self { address, seen: Arc::default(), done, serving }
    }

    pub async fn tcp<F, Job>(script: F) -> Self
    where
        F: Fn(Tcp) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        Self::start(move |tcp, seen| script(Recorder { stream: tcp, seen })).await
    }

    pub async fn tls<F, Job>(script: F) -> Self
    where
        F: Fn(Tls) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        Self::tls_with(certificate::v3(), script).await
    }

    pub async fn tls_with<F, Job>(config: Arc<ServerConfig>, script: F) -> Self
    where
        F: Fn(Tls) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(script);
        Self::start(move |tcp, seen| {
            let (script, tls) = (Arc::clone(&script), TlsAcceptor::from(Arc::clone(&config)));
            async move {
                tcp.set_nodelay(true).unwrap();
                let stream = tls.accept(tcp).await.unwrap();
                script(Recorder { stream, seen }).await;
            }
        })
        .await
    }

    pub async fn websocket<F, Job>(script: F) -> Self
    where
        F: Fn(Peer) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        Self::websocket_with(certificate::v3(), script).await
    }

    pub async fn websocket_with<F, Job>(config: Arc<ServerConfig>, script: F) -> Self
    where
        F: Fn(Peer) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(script);
        Self::tls_with(config, move |tls| {
            let script = Arc::clone(&script);
            async move {
                let nonce = nonce(&tls.stream);
                let websocket = tokio_tungstenite::accept_async(tls).await.unwrap();
                script(Peer { websocket, nonce }).await;
            }
        })
        .await
    }

    /// A server of wire version 1, which has heard the hello when the script begins.
    pub async fn version_1<F, Job>(script: F) -> Self
    where
        F: Fn(Peer1) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        Self::version_1_with(Identity::new(), script).await
    }

    pub async fn version_1_with<F, Job>(identity: Identity, script: F) -> Self
    where
        F: Fn(Peer1) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(script);
        Self::tls_with(identity.config(), move |tls| {
            let (script, identity) = (Arc::clone(&script), identity.clone());
            async move {
                if let Some(peer) = Peer1::greeted(tls, &identity).await {
                    script(peer).await;
                }
            }
        })
        .await
    }

    async fn start<F, Job>(connection: F) -> Self
    where
        F: Fn(TcpStream, Arc<Mutex<Vec<u8>>>) -> Job + Send + Sync + 'static,
        Job: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, done) = (Arc::<Mutex<Vec<u8>>>::default(), CancellationToken::new());
        let (recorded, until) = (Arc::clone(&seen), done.clone());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                // In this order, so that a connection that is there is always counted.
                tokio::select! {
                    biased;
                    accepted = listener.accept() => {
                        connections.spawn(connection(accepted.unwrap().0, Arc::clone(&recorded)));
                    }
                    () = until.cancelled() => break,
                }
            }
            let count = connections.len();
            while let Some(ended) = connections.join_next().await {
                ended.unwrap();
            }
            count
        });
        Self { address, seen, done, serving }
    }

    /// What the client sent in all. To be called when it has ended.
    pub async fn seen(self) -> Seen {
        self.done.cancel();
        let connections = self.serving.await.unwrap();
        let bytes = std::mem::take(&mut *self.seen.lock().unwrap());
        Seen { connections, bytes }
    }
}

impl Seen {
    /// The websocket frames (RFC 6455 §5.2) that followed the upgrade, unmasked: opcode and payload.
    pub fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let end_of_head = self.bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let mut rest = end_of_head.map_or(&[][..], |at| &self.bytes[at + 4..]);
        let mut frames = Vec::new();
        while let [first, second, more @ ..] = rest {
            assert!(second & 0x80 != 0, "a client masks");
            let (length, more) = match second & 0x7f {
                126 => (usize::from(u16::from_be_bytes([more[0], more[1]])), &more[2..]),
                127 => panic!("a frame longer than anything that a test sends"),
                length => (usize::from(length), more),
            };
            let (mask, more) = more.split_at(4);
            let (payload, more) = more.split_at(length);
            let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            frames.push((first & 0x0f, payload.collect()));
            rest = more;
        }
        frames
    }

    /// Not one byte of data left: nothing but the upgrade and control frames (opcodes 8 and above).
    #[track_caller]
    pub fn no_data(&self, of: &str) {
        let data: usize =
            self.frames().iter().filter(|(opcode, _)| *opcode < 8).map(|(_, payload)| payload.len()).sum();
        assert_eq!(data, 0, "{of}: bytes of data were sent");
        let canary = b"canary-name";
        assert!(!self.bytes.windows(canary.len()).any(|window| window == canary), "{of}: PHI was sent");
    }

    /// Nothing but the upgrade, a hello of version 1 and control frames.
    #[track_caller]
    pub fn only_a_hello(&self, of: &str) {
        let data = self.data();
        assert_eq!(data.len(), 1, "{of}: messages");
        let hello: Value = serde_json::from_slice(&data[0]).unwrap();
        let keys: Vec<&String> = hello.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["attest", "client_nonce", "v"], "{of}");
    }

    /// The payloads of the data frames.
    pub fn data(&self) -> Vec<Vec<u8>> {
        self.frames().into_iter().filter(|(opcode, _)| *opcode < 8).map(|(_, payload)| payload).collect()
    }

    /// Code and reason of the client's close frame.
    pub fn close(&self) -> Option<(u16, String)> {
        let (_, payload) = self.frames().into_iter().find(|(opcode, _)| *opcode == 8)?;
        let (code, reason) = payload.split_at_checked(2)?;
        Some((u16::from_be_bytes([code[0], code[1]]), String::from_utf8(reason.to_vec()).unwrap()))
    }
}

/// The other end of an open websocket.
pub struct Peer {
    pub websocket: WebSocketStream<Tls>,
    /// What a token for this session must carry.
    pub nonce: String,
}

impl Peer {
    /// Sends; that the client has gone meanwhile is its good right.
    pub async fn send(&mut self, message: Message) {
        let _ = self.websocket.send(message).await;
    }

    pub async fn say(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = self.websocket.close(Some(frame)).await;
        self.listen().await;
    }

    /// The next message that is no control frame.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.websocket.next().await? {
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) => return Some(message),
            }
        }
    }

    /// Reads to the end of everything; once the websocket is closed, ends this direction first, as servers do.
    pub async fn listen(mut self) {
        while let Some(Ok(_)) = self.websocket.next().await {}
        let stream = self.websocket.get_mut();
        let _ = stream.shutdown().await;
        stream.listen().await;
    }
}

/// The other end of a session of wire version 1, whose hello has been heard.
pub struct Peer1 {
    pub peer: Peer,
    pub bound: Bound,
    /// Whether the client offers to prove itself.
    pub attest: bool,
    /// Signs receipts.
    pub key: EcdsaKeyPair,
    /// The keying material that version 0 takes from the same session.
    pub version_0_exporter: [u8; 32],
}

impl Peer1 {
    /// `None`: the client has left before its hello.
    async fn greeted(tls: Tls, identity: &Identity) -> Option<Self> {
        let connection = tls.stream.get_ref().1;
        let exporter = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
        let version_0_exporter = connection.export_keying_material([0; 32], b"testing_nonce", None).unwrap();
        let (exporter, nonce) = (exporter.unwrap(), nonce(&tls.stream));
        let mut peer = Peer { websocket: upgrade(tls).await, nonce };
        let Some(Message::Text(hello)) = peer.next().await else { return None };
        let hello: Value = serde_json::from_str(&hello).unwrap();
        assert_eq!((&hello["v"], hello.as_object().unwrap().len()), (&json!(1), 3), "{hello}");
        let client_nonce = STANDARD.decode(hello["client_nonce"].as_str().unwrap()).unwrap();
        let client_nonce = client_nonce.try_into().unwrap();
        let spki = identity.spki.clone();
        let bound = Bound { exporter, spki, client_nonce, server_nonce: [0x5e; 32] };
        let key = receipt_key(&identity.key);
        let attest = hello["attest"].as_bool().unwrap();
        Some(Self { peer, bound, attest, key, version_0_exporter })
    }

    /// A good token for this session alone.
    pub fn token(&self) -> String {
        super::tokens::token(&version_1::nonce(1, &self.bound.leaf(SERVER)), &json!({}))
    }

    /// Shows this token with this proof.
    pub async fn show(&mut self, token: &str, proof: &Proof) {
        let message = version_1::attestation(&self.bound, token, proof, false).to_string();
        self.peer.say(message).await;
    }

    /// Shows a good token for this session alone, and asks for a proof or does not.
    pub async fn attest(&mut self, ask: bool) -> String {
        let token = self.token();
        let message = version_1::attestation(&self.bound, &token, &Proof::alone(), ask).to_string();
        self.peer.say(message).await;
        token
    }

    /// The PHI as it came, its key before it.
    pub async fn phi(&mut self) -> Option<Vec<u8>> {
        match self.peer.next().await? {
            Message::Binary(message) => Some(message.to_vec()),
            other => panic!("wanted PHI, got {other:?}"),
        }
    }
}

/// The websocket, whose subprotocol is version 1.
// The library's own error, whatever its size.
#[allow(clippy::result_large_err)]
async fn upgrade(tls: Tls) -> WebSocketStream<Tls> {
    let agree = |request: &Request, mut response: Response| {
        assert_eq!(request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        response.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(tls, agree).await.unwrap()
}

/// A stream that keeps what it reads.
pub struct Recorder<S> {
    pub stream: S,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl<S: AsyncRead + Unpin> Recorder<S> {
    /// Reads to the end.
    pub async fn listen(&mut self) {
        // How it ends does not matter: what came is recorded.
        let _ = self.read_to_end(&mut Vec::new()).await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.seen.lock().unwrap().extend(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The nonce of wire version 0, computed without the code under test.
fn nonce(tls: &TlsStream<TcpStream>) -> String {
    let exported = tls.get_ref().1.export_keying_material([0; 32], b"testing_nonce", None).unwrap();
    STANDARD.encode(digest(&SHA256, &exported))
}
