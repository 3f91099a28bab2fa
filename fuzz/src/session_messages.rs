//! Target `session_messages`: a peer that sends anything, to either end of a session.
//!
//! The first byte says which end is under test and what the peer does before it sends the rest as it is, over TLS:
//!
//! | bit | meaning |
//! |---|---|
//! | 0 | the server is under test, else the client |
//! | 1, 2 | client: a good token first, for another session (1), another audience (2), this session (3). Server: no token is to be had (1) |
//! | 3 | the rest comes in place of HTTP, else as websocket frames after a sound upgrade |
//! | 4 | client, after a token for this session: the rest comes when the client has said something; else at once, which is out of turn |
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use attestation::{Nonce, Phi, Token};
use launcher::{DeskOptions, LauncherError, TokenDesk, TokenFuture, TokenRequest, TokenSource};
use mock_launcher::claims::default_claims;
use policy::{Baseline, DEFAULT_BASELINE, Policy, PolicySource};
use session::server::{About, PhiInvalid, Reply, Workload};
use session::{ConnectOptions, Endpoint, Identity, Limits, Server, Wire, tls};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::forge::{FORGE, NOW, now};

/// The made-up health data. No peer may see a byte of it without a good token for its own session.
const PHI: &[u8] = b"{\"name\":\"canary-name\",\"age\":29}";
const REPLY: &str = "canary-result";

/// The peer ends what it says, so nothing ever has to wait this long.
const PATIENCE: Duration = Duration::from_secs(20);

pub const SERVER: u8 = 1;
pub const ANOTHER_SESSION: u8 = 1 << 1;
pub const ANOTHER_AUDIENCE: u8 = 2 << 1;
pub const THIS_SESSION: u8 = 3 << 1;
pub const NO_TOKEN: u8 = 1 << 1;
pub const RAW: u8 = 1 << 3;
pub const IN_TURN: u8 = 1 << 4;
/// A good token for this session, then the rest in its turn: PHI may come.
pub const HONEST: u8 = THIS_SESSION | IN_TURN;

/// Panics in any thread or task: tokio would keep those of a task to itself.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Asserts what holds whatever the peer sends, and says whether PHI came out of the client or into the server.
pub fn check(data: &[u8]) -> bool {
    static COUNT_PANICS: Once = Once::new();
    COUNT_PANICS.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
    let Some((flags, rest)) = data.split_first() else { return false };
    let panics = PANICS.load(Ordering::SeqCst);
    let phi = WORLD.with(|world| {
        let job = async {
            if flags & SERVER == 0 {
                client(world, *flags, rest).await
            } else {
                server(world, *flags, rest).await
            }
        };
        world.runtime.block_on(async { timeout(PATIENCE, job).await }).expect("it ends when the peer does")
    });
    assert_eq!(PANICS.load(Ordering::SeqCst), panics, "something panicked");
    phi
}

/// Both ends of a session that are under test, and what a peer needs.
struct World {
    runtime: Runtime,
    /// Where the client under test dials.
    evil: TcpListener,
    evil_tls: TlsAcceptor,
    policy: Policy,
    /// Servers under test: one that has tokens, one that has none.
    servers: [SocketAddr; 2],
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let received = Arc::default();
        let (evil, servers) = runtime.block_on(async {
            let servers = [serve(Source(true), &received).await, serve(Source(false), &received).await];
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), servers)
        });
        let evil_tls = TlsAcceptor::from(tls::server_config(Identity::generate().unwrap()).unwrap());
        let baseline = Baseline::parse(DEFAULT_BASELINE).unwrap();
        let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
        Self { runtime, evil, evil_tls, policy, servers, received }
    }
}

async fn serve(source: Source, received: &Arc<Mutex<Vec<Vec<u8>>>>) -> SocketAddr {
    let workload = Recording(Arc::clone(received));
    let identity = Identity::generate().unwrap();
    let options = DeskOptions { tokens_per_second: 10_000.0, ..DeskOptions::default() };
    let desk = TokenDesk::new(Arc::new(source), options);
    let server = Server::new(identity, desk, "uwear", workload, limits()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, CancellationToken::new(), Duration::ZERO));
    address
}

/// Limits that a peer who sends much reaches.
fn limits() -> Limits {
    Limits { phi_bytes: 4096, result_bytes: 2048, close: Duration::from_millis(500), ..Limits::default() }
}

/// Tokens, or none.
struct Source(bool);

impl TokenSource for Source {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(async move {
            assert_eq!(request.audience(), "uwear");
            if self.0 {
                // The peer does not look into it.
                return Ok(Token::new(FORGE.genuine.clone()).unwrap());
            }
            Err(LauncherError::SocketMissing { socket: "/nowhere".into() })
        })
    }
}

/// Keeps what it is given.
struct Recording(Arc<Mutex<Vec<Vec<u8>>>>);

impl Workload for Recording {
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        self.0.lock().unwrap().push(phi.expose().to_vec());
        match phi.expose().first() {
            Some(b'{') => Ok(Reply::new(Zeroizing::new(REPLY.to_owned()))),
            _ => Err(PhiInvalid("top level".to_owned())),
        }
    }

    fn about(&self) -> About {
        About { rules: "none".to_owned(), program: "fuzzing".to_owned() }
    }
}

/// The client under test, and what the evil server saw of it.
async fn client(world: &World, flags: u8, rest: &[u8]) -> bool {
    let endpoint: Endpoint = world.evil.local_addr().unwrap().to_string().parse().unwrap();
    let options = ConnectOptions { limits: limits(), wire: Wire::V0, ..ConnectOptions::default() };
    let release = async {
        let connected = session::connect(&endpoint, &options).await.ok()?;
        let presented = connected.receive_token().await.ok()?;
        let attested = match presented.attest(&FORGE.verifier, now()) {
            Ok(attested) => attested,
            Err(unproven) => {
                unproven.close().await;
                return None;
            }
        };
        let approved = match attested.decide(&world.policy, "uwear", now()) {
            Ok(approved) => approved,
            Err(denied) => {
                denied.close().await;
                return None;
            }
        };
        let released = approved.release(Phi::new(Zeroizing::new(PHI.to_vec())).unwrap()).await.ok()?;
        released.result().await.ok()
    };
    let (answer, seen) = tokio::join!(release, evil_server(world, flags, rest));

    let Seen { nonce_was_ours, bytes } = seen;
    let frames = frames(&bytes);
    let data: Vec<&Vec<u8>> =
        frames.iter().filter(|frame| frame.opcode < 8).map(|frame| &frame.payload).collect();
    if nonce_was_ours {
        assert!(data.len() <= 1, "PHI goes out once");
        assert!(data.iter().all(|data| data.as_slice() == PHI));
    } else {
        assert!(data.is_empty(), "{} data frames without a token for this session", data.len());
        assert!(answer.is_none());
    }
    let canary = b"canary-name";
    let shown = frames.iter().filter(|frame| frame.opcode >= 8).any(|frame| holds(&frame.payload, canary));
    assert!(!shown && !holds(&bytes, canary), "PHI outside of its message");
    !data.is_empty()
}

/// What the evil server saw after the upgrade, and whether it had sent a good token for this session.
struct Seen {
    nonce_was_ours: bool,
    bytes: Vec<u8>,
}

async fn evil_server(world: &World, flags: u8, rest: &[u8]) -> Seen {
    let (tcp, _) = world.evil.accept().await.unwrap();
    tcp.set_nodelay(true).unwrap();
    // No connection lingers: thousands of them follow each other.
    let _ = tcp.set_zero_linger();
    let mut tls = world.evil_tls.accept(tcp).await.expect("TLS is sound");
    let nonce = Nonce::of_session(|buffer, label, context| {
        tls.get_ref().1.export_keying_material(&mut buffer[..], label, context).map(drop)
    });
    let nonce = nonce.unwrap().as_str().to_owned();
    let head = head(&mut tls).await;
    let mut out = Vec::new();
    let raw = flags & RAW != 0;
    if !raw {
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
        out.extend(format!("{upgrade}sec-websocket-accept: {accept}\r\n\r\n").into_bytes());
        if let Some(token) = token(flags & THIS_SESSION, &nonce) {
            out.extend(frame(0x81, token.as_bytes(), None));
        }
    }
    let mut bytes = Vec::new();
    // Without a good token the client says nothing before it gives up.
    if !raw && flags & HONEST == HONEST {
        let _ = tls.write_all(&std::mem::take(&mut out)).await;
        let _ = tls.flush().await;
        let _ = tls.read_buf(&mut bytes).await;
    }
    out.extend(rest);
    bytes.extend(talk(tls, &out).await);
    Seen { nonce_was_ours: !raw && flags & THIS_SESSION == THIS_SESSION, bytes }
}

fn token(which: u8, nonce: &str) -> Option<String> {
    let (audience, nonce) = match which {
        ANOTHER_SESSION => return Some(FORGE.genuine.clone()),
        ANOTHER_AUDIENCE => ("uwear2", nonce),
        THIS_SESSION => ("uwear", nonce),
        _ => return None,
    };
    let claims = default_claims(audience, &[nonce.to_owned()], i64::try_from(NOW).unwrap());
    Some(FORGE.sign_claims(&mock_launcher::claims::to_json(&claims)))
}

/// A server under test, and a client that sends anything.
async fn server(world: &World, flags: u8, rest: &[u8]) -> bool {
    world.received.lock().unwrap().clear();
    let no_token = flags & NO_TOKEN != 0;
    let tcp = TcpStream::connect(world.servers[usize::from(no_token)]).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let _ = tcp.set_zero_linger();
    let connector = TlsConnector::from(tls::client_config().unwrap());
    let name = "localhost".to_owned().try_into().unwrap();
    let mut tls = connector.connect(name, tcp).await.expect("TLS is sound");
    let raw = flags & RAW != 0;
    if !raw {
        let upgrade = "GET /connection HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        tls.write_all(upgrade.as_bytes()).await.unwrap();
        tls.flush().await.unwrap();
        assert!(head(&mut tls).await.starts_with("HTTP/1.1 101 "));
    }
    let bytes = talk(tls, rest).await;

    let received = world.received.lock().unwrap().clone();
    assert!(received.len() <= 1, "one message of PHI in a session");
    assert!(received.iter().all(|phi| phi.len() <= limits().phi_bytes));
    assert!(!no_token || received.is_empty(), "PHI was taken without a token to show");
    if raw {
        // An upgrade may have come about; then frames follow the head, and they are the other case's.
        return !received.is_empty();
    }
    let frames = frames(&bytes);
    let texts: Vec<&[u8]> =
        frames.iter().filter(|frame| frame.opcode < 8).map(|frame| frame.payload.as_slice()).collect();
    let answered = received.first().is_some_and(|phi| phi.starts_with(b"{"));
    let mut wanted: Vec<&[u8]> = Vec::new();
    wanted.extend((!no_token).then_some(FORGE.genuine.as_bytes()));
    wanted.extend(answered.then_some(REPLY.as_bytes()));
    // Who has said too much may be gone before the answer.
    assert!(wanted.starts_with(&texts), "{} messages", texts.len());
    let closes: Vec<&Frame> = frames.iter().filter(|frame| frame.opcode == 8).collect();
    assert!(closes.len() <= 1);
    assert!(closes.iter().all(|close| close.payload.len() < 64));
    !received.is_empty()
}

/// Sends all of it and ends that direction, reading all the while to the end of the other.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, out: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut seen = Vec::new();
    let say = async {
        // The other end may have had enough before the end.
        let _ = write.write_all(out).await;
        let _ = write.shutdown().await;
    };
    let listen = async {
        // However it ends.
        let _ = read.read_to_end(&mut seen).await;
    };
    tokio::join!(say, listen);
    seen
}

/// Reads to the end of the head of an HTTP message, and nothing beyond.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// One frame of a websocket (RFC 6455 §5.2).
struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

/// The whole frames that an honest end has sent; a rest that is none is left.
fn frames(mut rest: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, more @ ..] = rest {
        let (length, more) = match (second & 0x7f, more) {
            (126, [a, b, more @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), more),
            (126 | 127, _) => break,
            (length, more) => (usize::from(length), more),
        };
        let (mask, more) = if second & 0x80 == 0 {
            (&[0; 4][..], more)
        } else {
            more.split_at_checked(4).unwrap_or((&[], &[]))
        };
        let Some((payload, more)) = more.split_at_checked(length) else { break };
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        frames.push(Frame { opcode: first & 0x0f, payload });
        rest = more;
    }
    frames
}

/// A frame with this first byte; with a mask as from a client.
pub fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => frame.push(bit | length.to_be_bytes()[1]),
        Ok(length) => frame.extend([&[bit | 126], &length.to_be_bytes()[..]].concat()),
        Err(_) => frame.extend([&[bit | 127], &payload.len().to_be_bytes()[..]].concat()),
    }
    frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Sessions to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let to_client =
        |flags: u8, first: u8, payload: &[u8]| [vec![flags], frame(first, payload, None)].concat();
    let to_server = |flags: u8, first: u8, payload: &[u8]| {
        [vec![SERVER | flags], frame(first, payload, Some([1, 2, 3, 4]))].concat()
    };
    let pieces = [frame(1, b"eyJ", None), frame(0x89, b"ping", None), frame(0x80, b"hbGci", None)].concat();
    let upgrade = "GET /connection HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    [
        ("client-result", to_client(HONEST, 0x81, b"{\"sentence\":\"x\"}")),
        ("client-result-first", to_client(0, 0x81, b"{\"sentence\":\"x\"}")),
        ("client-another-session", to_client(ANOTHER_SESSION, 0x81, b"{}")),
        ("client-another-audience", to_client(ANOTHER_AUDIENCE, 0x81, b"{}")),
        ("client-genuine-as-text", to_client(0, 0x81, FORGE.genuine.as_bytes())),
        ("client-genuine-as-binary", to_client(0, 0x82, FORGE.genuine.as_bytes())),
        ("client-pieces", [vec![0], pieces.clone()].concat()),
        ("client-close", to_client(0, 0x88, b"\x03\xf3attestation-unavailable")),
        ("client-close-after-token", to_client(HONEST, 0x88, b"\x03\xe8")),
        ("client-large", to_client(HONEST, 0x81, &[b'x'; 3000])),
        ("client-503", [&[RAW], &b"HTTP/1.1 503 Busy\r\nretry-after: 2\r\n\r\n"[..]].concat()),
        ("client-reserved", to_client(0, 0xf1, b"x")),
        ("server-phi", to_server(0, 0x82, PHI)),
        ("server-not-phi", to_server(0, 0x82, b"x")),
        ("server-text", to_server(0, 0x81, PHI)),
        ("server-no-token", to_server(NO_TOKEN, 0x82, PHI)),
        ("server-large", to_server(0, 0x82, &[b'{'; 4097])),
        (
            "server-announced",
            [&[SERVER], &[0x82, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4][..]].concat(),
        ),
        ("server-close", to_server(0, 0x88, b"\x03\xf0refused")),
        ("server-ping", to_server(0, 0x89, b"ping")),
        ("server-unmasked", [vec![SERVER], frame(0x82, PHI, None)].concat()),
        (
            "server-pieces",
            [vec![SERVER], frame(2, b"{", Some([0; 4])), frame(0x80, b"}", Some([9; 4]))].concat(),
        ),
        ("server-upgrade", [&[SERVER | RAW], upgrade.as_bytes()].concat()),
        ("server-http", [&[SERVER | RAW], &b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"[..]].concat()),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
