//! A network between owners and a USleep, with weather. It passes TLS through, and looks for health data in what it can
//! read, which must be none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::sessions::Canary;

/// What the longest kind of session takes, both directions, in bytes: cuts are chosen within it.
const SESSION_BYTES: u64 = 32_000;

/// How long a connection stands still before it is cut.
const STANDSTILL: Duration = Duration::from_millis(700);

/// What one connection goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Every piece of it is delayed.
    Slow(Duration),
    /// Both ends see an end of stream after so many bytes.
    Ends(u64),
    /// Both ends see a reset after so many bytes.
    Resets(u64),
    /// Nothing passes after so many bytes, and a while later the connection is gone.
    Stalls(u64),
}

impl Weather {
    /// Any of them.
    pub fn any(rng: &mut fastrand::Rng) -> Self {
        let after = rng.u64(0..SESSION_BYTES);
        match rng.u8(0..8) {
            0 | 1 => Self::Clear,
            2 | 3 => Self::Slow(Duration::from_millis(rng.u64(1..60))),
            4 | 5 => Self::Ends(after),
            6 => Self::Resets(after),
            _ => Self::Stalls(after),
        }
    }

    fn passes(self) -> u64 {
        match self {
            Self::Clear | Self::Slow(_) => u64::MAX,
            Self::Ends(after) | Self::Resets(after) | Self::Stalls(after) => after,
        }
    }
}

/// A running network; it ends with this.
pub struct Network {
    /// Where owners find it.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    leaks: AtomicU64,
}

impl Network {
    /// Connects whoever comes with `behind`, each in weather of its own.
    pub async fn start(
        behind: SocketAddr,
        canary: &Canary,
        mut weather: impl FnMut() -> Weather + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let (canary, watcher) = (canary.clone(), Arc::clone(&seen));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((owner, _)) = accepted {
                        connections.spawn(carry(owner, behind, weather(), canary.clone(), Arc::clone(&watcher)));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, seen, accepting }
    }

    /// Bytes that have passed, both directions.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// How often health data could be read.
    pub fn leaks(&self) -> u64 {
        self.seen.leaks.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut owner: TcpStream, behind: SocketAddr, weather: Weather, canary: Canary, seen: Arc<Seen>) {
    let Ok(mut usleep) = TcpStream::connect(behind).await else { return };
    let _ = (owner.set_nodelay(true), usleep.set_nodelay(true));
    let left = AtomicU64::new(weather.passes());
    {
        let (mut from_owner, mut to_owner) = owner.split();
        let (mut from_usleep, mut to_usleep) = usleep.split();
        let up = pass(&mut from_owner, &mut to_usleep, weather, &left, &canary, &seen);
        let down = pass(&mut from_usleep, &mut to_owner, weather, &left, &canary, &seen);
        if weather.passes() == u64::MAX {
            // Each direction ends by itself.
            tokio::join!(up, down);
        } else {
            tokio::select! { () = up => {} () = down => {} }
        }
    }
    match weather {
        Weather::Stalls(_) => sleep(STANDSTILL).await,
        Weather::Resets(_) => {
            let _ = (owner.set_zero_linger(), usleep.set_zero_linger());
        }
        _ => {}
    }
}

/// One direction, until it ends or no byte is left to pass.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    weather: Weather,
    left: &AtomicU64,
    canary: &Canary,
    seen: &Seen,
) {
    let mut window = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Weather::Slow(pause) = weather {
            sleep(pause).await;
        }
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(if left == u64::MAX { 0 } else { count as u64 }))
        });
        let passing = count.min(usize::try_from(before.unwrap_or_default()).unwrap_or(usize::MAX));
        let piece = buffer.get(..passing).unwrap_or_default();
        seen.bytes.fetch_add(passing as u64, Ordering::Relaxed);
        window.extend_from_slice(piece);
        seen.leaks.fetch_add(u64::from(canary.is_in(&window)), Ordering::Relaxed);
        // What a next piece could complete.
        window.drain(..window.len().saturating_sub(canary.longest() - 1));
        if to.write_all(piece).await.is_err() || passing < count {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Owners;
    use mock_launcher::Pki;

    /// What comes back of 10,000 bytes from an echo behind this weather.
    async fn echoed(weather: Weather) -> (usize, Network) {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut tcp, _) = echo.accept().await.unwrap();
            let (mut from, mut to) = tcp.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let pki = Pki::shared_folder_for_tests().unwrap();
        let owners = Owners::new(&pki, &mut fastrand::Rng::with_seed(7));
        let network = Network::start(behind, owners.canary(), move || weather).await;
        let mut tcp = TcpStream::connect(network.address).await.unwrap();
        let mut sent = owners.night().0;
        sent.resize(10_000, b' ');
        let (mut from, mut to) = tcp.split();
        let mut back = Vec::new();
        let sending = async {
            let _ = to.write_all(&sent).await;
            let _ = to.shutdown().await;
        };
        let (_, _) = tokio::join!(sending, from.read_to_end(&mut back));
        (back.len(), network)
    }

    #[tokio::test]
    async fn clear_and_slow_weather_lose_nothing_and_what_can_be_read_is_noticed() {
        for weather in [Weather::Clear, Weather::Slow(Duration::from_millis(1))] {
            let (back, network) = echoed(weather).await;
            assert_eq!(back, 10_000, "{weather:?}");
            assert_eq!(network.bytes(), 20_000, "{weather:?}");
            assert!(network.leaks() > 0, "{weather:?}: a canary in the clear went unnoticed");
        }
    }

    #[tokio::test]
    async fn a_cut_passes_no_byte_too_many() {
        for weather in [Weather::Ends(3_000), Weather::Resets(3_000), Weather::Stalls(3_000)] {
            let (back, network) = echoed(weather).await;
            assert!(back <= 3_000, "{weather:?}: {back}");
            assert_eq!(network.bytes(), 3_000, "{weather:?}");
        }
    }
}
