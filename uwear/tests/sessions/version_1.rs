//! What a server can do to a proof of wire version 1. Its tokens are authentic and of this instant; what they commit
//! to, or how that is shown, is not what it must be.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::relay::{pass_on, two_hops_of_version_1};
use super::{Attack, Received, Stage};
use crate::support::certificate::Identity;
use crate::support::honest::Honest;
use crate::support::scripted::{Peer1, Scripted};
use crate::support::tokens;
use crate::support::version_1::{
    Bound, CLIENT, Hash, Proof, SERVER, attestation, fold, node, nonce, root, sha256,
};

/// A row whose authentic token is not for this session: this function makes token and proof.
macro_rules! another_session {
    ($name:literal, $forge:expr) => {
        Attack {
            name: $name,
            wire: "1",
            exit: 5,
            fails: &["session_nonce", "nonce_verified"],
            reason: "remote TEE's JWT failed policy check",
            stage: || {
                Box::pin(async {
                    let server = Scripted::version_1(|peer| show(peer, $forge));
                    Stage::of(server.await, Received::Hello)
                })
            },
        }
    };
}

/// A row whose message is none: this function changes a good one.
macro_rules! malformed {
    ($name:literal, $change:expr, $reason:literal) => {
        Attack {
            name: $name,
            wire: "1",
            exit: 4,
            fails: &[],
            reason: concat!(
                "no token: malformed message: wanted an attestation of version 1, got attestation",
                $reason
            ),
            stage: || {
                Box::pin(async {
                    let server = Scripted::version_1(|peer| show_changed(peer, $change));
                    Stage::of(server.await, Received::Hello)
                })
            },
        }
    };
}

/// A row whose server sends something else.
macro_rules! sends {
    ($name:literal, $wire:literal, $exit:literal, $fails:expr, $reason:literal, $stage:expr) => {
        Attack {
            name: $name,
            wire: $wire,
            exit: $exit,
            fails: $fails,
            reason: $reason,
            stage: || Box::pin(async { $stage.await }),
        }
    };
}

pub const ROWS: &[Attack] = &[
    another_session!("a leaf that is another session's", |_| lone(&[7; 32])),
    another_session!("our transcript hashed once, without a leaf's prefix", |peer| {
        lone(&sha256(&[&sha256(&[&peer.bound.transcript(SERVER)])]))
    }),
    another_session!("our leaf hashed as an inner node", |peer| {
        lone(&sha256(&[&[1], &sha256(&[&peer.bound.transcript(SERVER)])]))
    }),
    another_session!("the client's role in place of the server's", |peer| lone(&peer.bound.leaf(CLIENT))),
    another_session!("the key of another certificate", |peer| {
        lone(&Bound { spki: Identity::new().spki, ..peer.bound.clone() }.leaf(SERVER))
    }),
    another_session!("the keying material of version 0", |peer| {
        lone(&Bound { exporter: peer.version_0_exporter, ..peer.bound.clone() }.leaf(SERVER))
    }),
    another_session!("the client's nonce of another session", |peer| {
        lone(&Bound { client_nonce: [9; 32], ..peer.bound.clone() }.leaf(SERVER))
    }),
    another_session!("another server nonce than the one shown", |peer| {
        lone(&Bound { server_nonce: [9; 32], ..peer.bound.clone() }.leaf(SERVER))
    }),
    another_session!("both nonces exchanged", |peer| {
        let Bound { client_nonce, server_nonce, .. } = peer.bound;
        let bound = Bound { client_nonce: server_nonce, server_nonce: client_nonce, ..peer.bound.clone() };
        lone(&bound.leaf(SERVER))
    }),
    another_session!("two siblings swapped", |peer| {
        let leaves = four(peer);
        let mut proof = Proof::of(1, &leaves);
        proof.path.swap(0, 1);
        (token(&leaves), proof)
    }),
    another_session!("a sibling twice", |peer| {
        let leaves = four(peer);
        let mut proof = Proof::of(1, &leaves);
        proof.path[1] = proof.path[0];
        (token(&leaves), proof)
    }),
    another_session!("one bit of a sibling changed", |peer| {
        let leaves = four(peer);
        let mut proof = Proof::of(1, &leaves);
        proof.path[1][31] ^= 1;
        (token(&leaves), proof)
    }),
    another_session!("our leaf as its own sibling", |peer| {
        let leaves = four(peer);
        let mut proof = Proof::of(1, &leaves);
        proof.path[0] = leaves[1];
        (token(&leaves), proof)
    }),
    another_session!("the proof of the session next door", |peer| {
        let leaves = four(peer);
        (token(&leaves), Proof::of(0, &leaves))
    }),
    another_session!("our proof at the place next door", |peer| {
        let leaves = four(peer);
        (token(&leaves), Proof { index: 0, ..Proof::of(1, &leaves) })
    }),
    another_session!("our proof at the other end of the tree", |peer| {
        let leaves = four(peer);
        (token(&leaves), Proof { index: 2, ..Proof::of(1, &leaves) })
    }),
    another_session!("a tree said to be smaller than it is", |peer| {
        let leaves = four(peer);
        (token(&leaves), Proof { size: 3, ..Proof::of(1, &leaves) })
    }),
    another_session!("a tree said to be larger than it is", |peer| {
        let leaves = [[1; 32], peer.bound.leaf(SERVER), [2; 32]];
        (token(&leaves), Proof { size: 4, ..Proof::of(1, &leaves) })
    }),
    another_session!("the token of another batch", |peer| {
        let leaves = four(peer);
        (token(&[[1; 32], [2; 32], [3; 32], [4; 32]]), Proof::of(1, &leaves))
    }),
    another_session!("an inner node offered as a leaf", |peer| {
        // A token whose only leaf is said to be the node over ours and another.
        let ours = peer.bound.leaf(SERVER);
        let inner = node(&ours, &[2; 32]);
        (tokens::token(&nonce(1, &inner), &json!({})), Proof { index: 0, size: 2, path: vec![[2; 32]] })
    }),
    another_session!("a nonce that leaves out the size of the tree", |peer| {
        let leaves = four(peer);
        let bare = sha256(&[b"attested-sleep/1 root", &root(&leaves)]);
        (tokens::token(&base64(&bare), &json!({})), Proof::of(1, &leaves))
    }),
    another_session!("the root itself as the nonce", |peer| {
        let leaves = four(peer);
        (tokens::token(&base64(&root(&leaves)), &json!({})), Proof::of(1, &leaves))
    }),
    another_session!("the token of version 0 under version 1", |peer| {
        (tokens::token(&peer.peer.nonce, &json!({})), Proof::alone())
    }),
    another_session!("ours and the nonce of version 0 in one token", |peer| {
        let ours = nonce(1, &peer.bound.leaf(SERVER));
        (tokens::token(&ours, &json!({"eat_nonce": [ours, peer.peer.nonce]})), Proof::alone())
    }),
    malformed!(
        "a proof one hash too long",
        |message| { message["proof"].as_array_mut().unwrap().push(json!(base64(&[1; 32]))) },
        ": wrong length of the proof: wanted 0 hashes for this index and tree size, got 1"
    ),
    malformed!(
        "a proof one hash too short",
        |message| (message["index"], message["size"]) = (json!(1), json!(2)),
        ": wrong length of the proof: wanted 1 hashes for this index and tree size, got 0"
    ),
    malformed!(
        "a tree of no leaves",
        |message| message["size"] = json!(0),
        ": wrong tree size: wanted 1 to 4096, got 0"
    ),
    malformed!(
        "a tree larger than any batch",
        |message| message["size"] = json!(4097),
        ": wrong tree size: wanted 1 to 4096, got 4097"
    ),
    malformed!(
        "a tree of more leaves than there are numbers for",
        |message| message["size"] = json!(u64::MAX),
        ": wrong tree size: wanted 1 to 4096, got 18446744073709551615"
    ),
    malformed!(
        "a place behind the last leaf",
        |message| message["index"] = json!(1),
        ": wrong leaf index: wanted one below the tree size 1, got 1"
    ),
    malformed!("a place before the first leaf", |message| message["index"] = json!(-1), ": index"),
    malformed!("a place with a fraction", |message| message["index"] = json!(0.0), ": index"),
    malformed!(
        "a sibling of 31 bytes",
        |message| {
            (message["size"], message["proof"]) = (json!(2), json!([base64(&[1; 31])]));
        },
        ": proof"
    ),
    malformed!(
        "no place in the tree",
        |message| remove(message, "index"),
        ": wanted the key index, got none"
    ),
    malformed!(
        "a second proof under another name",
        |message| message["proof2"] = json!([]),
        ": wanted no other keys, got proof2"
    ),
    malformed!(
        "a server nonce of 16 bytes",
        |message| message["server_nonce"] = json!(base64(&[1; 16])),
        ": server_nonce"
    ),
    sends!(
        "the token alone, as in version 0, under version 1",
        "1",
        4,
        &[],
        "no token: malformed message: wanted an attestation of version 1, got attestation: wanted one JSON object",
        says(|peer| vec![Message::text(peer.token())])
    ),
    sends!(
        "an attestation as binary",
        "1",
        4,
        &[],
        "no token: wrong message: wanted the token as text, got binary",
        says(|peer| vec![Message::binary(good(peer))])
    ),
    sends!(
        "two attestations",
        "1",
        4,
        &[],
        "no token: wrong message: wanted silence, got text",
        says(|peer| vec![Message::text(good(peer)), Message::text(good(peer))])
    ),
    sends!(
        "a proof of ours wanted that was not offered",
        "1",
        4,
        &[],
        "no token: mutual attestation: wanted no proof of ours, got one asked for",
        says(|peer| {
            let (token, proof) = lone(&peer.bound.leaf(SERVER));
            vec![Message::text(attestation(&peer.bound, &token, &proof, true).to_string())]
        })
    ),
    sends!("an attestation of version 1 under version 0", "0", 4, &["shape"], "", async {
        let server = Scripted::websocket(|mut peer| async move {
            let bound =
                Bound { exporter: [1; 32], spki: vec![2; 91], client_nonce: [3; 32], server_nonce: [4; 32] };
            let (token, proof) = lone(&bound.leaf(SERVER));
            peer.say(attestation(&bound, &token, &proof, false).to_string()).await;
            peer.listen().await;
        });
        Stage::of(server.await, Received::Nothing)
    }),
    sends!(
        "the token of version 1 under version 0",
        "0",
        5,
        &["session_nonce", "nonce_verified"],
        "remote TEE's JWT failed policy check",
        async {
            // The nonce of a batch of one, made from what binds this very session in version 0.
            let server = Scripted::websocket(|mut peer| async move {
                let (token, _) = lone(&sha256(&[peer.nonce.as_bytes()]));
                peer.say(token).await;
                peer.listen().await;
            });
            Stage::of(server.await, Received::Nothing)
        }
    ),
    sends!(
        "a server that requires version 1 and forgets to agree on it",
        "1",
        4,
        &[],
        "the server does not speak wire version 1; nothing was sent",
        async {
            let server = Scripted::websocket(|peer| async move { peer.listen().await });
            Stage::of(server.await, Received::Nothing)
        }
    ),
    sends!(
        "a relay that ends TLS, in version 1",
        "1",
        5,
        &["session_nonce", "nonce_verified"],
        "remote TEE's JWT failed policy check",
        async {
            let usleep = Honest::start().await;
            let behind = usleep.address;
            let relay = Scripted::tls(move |tls| pass_on(tls, behind)).await;
            two_hops_of_version_1(relay, async move {
                assert!(usleep.received().await.is_empty(), "PHI came through the relay");
            })
        }
    ),
    sends!(
        "a relay that ends TLS with USleep's own key and certificate, in version 1",
        "1",
        5,
        &["session_nonce", "nonce_verified"],
        "remote TEE's JWT failed policy check",
        async {
            let identity = Identity::new();
            let usleep = Scripted::version_1_with(identity.clone(), |mut peer| async move {
                peer.attest(false).await;
                peer.peer.listen().await;
            });
            let usleep = usleep.await;
            let behind = usleep.address;
            let relay = Scripted::tls_with(identity.config(), move |tls| pass_on(tls, behind)).await;
            two_hops_of_version_1(relay, async move { usleep.seen().await.only_a_hello("USleep behind it") })
        }
    ),
    // What shows that the others would pass if all were as it should be.
    Attack {
        name: "a session of version 1 whose batch is full",
        wire: "1",
        exit: 0,
        fails: &[],
        reason: "",
        stage: || {
            Box::pin(async {
                let server = Scripted::version_1(|peer| {
                    super::receipts::serve(peer, |peer| {
                        let mut leaves: Vec<Hash> =
                            (0..4096_u32).map(|leaf| sha256(&[&leaf.to_be_bytes()])).collect();
                        leaves[4095] = peer.bound.leaf(SERVER);
                        let proof = Proof::of(4095, &leaves);
                        assert_eq!(fold(&leaves[4095], &proof), root(&leaves));
                        (token(&leaves), proof)
                    })
                });
                Stage::of(server.await, Received::PhiBehindKey)
            })
        },
    },
];

/// A token that is made for this leaf alone.
fn lone(leaf: &Hash) -> (String, Proof) {
    (tokens::token(&nonce(1, leaf), &json!({})), Proof::alone())
}

/// A batch in which ours is the second of four.
fn four(peer: &Peer1) -> [Hash; 4] {
    [[1; 32], peer.bound.leaf(SERVER), [2; 32], [3; 32]]
}

/// The token of a batch.
fn token(leaves: &[Hash]) -> String {
    let size = u32::try_from(leaves.len()).unwrap();
    tokens::token(&nonce(size, &root(leaves)), &json!({}))
}

/// A good attestation of this session.
fn good(peer: &Peer1) -> String {
    let (token, proof) = lone(&peer.bound.leaf(SERVER));
    attestation(&peer.bound, &token, &proof, false).to_string()
}

async fn show(mut peer: Peer1, forge: fn(&Peer1) -> (String, Proof)) {
    let (token, proof) = forge(&peer);
    peer.show(&token, &proof).await;
    peer.peer.listen().await;
}

async fn show_changed(mut peer: Peer1, change: fn(&mut Value)) {
    let mut message: Value = serde_json::from_str(&good(&peer)).unwrap();
    change(&mut message);
    peer.peer.say(message.to_string()).await;
    peer.peer.listen().await;
}

/// Sends these messages in one breath.
async fn says(messages: fn(&Peer1) -> Vec<Message>) -> Stage {
    let server = Scripted::version_1(move |mut peer| async move {
        for message in messages(&peer) {
            let _ = futures_util::SinkExt::feed(&mut peer.peer.websocket, message).await;
        }
        let _ = futures_util::SinkExt::flush(&mut peer.peer.websocket).await;
        peer.peer.listen().await;
    });
    Stage::of(server.await, Received::Hello)
}

fn remove(message: &mut Value, key: &str) {
    message.as_object_mut().unwrap().remove(key).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
