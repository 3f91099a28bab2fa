//! What a server can do to the receipt of a session, after it has proven itself and has the data: its word must not count
//! for more than it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sleep::{Analysis, Night, RuleSet};

use super::{Attack, Received, Stage};
use crate::support::PHI;
use crate::support::certificate::Identity;
use crate::support::scripted::{Peer1, Scripted};
use crate::support::version_1::{Proof, commitment, receipt, receipt_key, signed};

/// A row whose result is good and whose receipt is not: this function makes what is sent in its place.
macro_rules! forged {
    ($name:literal, $reason:literal, $forge:expr) => {
        Attack {
            name: $name,
            wire: "1",
            exit: 6,
            fails: &[],
            reason: concat!("no result after the release: ", $reason),
            stage: || {
                Box::pin(async {
                    let server = Scripted::version_1(|peer| answer(peer, $forge));
                    Stage::of(server.await, Received::PhiBehindKey)
                })
            },
        }
    };
}

pub const ROWS: &[Attack] = &[
    forged!("a receipt signed with another key", "the receipt's signature is not the server's", |_, said| {
        vec![result(), signed(&said, &receipt_key(&Identity::new().key)).to_string()]
    }),
    forged!(
        "a receipt that was changed after it was signed",
        "the receipt's signature is not the server's",
        |peer, said| {
            let mut sent = signed(&said, &peer.key);
            sent["receipt"] = json!(said.to_string().replace("codelab", "recommended"));
            vec![result(), sent.to_string()]
        }
    ),
    forged!(
        "a receipt whose white space was changed",
        "the receipt's signature is not the server's",
        |peer, said| {
            let mut sent = signed(&said, &peer.key);
            sent["receipt"] = json!(format!("{said} "));
            vec![result(), sent.to_string()]
        }
    ),
    forged!(
        "a receipt with an empty signature",
        "the receipt's signature is not the server's",
        |peer, said| {
            let mut sent = signed(&said, &peer.key);
            sent["signature"] = json!("");
            vec![result(), sent.to_string()]
        }
    ),
    forged!("a receipt for another session", "the receipt is for another session: ", |peer, said| {
        with(peer, said, "transcript", [1; 32])
    }),
    forged!("a receipt for another token", "the receipt is for another token: ", |peer, said| {
        with(peer, said, "token", [1; 32])
    }),
    forged!("a receipt for other data", "the receipt is for another PHI: ", |peer, said| {
        with(peer, said, "phi", [1; 32])
    }),
    forged!("a receipt for another result", "the receipt is for another result: ", |peer, mut said| {
        // The receipt of what was not sent: the result is a better one.
        said["result"] = json!(commitment(&[7; 32], "result", b"{}"));
        vec![result(), signed(&said, &peer.key).to_string()]
    }),
    forged!(
        "a receipt whose commitments are exchanged",
        "the receipt is for another PHI: ",
        |peer, mut said| {
            let (phi, result_of) = (said["phi"].clone(), said["result"].clone());
            (said["phi"], said["result"]) = (result_of, phi);
            vec![result(), signed(&said, &peer.key).to_string()]
        }
    ),
    forged!("a receipt with one thing more", "receipt: wanted no other keys, got also", |peer, mut said| {
        said["also"] = json!(1);
        vec![result(), signed(&said, &peer.key).to_string()]
    }),
    forged!("a receipt before the result", "malformed message: wanted a receipt, got ", |peer, said| {
        vec![signed(&said, &peer.key).to_string(), result()]
    }),
    forged!("a result and no receipt", "the connection ended", |_, _| vec![result()]),
    forged!("a result twice", "malformed message: wanted a receipt, got ", |_, _| vec![result(), result()]),
];

fn with(peer: &Peer1, mut said: Value, key: &str, hash: [u8; 32]) -> Vec<String> {
    said[key] = json!(STANDARD.encode(hash));
    vec![result(), signed(&said, &peer.key).to_string()]
}

/// What an honest USleep answers to the data of the tests.
fn result() -> String {
    let night = Night::parse(PHI.as_bytes()).unwrap();
    let json = Analysis::new(&night, RuleSet::Codelab).to_json().unwrap();
    String::from_utf8(json.to_vec()).unwrap()
}

/// Proves itself honestly, takes the data, and says what it is told to, given an honest receipt.
async fn answer(mut peer: Peer1, forge: fn(&Peer1, Value) -> Vec<String>) {
    let token = peer.attest(false).await;
    let Some(message) = peer.phi().await else { return };
    let said = receipt(&peer.bound, &token, &message, &result());
    for message in forge(&peer, said) {
        peer.peer.say(message).await;
    }
    // Who has nothing more to say leaves.
}

/// An honest USleep from its proof to its receipt, whose token and proof come from this function.
pub async fn serve(mut peer: Peer1, prove: fn(&Peer1) -> (String, Proof)) {
    let (token, proof) = prove(&peer);
    peer.show(&token, &proof).await;
    let Some(message) = peer.phi().await else { return };
    peer.peer.say(result()).await;
    let said = receipt(&peer.bound, &token, &message, &result());
    peer.peer.say(signed(&said, &peer.key).to_string()).await;
    peer.peer.listen().await;
}
