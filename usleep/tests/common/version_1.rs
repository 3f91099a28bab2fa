//! A plain client of wire version 1, written without the project's own.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::peers::{self, Bound, CLIENT, Proof, SERVER};
use super::{Client, claims, dial};

/// The mock's UWear, which the shipped client baseline approves.
const UWEAR: &str = include_str!("../../../mock-launcher/claims/uwear.json");

/// Commitment key of these clients.
pub const KEY: [u8; 32] = [0x6b; 32];

pub struct Client1 {
    pub client: Client,
    pub bound: Bound,
}

impl Client1 {
    /// An open websocket in version 1, over which nothing has been said.
    pub async fn connect(address: SocketAddr) -> Self {
        let tls = dial(address).await;
        let connection = tls.get_ref().1;
        let exporter = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
        let exporter = exporter.unwrap();
        let spki = peers::spki_in(&connection.peer_certificates().unwrap()[0]);
        let mut request = format!("wss://{address}/connection").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", peers::SUBPROTOCOL.parse().unwrap());
        let (websocket, _) = tokio_tungstenite::client_async(request, tls).await.unwrap();
        let bound = Bound { exporter, spki, client_nonce: [0xc1; 32], server_nonce: [0; 32] };
        Self { client: Client { websocket, nonce: String::new() }, bound }
    }

    /// The same, with its hello said.
    pub async fn greet(address: SocketAddr, attest: bool) -> Self {
        let mut client = Self::connect(address).await;
        let hello = peers::hello(&client.bound, attest).to_string();
        client.send(Message::text(hello)).await;
        client
    }

    pub async fn send(&mut self, message: Message) {
        self.client.send(message).await;
    }

    /// The server's attestation, whose token must be for this session.
    pub async fn attestation(&mut self) -> Value {
        let message = match self.client.websocket.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str::<Value>(&text).unwrap(),
            other => panic!("wanted an attestation, got {other:?}"),
        };
        let server_nonce = STANDARD.decode(message["server_nonce"].as_str().unwrap()).unwrap();
        self.bound.server_nonce = server_nonce.try_into().unwrap();
        let proof = peers::proof_of(&message);
        let root = peers::fold(&self.bound.leaf(SERVER), &proof);
        let nonce = peers::nonce(u32::try_from(proof.size).unwrap(), &root);
        assert_eq!(claims(message["token"].as_str().unwrap())["eat_nonce"], nonce);
        message
    }

    /// A token of the client that the shipped baseline approves, for this session.
    pub fn own_token(&self) -> String {
        let mut patch: Value = serde_json::from_str(UWEAR).unwrap();
        patch["aud"] = json!("usleep");
        super::tokens::token(&peers::nonce(1, &self.bound.leaf(CLIENT)), &patch)
    }

    /// Proves itself.
    pub async fn prove(&mut self, token: &str) {
        let message = peers::client_attestation(token, &Proof::alone()).to_string();
        self.send(Message::text(message)).await;
    }

    /// PHI as it crosses in version 1.
    pub fn message(phi: &[u8]) -> Message {
        Message::binary([&KEY, phi].concat())
    }

    /// Sends PHI; gives the result as it came, and the receipt, whose signature and digests must be right.
    pub async fn ask(&mut self, phi: &str, attestation: &Value) -> (String, Value) {
        self.send(Self::message(phi.as_bytes())).await;
        self.answered(phi, attestation).await
    }

    /// The answer to this PHI.
    pub async fn answered(&mut self, phi: &str, attestation: &Value) -> (String, Value) {
        let (result, receipt) = (self.text().await, self.text().await);
        let signed: Value = serde_json::from_str(&receipt).unwrap();
        let text = signed["receipt"].as_str().unwrap();
        peers::verify(text, signed["signature"].as_str().unwrap(), &self.bound.spki);
        let receipt: Value = serde_json::from_str(text).unwrap();
        let token = attestation["token"].as_str().unwrap();
        let message = [&KEY, phi.as_bytes()].concat();
        let wanted = peers::receipt(&self.bound, token, &message, &result);
        for digest in ["transcript", "token", "phi", "result"] {
            assert_eq!(receipt[digest], wanted[digest], "{digest}");
        }
        (result, receipt)
    }

    pub async fn text(&mut self) -> String {
        match self.client.websocket.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("wanted text, got {other:?}"),
        }
    }
}
