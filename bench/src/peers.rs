//! Peers that take their time: each holds a place as long as it is let, sends a byte now and then, and comes back at once
//! when it is thrown out.

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::ServerName;
use session::tls::client_config;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::process::{Process, raise_open_files};

/// Argument that makes the executable a crowd of slow peers: USleep's port, and how many peers.
pub const PEERS: &str = "--play-peers";

/// Addresses that they come from, 127.0.1.1 and on: others than that of clients on the same machine.
pub const ADDRESSES: usize = 20;

/// Time between two bytes of a peer: from the one to the other, for each peer its own.
pub const PACES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

const REQUEST: &str = "GET /connection HTTP/1.1\r\nHost: usleep\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: attested-sleep.v1\r\n\r\n";

const HELLO: &str = r#"{"v":1,"client_nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","attest":false}"#;

/// Longer than anybody lets them go on.
const PHI: [u8; 1000] = [b' '; 1000];

/// What a peer sends slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its first message of TLS.
    Tls,
    /// After the handshake the request for a websocket.
    Request,
    /// After the token its PHI.
    Phi,
}

impl Kind {
    /// Every kind, which the peers are by turns.
    pub const ALL: [Self; 3] = [Self::Tls, Self::Request, Self::Phi];
}

/// What became of the peers of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// At what they came for at this moment.
    pub there: [usize; 3],
    /// Thrown out, or not let in, so far.
    pub thrown_out: [usize; 3],
}

/// A crowd of them, a process of its own. They leave when it is dropped.
pub struct Peers(Process);

impl Peers {
    /// So many set out for USleep at this port of this machine.
    pub fn come(port: u16, count: usize) -> Self {
        Self(Process::start(PEERS, &[port.to_string(), count.to_string()]))
    }

    /// What has become of them.
    pub fn seen(&mut self) -> Seen {
        let line = self.0.ask("");
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut three = || [(); 3].map(|()| numbers.next().unwrap());
        Seen { there: three(), thrown_out: three() }
    }

    /// Processor time that they have used so far, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        self.0.processor_seconds()
    }
}

/// Plays them if the command line asks for it, until standard input ends; `None`: it does not.
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != PEERS {
        return None;
    }
    let [port, count] = [(); 2].map(|()| arguments.next().unwrap());
    crowd(port.parse().unwrap(), count.parse().unwrap());
    Some(ExitCode::SUCCESS)
}

/// What is counted of the peers of a kind.
#[derive(Default)]
struct Counts {
    there: AtomicUsize,
    thrown_out: AtomicUsize,
}

/// Answers each line of standard input with what has been seen.
fn crowd(port: u16, count: usize) {
    raise_open_files();
    let counts = Kind::ALL.map(|_| Arc::<Counts>::default());
    let told = counts.clone();
    std::thread::spawn(move || {
        for _ in io::stdin().lock().lines() {
            let there = told.iter().map(|counts| &counts.there);
            let all = there.chain(told.iter().map(|counts| &counts.thrown_out));
            let numbers: Vec<_> = all.map(|number| number.load(Ordering::Relaxed).to_string()).collect();
            println!("{}", numbers.join(" "));
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut peers = JoinSet::new();
        for (number, (kind, counts)) in (0..count).zip(Kind::ALL.into_iter().zip(&counts).cycle()) {
            peers.spawn(peer(Peer::new(number, kind, port), Arc::clone(counts)));
        }
        while let Some(ended) = peers.join_next().await {
            ended.unwrap();
        }
    });
}

/// Comes again and again.
async fn peer(peer: Peer, counts: Arc<Counts>) {
    loop {
        // However it ends, the end is all that there is to see.
        let _ = peer.visit(&counts.there).await;
        counts.thrown_out.fetch_add(1, Ordering::Relaxed);
    }
}

struct Peer {
    kind: Kind,
    from: SocketAddr,
    usleep: SocketAddr,
    pace: Duration,
    tls: Arc<ClientConfig>,
}

impl Peer {
    fn new(number: usize, kind: Kind, port: u16) -> Self {
        let host = u8::try_from(number % ADDRESSES + 1).unwrap();
        // Spread over the whole range, whatever the number of peers.
        let [quick, slow] = PACES;
        let pace = quick + (slow - quick).mul_f64((number * 37 % 100) as f64 / 99.0);
        let usleep = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let from = SocketAddr::from(([127, 0, 1, host], 0));
        Self { kind, from, usleep, pace, tls: client_config().unwrap() }
    }

    /// Returns when USleep has had enough.
    async fn visit(&self, there: &AtomicUsize) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(self.from)?;
        let mut tcp = socket.connect(self.usleep).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(self.usleep.ip());
        if self.kind == Kind::Tls {
            let mut hello = Vec::new();
            let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
            { connection }.write_tls(&mut hello)?;
            return self.drip(&mut tcp, &hello, there).await;
        }
        let mut tls = Box::new(TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?);
        if self.kind == Kind::Request {
            return self.drip(&mut tls, REQUEST.as_bytes(), there).await;
        }
        tls.write_all(REQUEST.as_bytes()).await?;
        read_until(&mut tls, b"\r\n\r\n").await?;
        tls.write_all(&frame(1, HELLO.as_bytes())).await?;
        read_until(&mut tls, br#""token""#).await?;
        self.drip(&mut tls, &frame(2, &PHI), there).await
    }

    /// Sends all but the last byte at its pace, then nothing, and reads meanwhile.
    async fn drip<S: AsyncRead + AsyncWrite>(
        &self,
        stream: S,
        bytes: &[u8],
        there: &AtomicUsize,
    ) -> io::Result<()> {
        let _there = There::count(there);
        let (mut from, mut to) = tokio::io::split(stream);
        let drip = async {
            for byte in bytes.iter().take(bytes.len() - 1) {
                to.write_all(&[*byte]).await?;
                to.flush().await?;
                tokio::time::sleep(self.pace).await;
            }
            std::future::pending().await
        };
        let mut buffer = [0; 4096];
        let listen = async {
            while from.read(&mut buffer).await? > 0 {}
            Ok(())
        };
        tokio::select! { ended = listen => ended, failed = drip => failed }
    }
}

/// Counted until it is dropped.
struct There<'a>(&'a AtomicUsize);

impl<'a> There<'a> {
    fn count(there: &'a AtomicUsize) -> Self {
        there.fetch_add(1, Ordering::Relaxed);
        Self(there)
    }
}

impl Drop for There<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

async fn read_until(tls: &mut TlsStream<TcpStream>, end: &[u8]) -> io::Result<()> {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|window| window == end) {
        if tls.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
