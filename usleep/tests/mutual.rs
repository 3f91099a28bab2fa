//! Mutual attestation at USleep's end: who is asked, who is judged, and what is read of whom. What forgers try is in the
//! attack catalogue (`uwear/tests/sessions/clients.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use attestation::v1::MAX_ATTESTATION_BYTES;
use attestation::{Anchors, Expectation, Verifier};
use common::server::TestServer;
use common::version_1::Client1;
use common::{PHI, peers};
use futures_util::StreamExt as _;
use peers::Proof;
use policy::{Baseline, Policy, PolicySource};
use serde_json::Value;
use session::Limits;
use session::server::{ClientAttestation, ClientJudge};
use tokio_tungstenite::tungstenite::Message;

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The project's own policy and baseline, under the mock's root.
fn judge() -> Arc<ClientJudge> {
    let anchors = Anchors::from_der([common::tokens::pki().root()]).unwrap();
    let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap();
    Arc::new(ClientJudge {
        verifier: Verifier::new(anchors, Expectation::default()),
        policy: Policy::compile(PolicySource::Client, baseline).unwrap(),
        audience: "usleep".to_owned(),
    })
}

async fn server(limits: Limits, clients: ClientAttestation) -> TestServer {
    let configure = |server: session::Server<_>| server.with_client_attestation(clients);
    TestServer::configured(limits, |mock| mock, PATIENCE, configure).await
}

/// The one outcome of a server's one session.
async fn outcome(server: TestServer) -> (String, String) {
    let outcomes = server.outcomes().await;
    let [logged] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    (logged["outcome"].as_str().unwrap().to_owned(), logged.to_string())
}

#[tokio::test]
async fn who_is_asked_for_a_proof_depends_on_both_ends_and_who_gives_a_good_one_is_served() {
    let rows = [
        (ClientAttestation::Never, false, false),
        (ClientAttestation::Never, true, false),
        (ClientAttestation::Auto(judge()), false, false),
        (ClientAttestation::Auto(judge()), true, true),
        (ClientAttestation::Required(judge()), true, true),
    ];
    for (clients, offers, asked) in rows {
        let what = format!("{clients:?}, offers: {offers}");
        let server = server(Limits::default(), clients).await;
        let mut client = Client1::greet(server.address, offers).await;
        let attestation = client.attestation().await;
        assert_eq!(attestation["attest"], asked, "{what}");
        if asked {
            let token = client.own_token();
            client.prove(&token).await;
        }
        client.ask(PHI, &attestation).await;
        drop(client);
        assert_eq!(outcome(server).await.0, "answered", "{what}");
    }
}

#[tokio::test]
async fn who_does_not_offer_a_proof_that_is_required_is_turned_away_before_it_costs_a_token() {
    let server = server(Limits::default(), ClientAttestation::Required(judge())).await;
    let mut client = Client1::greet(server.address, false).await;
    assert_eq!(client.client.closed().await, (1008, "client-attestation-required".to_owned()));
    assert_eq!(server.launcher.issued(), 0);
    drop(client);
    assert_eq!(outcome(server).await.0, "client-refused");
}

#[tokio::test]
async fn who_offers_a_proof_and_gives_a_bad_one_is_refused_also_where_none_is_required() {
    let server = server(Limits::default(), ClientAttestation::Auto(judge())).await;
    let mut client = Client1::greet(server.address, true).await;
    client.attestation().await;
    let another_identity = common::tokens::token(
        &peers::nonce(1, &client.bound.leaf(peers::CLIENT)),
        &serde_json::json!({"aud": "usleep"}),
    );
    client.prove(&another_identity).await;
    assert_eq!(client.client.closed().await, (1008, "client-refused".to_owned()));
    drop(client);
    let (word, logged) = outcome(server).await;
    assert_eq!(word, "client-refused");
    assert!(logged.contains("its token is not acceptable: allow, client_verified\""), "{logged}");
}

#[tokio::test]
async fn a_proof_may_share_its_token_with_other_sessions_of_the_client() {
    let server = server(Limits::default(), ClientAttestation::Required(judge())).await;
    let mut client = Client1::greet(server.address, true).await;
    let attestation = client.attestation().await;
    let leaves = [[7; 32], [8; 32], client.bound.leaf(peers::CLIENT)];
    let mut patch: Value =
        serde_json::from_str(include_str!("../../mock-launcher/claims/uwear.json")).unwrap();
    patch["aud"] = "usleep".into();
    let token = common::tokens::token(&peers::nonce(3, &peers::root(&leaves)), &patch);
    let message = peers::client_attestation(&token, &Proof::of(2, &leaves)).to_string();
    client.send(Message::text(message)).await;
    client.ask(PHI, &attestation).await;
    drop(client);
    assert_eq!(outcome(server).await.0, "answered");
}

#[tokio::test]
async fn a_proof_is_taken_at_the_limit_and_refused_one_byte_over() {
    let limit = MAX_ATTESTATION_BYTES;
    for length in [limit, limit + 1] {
        let server = server(Limits::default(), ClientAttestation::Required(judge())).await;
        let mut client = Client1::greet(server.address, true).await;
        let attestation = client.attestation().await;
        let mut message = peers::client_attestation(&client.own_token(), &Proof::alone()).to_string();
        message.push_str(&" ".repeat(length - message.len()));
        client.send(Message::text(message)).await;
        if length == limit {
            client.ask(PHI, &attestation).await;
        } else {
            assert_eq!(client.client.closed().await, (1009, "too-big".to_owned()));
        }
        drop(client);
        server.outcomes().await;
    }
}

#[tokio::test]
async fn what_comes_instead_of_a_proof_is_told_a_code_and_one_word_and_no_phi_is_read() {
    let impatient = || Limits { mutual: Duration::from_millis(60), ..Limits::default() };
    let closes =
        tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1008.into(), reason: "refused".into() };
    let rows = [
        (
            "PHI at once",
            Limits::default(),
            Some(Client1::message(PHI.as_bytes())),
            (1003, "type"),
            "lost",
            "got binary",
        ),
        (
            "no JSON",
            Limits::default(),
            Some(Message::text(PHI)),
            (1003, "type"),
            "lost",
            "malformed message: wanted a client's attestation",
        ),
        ("nothing in time", impatient(), None, (1008, "too-slow"), "lost", "waited 60ms"),
        (
            "a refusal",
            Limits::default(),
            Some(Message::Close(Some(closes))),
            (1008, "refused"),
            "refused",
            "the client refused the token",
        ),
    ];
    for (what, limits, sends, told, word, logged) in rows {
        let server = server(limits, ClientAttestation::Required(judge())).await;
        let mut client = Client1::greet(server.address, true).await;
        client.attestation().await;
        if let Some(message) = sends {
            client.send(message).await;
        }
        let closed = client.client.closed().await;
        assert_eq!((closed.0, closed.1.as_str()), told, "{what}");
        drop(client);
        let (outcome, text) = outcome(server).await;
        assert_eq!(outcome, word, "{what}");
        assert!(text.contains(logged), "{what}: {text}");
    }
}

#[tokio::test]
async fn version_0_has_no_way_to_prove_a_client_and_is_refused_where_that_is_required() {
    // Whichever is said last.
    let configure = |server: session::Server<_>| {
        server.with_client_attestation(ClientAttestation::Required(judge())).with_wire(session::Wire::Auto)
    };
    let server = TestServer::configured(Limits::default(), |mock| mock, PATIENCE, configure).await;
    let request = "GET /connection HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut tls = common::dial(server.address).await;
    tokio::io::AsyncWriteExt::write_all(&mut tls, request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut tls, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(server.launcher.issued(), 0);
    server.outcomes().await;
}

#[tokio::test]
async fn a_client_that_is_still_to_prove_itself_does_not_hold_up_the_end() {
    let configure =
        |server: session::Server<_>| server.with_client_attestation(ClientAttestation::Required(judge()));
    let drain = Duration::from_millis(30);
    let server = TestServer::configured(Limits::default(), |mock| mock, drain, configure).await;
    let mut client = Client1::greet(server.address, true).await;
    client.attestation().await;
    server.shut_down();
    assert_eq!(client.client.closed().await, (1001, "draining".to_owned()));
    assert!(client.client.websocket.next().await.is_none_or(|next| next.is_err()));
    drop(client);
    assert_eq!(outcome(server).await.0, "draining");
}
