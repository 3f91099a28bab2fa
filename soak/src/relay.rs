//! A wrong end: it ends TLS with a certificate of its own, passes everything on to an honest USleep and back, and keeps
//! count of what owners send it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls_pki_types::ServerName;
use session::Identity;
use session::tls::{client_config, server_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

/// A running relay; it ends with this.
pub struct Relay {
    /// Where owners find it.
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
    accepting: JoinHandle<()>,
    leave: CancellationToken,
}

/// What owners have sent it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Connections that came as far as a token could.
    pub websockets: u64,
    /// Frames of binary messages, whose only use on this wire is health data.
    pub binary: u64,
}

impl Relay {
    /// Between whoever comes and `behind`.
    pub async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(server_config(Identity::generate().unwrap()).unwrap());
        let received = Arc::<Mutex<Received>>::default();
        let keeper = Arc::clone(&received);
        let leave = CancellationToken::new();
        let left = leave.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = left.cancelled() => break,
                    accepted = listener.accept() => if let Ok((owner, _)) = accepted {
                        connections.spawn(pass_on(owner, behind, acceptor.clone(), Arc::clone(&keeper)));
                    },
                }
            }
            connections.join_all().await;
        });
        Self { address, received, accepting, leave }
    }

    /// What owners have sent, once all of them have left.
    pub async fn ended(self) -> Received {
        self.leave.cancel();
        self.accepting.await.unwrap();
        *self.received.lock().unwrap()
    }
}

async fn pass_on(
    owner: TcpStream,
    behind: SocketAddr,
    acceptor: TlsAcceptor,
    received: Arc<Mutex<Received>>,
) -> io::Result<()> {
    let owner = acceptor.accept(owner).await?;
    let name = ServerName::from(behind.ip());
    let connector = TlsConnector::from(client_config().map_err(io::Error::other)?);
    let usleep = connector.connect(name, TcpStream::connect(behind).await?).await?;
    let (mut from_owner, mut to_owner) = tokio::io::split(owner);
    let (mut from_usleep, mut to_usleep) = tokio::io::split(usleep);
    let up = async {
        let mut sent = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_owner.read(&mut buffer).await {
            let piece = buffer.get(..count).unwrap_or_default();
            sent.extend_from_slice(piece);
            if to_usleep.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = to_usleep.shutdown().await;
        sent
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_usleep, &mut to_owner).await;
        let _ = to_owner.shutdown().await;
    };
    let (sent, ()) = tokio::join!(up, down);
    let opcodes = opcodes(&sent);
    let mut received = received.lock().unwrap();
    received.websockets += u64::from(!opcodes.is_empty());
    received.binary += opcodes.iter().filter(|opcode| **opcode == BINARY).count() as u64;
    Ok(())
}

/// RFC 6455 §5.2.
const BINARY: u8 = 2;

/// The opcodes of the frames that follow a request's head, each frame masked as a client's is; also of one that is cut off.
fn opcodes(sent: &[u8]) -> Vec<u8> {
    let end = b"\r\n\r\n";
    let Some(head) = sent.windows(end.len()).position(|window| window == end) else { return Vec::new() };
    let mut rest = sent.get(head + end.len()..).unwrap_or_default();
    let mut opcodes = Vec::new();
    while let [first, second, after @ ..] = rest {
        opcodes.push(first & 0x0f);
        let bytes =
            |count: usize| after.iter().take(count).fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (more, length) = match second & 0x7f {
            126 => (2, bytes(2)),
            127 => (8, bytes(8)),
            length => (0, usize::from(length)),
        };
        rest = after.get(more + 4 + length..).unwrap_or_default();
    }
    opcodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_found_also_one_that_is_cut_off() {
        let head = b"GET /connection HTTP/1.1\r\n\r\n".to_vec();
        let text = [&[0x81, 0x80 | 3][..], &[0; 4], b"abc"].concat();
        let binary = [&[0x82, 0x80 | 126, 1, 0][..], &[0; 4], &[7; 256]].concat();
        let begun = [0x02, 0x80 | 127].to_vec();
        let rows = [
            (vec![], vec![]),
            (vec![&head[..]], vec![]),
            (vec![&head[..], &text, &binary, &text], vec![1, 2, 1]),
            (vec![&head[..], &begun], vec![2]),
        ];
        for (pieces, wanted) in rows {
            assert_eq!(opcodes(&pieces.concat()), wanted);
        }
    }
}
