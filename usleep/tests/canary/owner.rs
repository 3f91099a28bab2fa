//! A data owner who speaks the bytes of both versions of the wire by hand: masks of zeros, so that also what has not
//! been unmasked yet can be found in the server's memory, and messages sent in parts. Knows the secrets of its session.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::KeyLog;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::common::{dial_telling, soon};
use super::memory::Canary;

pub struct Owner {
    tls: TlsStream<TcpStream>,
    wire: Wire,
    /// What TLS derives its keys from, the keying material that the proof is bound to, and the key of the commitments.
    secrets: Secrets,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire {
    V0,
    V1,
}

/// The key of the commitments, in wire version 1.
const KEY: [u8; 32] = *b"canary of the commitments' key..";

/// RFC 6455 §5.2: the first byte of a frame.
pub const LAST: u8 = 0x80;
pub const CONTINUED: u8 = 0x00;
pub const TEXT: u8 = 0x01;
pub const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x08;

impl Owner {
    /// Connects, says hello where that is the way, and waits for the token.
    pub async fn connect(address: SocketAddr, wire: Wire) -> Self {
        let secrets = Secrets::default();
        let mut tls = dial_telling(address, Arc::new(secrets.clone())).await;
        let (label, subprotocol) = match wire {
            Wire::V0 => (&b"testing_nonce"[..], ""),
            Wire::V1 => (&b"EXPORTER-Channel-Binding"[..], "Sec-WebSocket-Protocol: attested-sleep.v1\r\n"),
        };
        let exported = tls.get_ref().1.export_keying_material([0; 32], label, None).unwrap();
        secrets.keep("exported keying material", &exported);
        let request = format!(
            "GET /connection HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{subprotocol}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("the answer to the upgrade", tls.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let mut owner = Self { tls, wire, secrets };
        if wire == Wire::V1 {
            let client_nonce = STANDARD.encode([0x5e; 32]);
            let hello = format!(r#"{{"v":1,"client_nonce":"{client_nonce}","attest":false}}"#);
            owner.send(LAST | TEXT, hello.as_bytes()).await;
            owner.secrets.keep("the key of the commitments", &KEY);
        }
        let (kind, _token) = owner.receive().await;
        assert_eq!(kind, LAST | TEXT);
        owner
    }

    /// What the message of this data is.
    pub fn message(&self, data: &str) -> Vec<u8> {
        let key = if self.wire == Wire::V1 { &KEY[..] } else { b"" };
        [key, data.as_bytes()].concat()
    }

    /// The result, with the receipt that follows it.
    pub async fn result(&mut self) -> Vec<u8> {
        let (kind, result) = self.receive().await;
        assert_eq!(kind, LAST | TEXT);
        if self.wire == Wire::V1 {
            let (kind, _receipt) = self.receive().await;
            assert_eq!(kind, LAST | TEXT);
        }
        result
    }

    /// Sends one frame.
    pub async fn send(&mut self, kind: u8, payload: &[u8]) {
        self.announce(kind, payload.len()).await;
        self.send_bytes(payload).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = async { self.tls.write_all(bytes).await.and(self.tls.flush().await) };
        soon("usleep to take what is sent", sent).await.unwrap();
    }

    /// Sends the head of a frame alone.
    pub async fn announce(&mut self, kind: u8, length: usize) {
        let mut frame = vec![kind];
        match u16::try_from(length) {
            Ok(length @ 0..=125) => frame.push(0x80 | length.to_be_bytes()[1]),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // The mask.
        frame.extend([0; 4]);
        self.send_bytes(&frame).await;
    }

    /// The next frame: its first byte, and its payload.
    pub async fn receive(&mut self) -> (u8, Vec<u8>) {
        soon("usleep's next frame", self.frame()).await
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let kind = self.tls.read_u8().await.unwrap();
        let length = match self.tls.read_u8().await.unwrap() {
            126 => u64::from(self.tls.read_u16().await.unwrap()),
            127 => self.tls.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.tls.read_exact(&mut payload).await.unwrap();
        (kind, payload)
    }

    /// The code of the server's close frame, which must be next.
    pub async fn closed(&mut self) -> u16 {
        let (kind, payload) = self.receive().await;
        assert_eq!(kind, LAST | CLOSE);
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// The secrets that the server needs as long as the session lasts.
    pub fn needed_secrets(&self) -> Vec<Canary> {
        self.secrets.all().into_iter().filter(|secret| secret.name.contains("TRAFFIC_SECRET_0")).collect()
    }

    /// Ends the connection without a word, and gives the secrets of its session.
    pub fn leave(self) -> Vec<Canary> {
        self.secrets.all()
    }
}

/// Names and bytes.
type Kept = Vec<(String, Vec<u8>)>;

#[derive(Clone, Default)]
struct Secrets(Arc<Mutex<Kept>>);

impl Secrets {
    fn keep(&self, name: &str, secret: &[u8]) {
        self.0.lock().unwrap().push((name.to_owned(), secret.to_owned()));
    }

    fn all(&self) -> Vec<Canary> {
        self.0.lock().unwrap().iter().map(|(name, secret)| Canary::bytes(name, secret)).collect()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        self.keep(label, secret);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}
