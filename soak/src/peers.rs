//! Peers that take their time: silent ones, and ones that send a byte now and then, at every stage that a stranger reaches.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::ServerName;
use session::tls::client_config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Time between two bytes of a peer that drips.
const DRIP: Duration = Duration::from_millis(250);

/// Peers that come from one address: fewer than may be connected from one, so that none is turned away at the door.
const FROM_ONE_ADDRESS: usize = 250;

const UPGRADE: &str = "GET /connection HTTP/1.1\r\nHost: usleep\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: attested-sleep.v1\r\n\r\n";

/// Where a peer takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It opens TCP and says nothing.
    Tcp,
    /// It drips its request's head.
    Head,
    /// It drips its hello.
    Hello,
    /// It takes a token and drips its health data.
    Phi,
}

/// Every stage.
pub const STAGES: [Stage; 4] = [Stage::Tcp, Stage::Head, Stage::Hello, Stage::Phi];

/// Slow peers, who go on until they are told to leave.
pub struct Peers {
    tasks: JoinSet<()>,
    there: Arc<AtomicUsize>,
}

impl Peers {
    /// So many come, the stages by turns, and each is as far as it goes, or has been turned away, when this returns.
    pub async fn come(usleep: SocketAddr, count: usize) -> Self {
        let there = Arc::new(AtomicUsize::new(0));
        let (arrived, mut arrivals) = tokio::sync::mpsc::channel(count.max(1));
        let mut tasks = JoinSet::new();
        for (number, stage) in (0..count).zip(STAGES.into_iter().cycle()) {
            let (there, arrived) = (Arc::clone(&there), arrived.clone());
            tasks.spawn(async move {
                let host =
                    Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / FROM_ONE_ADDRESS).unwrap_or(u8::MAX));
                let Ok(peer) = Peer::arrive(usleep, host.into(), stage).await else { return };
                there.fetch_add(1, Ordering::Relaxed);
                let _ = arrived.send(()).await;
                drop(arrived);
                peer.dawdle().await;
                there.fetch_sub(1, Ordering::Relaxed);
            });
        }
        drop(arrived);
        // Ends when each of them has arrived or failed to.
        while arrivals.recv().await.is_some() {}
        Self { tasks, there }
    }

    /// How many are connected still, as far as they know.
    pub fn there(&self) -> usize {
        self.there.load(Ordering::Relaxed)
    }

    /// All leave at once and without a word.
    pub async fn leave(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A peer that has come as far as it goes, and what it is going to drip.
struct Peer {
    connection: Connection,
    drips: Vec<u8>,
}

enum Connection {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Peer {
    async fn arrive(usleep: SocketAddr, from: IpAddr, stage: Stage) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let tcp = socket.connect(usleep).await?;
        if stage == Stage::Tcp {
            return Ok(Self { connection: Connection::Tcp(tcp), drips: Vec::new() });
        }
        let connector = TlsConnector::from(client_config().map_err(std::io::Error::other)?);
        let mut tls = Box::new(connector.connect(ServerName::from(usleep.ip()), tcp).await?);
        if stage == Stage::Head {
            return Ok(Self { connection: Connection::Tls(tls), drips: UPGRADE.into() });
        }
        tls.write_all(UPGRADE.as_bytes()).await?;
        read_until(&mut tls, b"\r\n\r\n").await?;
        let nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let hello = frame(1, format!(r#"{{"v":1,"client_nonce":"{nonce}","attest":false}}"#).as_bytes());
        if stage == Stage::Hello {
            return Ok(Self { connection: Connection::Tls(tls), drips: hello });
        }
        tls.write_all(&hello).await?;
        read_until(&mut tls, br#""token""#).await?;
        Ok(Self { connection: Connection::Tls(tls), drips: frame(2, &[b' '; 1000]) })
    }

    /// Returns when the server has had enough.
    async fn dawdle(self) {
        match self.connection {
            Connection::Tcp(mut tcp) => while tcp.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {},
            Connection::Tls(tls) => {
                let (mut from, mut to) = tokio::io::split(tls);
                let drip = async {
                    for drop in self.drips.chunks(1) {
                        if to.write_all(drop).await.is_err() || to.flush().await.is_err() {
                            break;
                        }
                        tokio::time::sleep(DRIP).await;
                    }
                };
                let mut buffer = [0; 4096];
                let listen = async { while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
                tokio::select! { () = listen => {} () = drip => {} }
            }
        }
    }
}

/// One frame of a client, masked with zeros (RFC 6455 §5.2).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let head = match payload.len() {
        short @ 0..=125 => vec![0x80 | opcode, 0x80 | u8::try_from(short).unwrap()],
        _ => [&[0x80 | opcode, 0x80 | 126][..], &length].concat(),
    };
    [&head[..], &[0; 4], payload].concat()
}

async fn read_until(tls: &mut TlsStream<TcpStream>, end: &[u8]) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|window| window == end) {
        if tls.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
