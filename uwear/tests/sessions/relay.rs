//! Those who stand between two honest ends, and those who bring a token that was made for another session.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::json;
use session::{ConnectOptions, Wire, connect};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;

use super::{Attack, Received, Stage, take_phi};
use crate::support::honest::Honest;
use crate::support::scripted::{Peer, Scripted, Tcp, Tls};
use crate::support::{Owner, PHI, certificate, tokens};

const ANOTHER_SESSION: &[&str] = &["session_nonce", "nonce_verified"];
const REFUSED: &str = "remote TEE's JWT failed policy check";

/// A row whose authentic token is for another session.
macro_rules! attack {
    ($name:literal, $stage:expr) => {
        Attack {
            name: $name,
            wire: "0",
            exit: 5,
            fails: ANOTHER_SESSION,
            reason: REFUSED,
            stage: || Box::pin($stage),
        }
    };
}

pub const ROWS: &[Attack] = &[
    attack!("a relay that ends TLS", relay()),
    attack!("a relay that ends TLS with USleep's own key and certificate", relay_with_its_key()),
    attack!("a relay that asks USleep for a token and speaks for itself", relay_of_one_message()),
    attack!("a recorded token, replayed within its age", replay()),
    attack!("a token of the session next door", next_door()),
    // What shows that the others would pass if the relay left TLS alone.
    Attack {
        name: "a balancer that passes TLS through",
        wire: "0",
        exit: 0,
        fails: &[],
        reason: "",
        stage: || Box::pin(passthrough()),
    },
];

/// Between the owner and an honest USleep: TLS ends here and begins anew, everything is passed on both ways.
async fn relay() -> Stage {
    let usleep = Honest::start().await;
    let behind = usleep.address;
    let relay = Scripted::tls(move |tls| pass_on(tls, behind)).await;
    two_hops(relay, async move {
        // The server itself has no message of PHI, nor begun one: it keeps whatever it is sent.
        assert!(usleep.received().await.is_empty(), "PHI came through the relay");
    })
}

/// The same where the relay has all that USleep's TLS has: its key and its certificate.
async fn relay_with_its_key() -> Stage {
    let tls = certificate::v3();
    let usleep = Scripted::websocket_with(Arc::clone(&tls), honest).await;
    let behind = usleep.address;
    let relay = Scripted::tls_with(tls, move |tls| pass_on(tls, behind)).await;
    two_hops(relay, async move { usleep.seen().await.no_data("USleep behind the relay") })
}

/// It passes on no byte but the token, in a session of its own.
async fn relay_of_one_message() -> Stage {
    let usleep = Honest::start().await;
    let behind = usleep.address;
    let relay = Scripted::websocket(move |mut peer| async move {
        let token = token_from(behind).await;
        peer.say(token).await;
        peer.listen().await;
    });
    two_hops(relay.await, async move {
        assert!(usleep.received().await.is_empty(), "PHI came through the relay");
    })
}

/// Shows what an honest USleep gave to somebody a moment ago.
async fn replay() -> Stage {
    let usleep = Honest::start().await;
    let recorded = token_from(usleep.address).await;
    assert!(usleep.received().await.is_empty());
    let server = Scripted::websocket(move |mut peer| {
        let token = recorded.clone();
        async move {
            peer.say(token).await;
            peer.listen().await;
        }
    });
    Stage::of(server.await, Received::Nothing)
}

/// Two sessions at the same moment, each with an authentic token of this instant: the other's.
async fn next_door() -> Stage {
    let (shown, both) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Barrier::new(2)));
    // A server for each, so that each has a record of its own.
    let start = || {
        let (shown, both) = (Arc::clone(&shown), Arc::clone(&both));
        Scripted::websocket(move |peer| swap(peer, Arc::clone(&shown), Arc::clone(&both)))
    };
    let (ours, theirs) = (start().await, start().await);
    let (address, next_door) = (ours.address, theirs.address);
    let neighbour = tokio::spawn(async move { Owner::new().release(next_door).ends().await });
    let end = Box::pin(async move {
        neighbour.await.unwrap().with_code(5).says(&["for another TLS session", "nothing was sent"]);
        ours.seen().await.no_data("the server");
        theirs.seen().await.no_data("the server next door");
    });
    Stage { address, end }
}

/// Makes the token that this session should be shown, and shows the other's.
async fn swap(mut peer: Peer, shown: Arc<Mutex<Vec<String>>>, both: Arc<Barrier>) {
    let own = tokens::token(&peer.nonce, &json!({}));
    shown.lock().unwrap().push(own.clone());
    both.wait().await;
    let others = shown.lock().unwrap().iter().find(|token| **token != own).cloned();
    peer.say(others.unwrap()).await;
    peer.listen().await;
}

/// Passes bytes on and understands none of them.
async fn passthrough() -> Stage {
    let usleep = Honest::start().await;
    let behind = usleep.address;
    let balancer = Scripted::tcp(move |mut tcp: Tcp| async move {
        let mut onward = TcpStream::connect(behind).await.unwrap();
        let _ = copy_bidirectional(&mut tcp, &mut onward).await;
    });
    let balancer = balancer.await;
    let address = balancer.address;
    let end = Box::pin(async move {
        assert_eq!(usleep.received().await, [PHI.as_bytes()]);
        let seen = balancer.seen().await;
        assert!(seen.bytes.len() > PHI.len());
        let readable = b"canary-name";
        assert!(!seen.bytes.windows(readable.len()).any(|window| window == readable), "PHI in the clear");
    });
    Stage { address, end }
}

/// Neither the relay nor whoever is behind it may have received data.
fn two_hops(relay: Scripted, behind: impl Future<Output = ()> + Send + 'static) -> Stage {
    let address = relay.address;
    let end: BoxFuture<'static, ()> = Box::pin(async move {
        relay.seen().await.no_data("the relay");
        behind.await;
    });
    Stage { address, end }
}

/// The same in version 1, where a hello goes before.
pub fn two_hops_of_version_1(relay: Scripted, behind: impl Future<Output = ()> + Send + 'static) -> Stage {
    let address = relay.address;
    let end: BoxFuture<'static, ()> = Box::pin(async move {
        relay.seen().await.only_a_hello("the relay");
        behind.await;
    });
    Stage { address, end }
}

/// Opens TLS to USleep and passes on everything, both ways.
pub async fn pass_on(mut tls: Tls, usleep: std::net::SocketAddr) {
    let tcp = TcpStream::connect(usleep).await.unwrap();
    let name = ServerName::try_from("usleep.invalid").unwrap();
    let mut onward = TlsConnector::from(credulous()).connect(name, tcp).await.unwrap();
    let _ = copy_bidirectional(&mut tls, &mut onward).await;
}

/// What an honest USleep does, up to the release: a token for this session, then it takes the PHI.
async fn honest(mut peer: Peer) {
    let token = tokens::token(&peer.nonce, &json!({}));
    peer.say(token).await;
    take_phi(peer).await;
}

/// The token that USleep gives to whoever asks.
async fn token_from(usleep: std::net::SocketAddr) -> String {
    let options = ConnectOptions { wire: Wire::V0, ..ConnectOptions::default() };
    let connected = connect(&usleep.to_string().parse().unwrap(), &options).await;
    connected.unwrap().receive_token().await.unwrap().token().as_str().to_owned()
}

/// TLS 1.3 to anybody.
pub fn credulous() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
