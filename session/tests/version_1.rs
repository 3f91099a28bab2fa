//! The client's end in wire version 1 against servers of every kind: what is agreed on, what its proof must be, who proves
//! what first, and what is left of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::v1::{Contents, MAX_ATTESTATION_BYTES, MAX_RECEIPT_BYTES, MessageError, ReceiptError};
use attestation::{Anchors, Expectation, Phi, Token, Verifier};
use launcher::{LauncherError, TokenFuture, TokenRequest, TokenSource};
use policy::{Baseline, Policy, PolicySource};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};
use session::client::{AnswerError, Approved, Attest, Connected, ProveError, ReleaseError};
use session::{ConnectError, ConnectOptions, Limits, LinkError, Wire, connect};
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

#[allow(dead_code, unreachable_pub)]
#[path = "peers/certificate.rs"]
mod certificate;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/scripted.rs"]
mod scripted;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/tokens.rs"]
mod tokens;
#[allow(dead_code, unreachable_pub)]
#[path = "peers/version_1.rs"]
mod version_1;

use scripted::{Peer1, Scripted};
use version_1::{CLIENT, Proof, SERVER};

const PHI: &[u8] = b"canary-name";
const RESULT: &str = "canary-result";

/// Longer than a busy machine takes for what is not meant to time out.
const SHORT: Duration = Duration::from_millis(400);

fn options(attest: Attest) -> ConnectOptions {
    ConnectOptions { attest, ..ConnectOptions::default() }
}

async fn dial(server: &Scripted, options: &ConnectOptions) -> Result<Connected, ConnectError> {
    connect(&server.address.to_string().parse().unwrap(), options).await
}

fn verifier() -> Verifier {
    Verifier::new(Anchors::from_der([tokens::pki().root()]).unwrap(), Expectation::default())
}

/// Comes as far as an approved session with a server that shows good tokens.
async fn approve(server: &Scripted, options: &ConnectOptions) -> Approved {
    let presented = dial(server, options).await.unwrap().receive_token().await.unwrap();
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
    let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
    let attested = presented.attest(&verifier(), UnixTime::now()).map_err(|refused| refused.error);
    match attested.unwrap().decide(&policy, "uwear", UnixTime::now()) {
        Ok(approved) => approved,
        Err(denied) => panic!("{:?}", denied.decision),
    }
}

fn phi() -> Phi {
    Phi::new(Zeroizing::new(PHI.to_vec())).unwrap()
}

/// White space after JSON says nothing.
fn padded(mut json: String, length: usize) -> String {
    json.push_str(&" ".repeat(length - json.len()));
    json
}

/// Shows a good token and takes the PHI; what follows is the test's.
async fn take_phi(peer: &mut Peer1) -> (String, Vec<u8>) {
    let token = peer.attest(false).await;
    let message = peer.phi().await.unwrap();
    (token, message)
}

/// An honest server to its end, whose receipt is changed on its way.
async fn answer(mut peer: Peer1, change: fn(&Peer1, Value) -> Value) {
    let (token, message) = take_phi(&mut peer).await;
    peer.peer.say(RESULT).await;
    let receipt = version_1::receipt(&peer.bound, &token, &message, RESULT);
    let receipt = change(&peer, version_1::signed(&receipt, &peer.key));
    peer.peer.say(receipt.to_string()).await;
    peer.peer.listen().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nonce_follows_from_this_session_and_its_proof() {
    let server = Scripted::version_1(|mut peer| async move {
        let leaves = [[1; 32], peer.bound.leaf(SERVER), [2; 32]];
        let token = version_1::nonce(3, &version_1::root(&leaves));
        peer.show(&token, &Proof::of(1, &leaves)).await;
        peer.peer.listen().await;
    });
    let server = server.await;
    let presented = dial(&server, &ConnectOptions::default()).await.unwrap().receive_token().await.unwrap();
    assert_eq!(presented.info().wire, 1);
    // The server has sent the nonce in place of a token.
    assert_eq!(presented.nonce().as_str(), presented.token().as_str());
    assert_eq!(presented.batch_size(), 3);
    drop(presented);
    assert_eq!(server.seen().await.connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_0_takes_a_connection_of_its_own_and_is_taken_only_where_it_will_do() {
    let rows = [
        (Wire::Auto, Attest::Never, Ok(0), 2),
        (Wire::Auto, Attest::Offer, Ok(0), 2),
        (Wire::V0, Attest::Offer, Ok(0), 1),
        (Wire::V1, Attest::Never, Err("the server does not speak wire version 1"), 1),
        (Wire::Auto, Attest::Required, Err("the server does not speak wire version 1"), 1),
        (Wire::V0, Attest::Required, Err("mutual attestation needs wire version 1: "), 0),
    ];
    for (wire, attest, wanted, connections) in rows {
        let server = Scripted::websocket(|peer| async move { peer.listen().await }).await;
        let options = ConnectOptions { wire, attest, ..ConnectOptions::default() };
        let dialled = dial(&server, &options).await;
        match (dialled, wanted) {
            (Ok(connected), Ok(version)) => assert_eq!(connected.info().wire, version),
            (Err(error), Err(begins)) => assert!(error.to_string().starts_with(begins), "{error}"),
            (Ok(_), Err(wanted)) => panic!("{wire} {attest:?}: wanted {wanted}"),
            (Err(error), Ok(_)) => panic!("{wire} {attest:?}: {error}"),
        }
        let seen = server.seen().await;
        assert_eq!(seen.connections, connections, "{wire} {attest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_is_taken_at_the_limit_and_refused_one_byte_over() {
    let limit = MAX_ATTESTATION_BYTES;
    assert_eq!((limit, Limits::default().attestation_bytes), (132 * 1024, limit));
    for length in [limit, limit + 1] {
        let server = Scripted::version_1(move |mut peer| async move {
            let message = version_1::attestation(&peer.bound, "e.y.J", &Proof::alone(), false).to_string();
            peer.peer.say(padded(message, length)).await;
            peer.peer.listen().await;
        });
        let server = server.await;
        let received = dial(&server, &ConnectOptions::default()).await.unwrap().receive_token().await;
        if length == limit {
            assert_eq!(received.unwrap().token().as_str(), "e.y.J");
        } else {
            assert_eq!(received.err(), Some(LinkError::TooLarge { limit }));
            assert_eq!(server.seen().await.close(), Some((1009, "too-big".to_owned())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_attestation_is_refused_by_its_own_error() {
    type Change = fn(&mut Value);
    let rows: [(Change, MessageError); 3] = [
        (
            |message| message["v"] = json!(1),
            MessageError::UnknownKey { message: "attestation", key: "v".into() },
        ),
        (
            |message| {
                message.as_object_mut().unwrap().remove("attest");
            },
            MessageError::MissingKey { message: "attestation", key: "attest" },
        ),
        (
            |message| message["size"] = json!("1"),
            MessageError::WrongType {
                message: "attestation",
                key: "size",
                wanted: "a whole number of 0 or more",
                got: "a string",
            },
        ),
    ];
    for (change, error) in rows {
        let server = Scripted::version_1(move |mut peer| async move {
            let mut message = version_1::attestation(&peer.bound, "e.y.J", &Proof::alone(), false);
            change(&mut message);
            peer.peer.say(message.to_string()).await;
            peer.peer.listen().await;
        });
        let server = server.await;
        let received = dial(&server, &ConnectOptions::default()).await.unwrap().receive_token().await;
        let wanted = LinkError::Malformed { wanted: "an attestation of version 1", got: error.to_string() };
        assert_eq!(received.err(), Some(wanted));
        let seen = server.seen().await;
        assert_eq!(seen.close(), Some((1003, "type".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_must_agree_on_whether_the_client_proves_itself() {
    let refused = |wanted, got| Some(LinkError::Mutual { wanted, got });
    let rows = [
        (Attest::Never, false, None),
        (Attest::Never, true, refused("no proof of ours", "one asked for")),
        (Attest::Offer, false, None),
        (Attest::Offer, true, None),
        (Attest::Required, false, refused("a proof of ours asked for", "none")),
        (Attest::Required, true, None),
    ];
    for (attest, asked, wanted) in rows {
        let server = Scripted::version_1(move |mut peer| async move {
            assert_eq!(peer.attest, attest != Attest::Never);
            peer.attest(asked).await;
            peer.peer.listen().await;
        });
        let server = server.await;
        let received = dial(&server, &options(attest)).await.unwrap().receive_token().await;
        assert_eq!(received.err(), wanted, "{attest:?}, asked: {asked}");
        let seen = server.seen().await;
        assert_eq!(seen.data().len(), 1, "the hello");
        if wanted.is_some() {
            assert_eq!(seen.close(), Some((1008, "refused".to_owned())));
        }
    }
}

/// Makes tokens for whoever asks, or does not, and keeps what it was asked for.
struct Source {
    answers: Result<(), LauncherError>,
    hangs: bool,
    asked: Arc<Mutex<Vec<TokenRequest>>>,
}

impl Source {
    fn new(answers: Result<(), LauncherError>) -> Self {
        Self { answers, hangs: false, asked: Arc::default() }
    }
}

impl TokenSource for Source {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(request.clone());
            if self.hangs {
                std::future::pending::<()>().await;
            }
            self.answers.clone()?;
            let token = tokens::token(request.nonce(), &json!({"aud": request.audience()}));
            Ok(Token::new(token).unwrap())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_proves_itself_over_the_same_session_in_its_own_role_before_it_releases() {
    let server = Scripted::version_1(|mut peer| async move {
        peer.attest(true).await;
        let Some(Message::Text(proof)) = peer.peer.next().await else { panic!("no proof") };
        let token =
            tokens::claims_of(serde_json::from_str::<Value>(&proof).unwrap()["token"].as_str().unwrap());
        assert_eq!(token["aud"], "usleep");
        assert_eq!(token["eat_nonce"], version_1::nonce(1, &peer.bound.leaf(CLIENT)));
        assert_ne!(peer.bound.leaf(CLIENT), peer.bound.leaf(SERVER));
        let message = peer.phi().await.unwrap();
        assert_eq!(&message[32..], PHI);
        peer.peer.listen().await;
    });
    let server = server.await;
    let source = Source::new(Ok(()));
    let approved = approve(&server, &options(Attest::Required)).await;
    assert!(approved.proof_wanted());
    let proven = approved.prove(&source, "usleep").await.unwrap();
    assert!(!proven.proof_wanted());
    proven.release(phi()).await.unwrap().close().await;
    assert_eq!(source.asked.lock().unwrap().len(), 1);
    server.seen().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_released_while_a_wanted_proof_has_not_been_given() {
    let server = Scripted::version_1(|mut peer| async move {
        peer.attest(true).await;
        peer.peer.listen().await;
    });
    let server = server.await;
    let approved = approve(&server, &options(Attest::Offer)).await;
    assert_eq!(approved.release(phi()).await.err(), Some(ReleaseError::ProofWanted));
    let seen = server.seen().await;
    assert_eq!(seen.data().len(), 1, "the hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_cannot_be_given_ends_the_session_by_its_own_error() {
    let missing = LauncherError::SocketMissing { socket: "/nowhere".into() };
    let hangs = Source { hangs: true, ..Source::new(Ok(())) };
    let rows = [
        (true, Source::new(Err(missing.clone())), ProveError::Launcher(missing)),
        (true, hangs, ProveError::Timeout { waited: SHORT }),
        (false, Source::new(Ok(())), ProveError::NotWanted),
    ];
    for (asked, source, wanted) in rows {
        let server = Scripted::version_1(move |mut peer| async move {
            peer.attest(asked).await;
            peer.peer.listen().await;
        });
        let server = server.await;
        let limits = Limits { launcher: SHORT, ..Limits::default() };
        let approved = approve(&server, &ConnectOptions { limits, ..options(Attest::Offer) }).await;
        assert_eq!(approved.prove(&source, "usleep").await.err(), Some(wanted));
        let seen = server.seen().await;
        assert_eq!(seen.data().len(), 1, "the hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_to_is_what_is_sent_and_what_the_receipt_repeats() {
    let server = Scripted::version_1(|peer| answer(peer, |_, receipt| receipt)).await;
    let mut approved = approve(&server, &ConnectOptions::default()).await;
    let commitment = approved.commit(&phi()).unwrap().unwrap();
    let answer = approved.release(phi()).await.unwrap().result().await.unwrap();
    assert_eq!(answer.receipted().unwrap().receipt.phi, commitment);
    server.seen().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_phi_than_was_committed_to_is_not_sent() {
    let server = Scripted::version_1(|mut peer| async move {
        peer.attest(false).await;
        peer.peer.listen().await;
    });
    let server = server.await;
    let mut approved = approve(&server, &ConnectOptions::default()).await;
    approved.commit(&phi()).unwrap();
    let other = Phi::new(Zeroizing::new(b"canary-namf".to_vec())).unwrap();
    assert_eq!(approved.release(other).await.err(), Some(ReleaseError::OtherPhi));
    let seen = server.seen().await;
    assert_eq!(seen.data().len(), 1, "the hello");
    assert_eq!(seen.close(), Some((1000, String::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_session_can_be_verified_by_others_and_shown_to_be_about_these_data() {
    let server = Scripted::version_1(|peer| answer(peer, |_, receipt| receipt)).await;
    let approved = approve(&server, &ConnectOptions::default()).await;
    let answer = approved.release(phi()).await.unwrap().result().await.unwrap();
    assert_eq!(answer.expose(), RESULT);
    let receipted = answer.receipted().unwrap();
    assert_eq!((receipted.receipt.rules.as_str(), receipted.receipt.time), ("codelab", 1_795_000_000));

    let kept = attestation::v1::Evidence::parse(&receipted.evidence.to_json()).unwrap();
    let report = kept.verify(&verifier(), UnixTime::now());
    assert!(report.valid(), "{:?}", report.checks());
    for (phi, result, valid) in
        [(PHI, RESULT, true), (&b"canary-namf"[..], RESULT, false), (PHI, "canary-resulu", false)]
    {
        let contents = Contents::of(&receipted.key, Some(phi), Some(result.as_bytes()));
        let report = kept.verify_with_contents(&verifier(), UnixTime::now(), &contents);
        assert_eq!(report.valid(), valid, "{:?}", report.checks());
    }
    let seen = server.seen().await;
    assert_eq!(seen.close(), Some((1000, String::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_taken_at_the_limit_and_refused_one_byte_over() {
    let limit = MAX_RECEIPT_BYTES;
    assert_eq!((limit, Limits::default().receipt_bytes), (64 * 1024, limit));
    for length in [limit, limit + 1] {
        let server = Scripted::version_1(move |mut peer| async move {
            let (token, message) = take_phi(&mut peer).await;
            peer.peer.say(RESULT).await;
            let receipt = version_1::receipt(&peer.bound, &token, &message, RESULT);
            let receipt = version_1::signed(&receipt, &peer.key).to_string();
            peer.peer.say(padded(receipt, length)).await;
            peer.peer.listen().await;
        });
        let server = server.await;
        let approved = approve(&server, &ConnectOptions::default()).await;
        let answered = approved.release(phi()).await.unwrap().result().await;
        let wanted = (length > limit).then_some(AnswerError::Link(LinkError::TooLarge { limit }));
        assert_eq!(answered.err(), wanted);
        let close = server.seen().await.close().unwrap().0;
        assert_eq!(close, if length == limit { 1000 } else { 1009 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_its_receipt_is_no_answer() {
    let late = LinkError::Timeout { waited: SHORT };
    let rows: [(&str, LinkError); 2] = [("leaves", LinkError::Ended), ("says nothing", late)];
    for (how, wanted) in rows {
        let server = Scripted::version_1(move |mut peer| async move {
            take_phi(&mut peer).await;
            peer.peer.say(RESULT).await;
            if how == "says nothing" {
                peer.peer.listen().await;
            }
        });
        let server = server.await;
        let limits = Limits { result: SHORT, close: SHORT, ..Limits::default() };
        let approved = approve(&server, &ConnectOptions { limits, ..ConnectOptions::default() }).await;
        let answered = approved.release(phi()).await.unwrap().result().await;
        assert_eq!(answered.err(), Some(AnswerError::Link(wanted)), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_was_changed_or_signed_by_another_is_no_answer() {
    let server = Scripted::version_1(|peer| {
        answer(peer, |_, mut receipt| {
            let text = receipt["receipt"].as_str().unwrap().replace("codelab", "codelaa");
            receipt["receipt"] = json!(text);
            receipt
        })
    });
    let approved = approve(&server.await, &ConnectOptions::default()).await;
    let answered = approved.release(phi()).await.unwrap().result().await;
    assert_eq!(answered.err(), Some(AnswerError::Receipt(ReceiptError::Signature)));
}
