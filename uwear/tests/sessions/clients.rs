//! What clients try on a USleep that serves only those who prove themselves: forged greetings, and proofs that are
//! authentic but for another session, another role, or somebody else.

use std::net::SocketAddr;

use attestation::{Anchors, Expectation, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use policy::{Baseline, Policy, PolicySource};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use session::server::ClientJudge;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::relay::credulous;
use crate::support::honest::Honest;
use crate::support::version_1::{
    self as peers, Bound, CLIENT, Hash, Proof, SERVER, SUBPROTOCOL, client_attestation, nonce,
};
use crate::support::{PHI, tokens};

/// The mock's UWear, which the shipped client baseline approves.
const UWEAR: &str = include_str!("../../../mock-launcher/claims/uwear.json");

/// A forged greeting or proof, and what USleep says of it.
pub struct Row {
    /// What is forged; unique.
    pub name: &'static str,
    /// What the client says first, given an honest hello.
    hello: fn(Value) -> Message,
    /// What it says when it has been asked for its proof, before it sends the data.
    proof: fn(&Client) -> Vec<Message>,
    /// Whether both ends approve each other's image, account and audience, so that nothing but the session is left to
    /// tell them apart.
    alike: bool,
    /// Code and reason; none where it is genuine, to be served all the same.
    told: Option<(u16, &'static str)>,
}

impl Row {
    /// Whether it is to be served.
    pub fn is_genuine(&self) -> bool {
        self.told.is_none()
    }
}

const REFUSED: (u16, &str) = (1008, "client-refused");

const fn proof(name: &'static str, proof: fn(&Client) -> Vec<Message>) -> Row {
    Row { name, hello: |hello| Message::text(hello.to_string()), proof, alike: false, told: Some(REFUSED) }
}

const fn alike(row: Row) -> Row {
    Row { alike: true, ..row }
}

const fn hello(name: &'static str, hello: fn(Value) -> Message, told: (u16, &'static str)) -> Row {
    Row { name, hello, proof: |_| Vec::new(), alike: false, told: Some(told) }
}

const fn malformed(name: &'static str, change: fn(&Client) -> Vec<Message>) -> Row {
    Row { told: Some((1003, "type")), ..proof(name, change) }
}

const fn genuine(row: Row) -> Row {
    Row { told: None, ..row }
}

pub const ROWS: &[Row] = &[
    genuine(proof("the client that is approved", |client| {
        vec![client.prove(&client.own_leaf(), &json!({}))]
    })),
    genuine(alike(proof("an approved client that looks like USleep", |client| {
        vec![client.prove_as_usleep(&client.own_leaf())]
    }))),
    proof("USleep's own proof, sent back to it", |client| vec![client.reflected()]),
    alike(proof("USleep's own proof, sent back where both ends approve the same image and name", |client| {
        vec![client.reflected()]
    })),
    proof("a client's token in the server's role", |client| {
        vec![client.prove(&client.bound.leaf(SERVER), &json!({}))]
    }),
    alike(proof("the server's role where both ends approve the same image and name", |client| {
        vec![client.prove_as_usleep(&client.bound.leaf(SERVER))]
    })),
    proof("a client's proof of another session", |client| {
        let another = Bound { exporter: [7; 32], ..client.bound.clone() };
        vec![client.prove(&another.leaf(CLIENT), &json!({}))]
    }),
    proof("a client's proof for another server's key", |client| {
        let another = Bound { spki: vec![7; 91], ..client.bound.clone() };
        vec![client.prove(&another.leaf(CLIENT), &json!({}))]
    }),
    proof("a client's proof for another server nonce", |client| {
        let another = Bound { server_nonce: [7; 32], ..client.bound.clone() };
        vec![client.prove(&another.leaf(CLIENT), &json!({}))]
    }),
    proof("a client's token of version 0", |client| {
        let token = tokens::token(&client.version_0_nonce, &client.identity(&json!({})));
        vec![Message::text(client_attestation(&token, &Proof::alone()).to_string())]
    }),
    proof("another client", |client| {
        let identity = json!({"aud": "usleep"});
        let token = tokens::token(&nonce(1, &client.own_leaf()), &identity);
        vec![Message::text(client_attestation(&token, &Proof::alone()).to_string())]
    }),
    proof("the approved client on a debug image", |client| {
        vec![client.prove(&client.own_leaf(), &json!({"dbgstat": "enabled"}))]
    }),
    proof("the approved client with a command of its operator's", |client| {
        let patch = json!({"submods": {"container": {"cmd_override": ["--phi", "/etc/passwd"]}}});
        vec![client.prove(&client.own_leaf(), &patch)]
    }),
    proof("the approved client's token for somebody else", |client| {
        vec![client.prove(&client.own_leaf(), &json!({"aud": "anotherCompany.com"}))]
    }),
    proof("the approved client's token for both ends", |client| {
        vec![client.prove(&client.own_leaf(), &json!({"aud": ["usleep", "uwear"]}))]
    }),
    proof("the approved client's token an hour old", |client| {
        let token = tokens::token_at(
            &nonce(1, &client.own_leaf()),
            &client.identity(&json!({})),
            tokens::now() - 3500,
        );
        vec![Message::text(client_attestation(&token, &Proof::alone()).to_string())]
    }),
    proof("a client's token that is none", |_| {
        vec![Message::text(client_attestation("e30.e30.e30", &Proof::alone()).to_string())]
    }),
    malformed("a client's proof one hash too long", |client| {
        let proof = Proof { path: vec![[1; 32]], ..Proof::alone() };
        vec![Message::text(client_attestation(&client.token(), &proof).to_string())]
    }),
    malformed("a client's tree larger than any batch", |client| {
        let proof = Proof { size: 4097, ..Proof::alone() };
        vec![Message::text(client_attestation(&client.token(), &proof).to_string())]
    }),
    malformed("a client's place behind the last leaf", |client| {
        let proof = Proof { index: 1, ..Proof::alone() };
        vec![Message::text(client_attestation(&client.token(), &proof).to_string())]
    }),
    malformed("no proof but the data at once", |_| Vec::new()),
    malformed("a client's token alone", |client| vec![Message::text(client.token())]),
    hello(
        "a hello that offers no proof",
        |mut hello| {
            hello["attest"] = json!(false);
            Message::text(hello.to_string())
        },
        (1008, "client-attestation-required"),
    ),
    hello(
        "a hello of another version",
        |mut hello| {
            hello["v"] = json!(2);
            Message::text(hello.to_string())
        },
        (1008, "version"),
    ),
    hello(
        "a hello with something more in it",
        |mut hello| {
            hello["admin"] = json!(true);
            Message::text(hello.to_string())
        },
        (1008, "hello"),
    ),
    hello(
        "a hello whose nonce is short",
        |mut hello| {
            hello["client_nonce"] = json!("AAAA");
            Message::text(hello.to_string())
        },
        (1008, "hello"),
    ),
    hello("the data in place of a hello", |_| Message::binary(PHI), (1003, "type")),
];

/// A client in the middle of its session.
struct Client {
    websocket: WebSocketStream<TlsStream<TcpStream>>,
    bound: Bound,
    version_0_nonce: String,
    /// The server's message.
    attestation: Value,
}

/// Plays a row against an honest USleep, which keeps what it receives.
pub async fn meet(row: &Row) {
    let usleep = Honest::mutual(judge(row.alike), if row.alike { "both" } else { "uwear" }).await;
    let mut client = Client::dial(usleep.address).await;
    client.send((row.hello)(peers::hello(&client.bound, true))).await;
    let told = match client.attestation_or_close().await {
        // Turned away at once.
        Some(told) => told,
        None => {
            for message in (row.proof)(&client) {
                client.send(message).await;
            }
            // Whatever it is told, it sends the data.
            client.send(Message::binary([&[0x6b; 32], PHI.as_bytes()].concat())).await;
            client.closed().await
        }
    };
    let received = usleep.received().await;
    match row.told {
        Some((code, reason)) => {
            assert_eq!(told, (code, reason.to_owned()), "{}", row.name);
            assert!(received.is_empty(), "{}: USleep has read the data", row.name);
        }
        None => {
            assert_eq!(told, (1000, String::new()), "{}", row.name);
            assert_eq!(received, [PHI.as_bytes()], "{}", row.name);
        }
    }
}

/// The project's own policy for clients under the mock's root; or one that approves USleep's own image too, under one
/// name for both ends.
fn judge(alike: bool) -> ClientJudge {
    let anchors = Anchors::from_der([tokens::pki().root()]).unwrap();
    let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap();
    let any =
        json!({"allowed_client": {"any": true, "reason": "a test of the role"}, "allowed_aud": ["both"]});
    let baseline = if alike { baseline.patched(&any).unwrap() } else { baseline };
    ClientJudge {
        verifier: Verifier::new(anchors, Expectation::default()),
        policy: Policy::compile(PolicySource::Client, baseline).unwrap(),
        audience: if alike { "both" } else { "usleep" }.to_owned(),
    }
}

impl Client {
    async fn dial(usleep: SocketAddr) -> Self {
        let tcp = TcpStream::connect(usleep).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("usleep.invalid").unwrap();
        let tls = TlsConnector::from(credulous()).connect(name, tcp).await.unwrap();
        let connection = tls.get_ref().1;
        let export = |label: &[u8]| connection.export_keying_material([0; 32], label, None).unwrap();
        let (exporter, testing_nonce) = (export(b"EXPORTER-Channel-Binding"), export(b"testing_nonce"));
        let version_0_nonce = STANDARD.encode(peers::sha256(&[&testing_nonce]));
        let spki = peers::spki_in(&connection.peer_certificates().unwrap()[0]);
        let mut request = format!("wss://{usleep}/connection").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (websocket, _) = tokio_tungstenite::client_async(request, tls).await.unwrap();
        let bound = Bound { exporter, spki, client_nonce: [0xc1; 32], server_nonce: [0; 32] };
        Self { websocket, bound, version_0_nonce, attestation: Value::Null }
    }

    async fn send(&mut self, message: Message) {
        // USleep may have had enough before.
        let _ = self.websocket.send(message).await;
    }

    /// Waits for the attestation; or why there is none.
    async fn attestation_or_close(&mut self) -> Option<(u16, String)> {
        let text = match self.websocket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) => {
                return Some((frame.code.into(), frame.reason.to_string()));
            }
            other => panic!("wanted an attestation, got {other:?}"),
        };
        self.attestation = serde_json::from_str(&text).unwrap();
        assert_eq!(self.attestation["attest"], true);
        let server_nonce = STANDARD.decode(self.attestation["server_nonce"].as_str().unwrap()).unwrap();
        self.bound.server_nonce = server_nonce.try_into().unwrap();
        None
    }

    /// Reads on until USleep says why it closes.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.websocket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("wanted a close frame, got {other:?}"),
            }
        }
    }

    fn own_leaf(&self) -> Hash {
        self.bound.leaf(CLIENT)
    }

    /// The approved client's claims with a change.
    fn identity(&self, patch: &Value) -> Value {
        let mut identity: Value = serde_json::from_str(UWEAR).unwrap();
        identity["aud"] = json!("usleep");
        mock_launcher::claims::merge(&mut identity, patch);
        identity
    }

    /// A good token of the approved client.
    fn token(&self) -> String {
        tokens::token(&nonce(1, &self.own_leaf()), &self.identity(&json!({})))
    }

    /// The approved client's proof, but for leaf and patch.
    fn prove(&self, leaf: &Hash, patch: &Value) -> Message {
        let token = tokens::token(&nonce(1, leaf), &self.identity(patch));
        Message::text(client_attestation(&token, &Proof::alone()).to_string())
    }

    /// A proof by USleep's own image under the one name.
    fn prove_as_usleep(&self, leaf: &Hash) -> Message {
        let token = tokens::token(&nonce(1, leaf), &json!({"aud": "both"}));
        Message::text(client_attestation(&token, &Proof::alone()).to_string())
    }

    /// What USleep has shown, as if it were our own.
    fn reflected(&self) -> Message {
        let shown = &self.attestation;
        let reflected = json!({
            "token": shown["token"], "index": shown["index"], "size": shown["size"], "proof": shown["proof"],
        });
        Message::text(reflected.to_string())
    }
}
