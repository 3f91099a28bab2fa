//! The test vectors of `docs/protocol.md`, which a second implementation in another language has written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;

use attestation::v1::{
    Attestation, Batch, ClientAttestation, CommitmentKey, End, ExpectedReceipt, Hello, HelloNonce,
    InclusionProof, Leaf, MessageError, Receipt, SessionBinding, SignedReceipt,
};
use attestation::{Nonce, Role, Token, v1};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use zeroize::Zeroizing;

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../docs/vectors/wire.json")).unwrap());

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no text {key} in {row}"))
}

fn bytes(row: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(row, key)).unwrap()
}

fn hash(row: &Value, key: &str) -> [u8; 32] {
    bytes(row, key).try_into().unwrap()
}

fn hashes(list: &Value) -> Vec<[u8; 32]> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| hex::decode(item.as_str().unwrap()).unwrap().try_into().unwrap()).collect()
}

fn rows(key: &str) -> &'static [Value] {
    let rows = VECTORS[key].as_array().unwrap();
    assert!(!rows.is_empty(), "{key}");
    rows
}

#[test]
fn the_nonces_of_version_0_are_those_of_the_vectors() {
    for row in rows("wire0") {
        let nonce = Nonce::of_session(|buffer, label, context| {
            assert_eq!((label, context), (b"testing_nonce".as_slice(), None));
            hex::decode_to_slice(text(row, "exporter"), buffer)
        });
        assert_eq!(nonce.unwrap().as_str(), text(row, "nonce"));
    }
}

#[test]
fn transcripts_and_leaves_are_those_of_the_vectors() {
    for row in rows("transcripts") {
        let export = |buffer: &mut [u8; 32], label: &[u8], context: Option<&[u8]>| {
            assert_eq!((label, context), (b"EXPORTER-Channel-Binding".as_slice(), None));
            hex::decode_to_slice(text(row, "exporter"), buffer)
        };
        let binding = SessionBinding::of_session(export, &bytes(row, "spki")).unwrap();
        let role = match text(row, "role") {
            "server" => Role::Server,
            other => {
                assert_eq!(other, "client");
                Role::Client
            }
        };
        let nonce = |key: &str| HelloNonce::from_bytes(hash(row, key));
        let transcript = binding.transcript(role, &nonce("client_nonce"), &nonce("server_nonce"));
        assert_eq!(hex::encode(&*transcript.expose()), text(row, "transcript"));
        assert_eq!(transcript.expose().len(), v1::TRANSCRIPT_BYTES);
        assert_eq!(transcript.sha256(), hash(row, "transcript_sha256"));
        assert_eq!(*transcript.leaf().as_bytes(), hash(row, "leaf"));
    }
}

#[test]
fn trees_nonces_and_proofs_are_those_of_the_vectors() {
    let sizes: Vec<usize> = rows("trees").iter().map(|row| row["leaves"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [1, 2, 3, 5, 8]);
    for row in rows("trees") {
        let leaves: Vec<Leaf> = hashes(&row["leaves"]).into_iter().map(Leaf::from_bytes).collect();
        let batch = Batch::seal(leaves.clone()).unwrap();
        assert_eq!(batch.nonce().as_str(), text(row, "nonce"));
        assert_eq!(row["proofs"].as_array().unwrap().len(), leaves.len());
        for (index, leaf) in leaves.iter().enumerate() {
            let path = hashes(&row["proofs"][index]);
            let index = u32::try_from(index).unwrap();
            assert_eq!(batch.proof(index).unwrap().path(), path);
            let received = InclusionProof::new(index, batch.size(), path).unwrap();
            assert!(received.nonce(leaf).matches(text(row, "nonce")));
        }
    }
}

#[test]
fn the_largest_tree_is_that_of_the_vectors() {
    let row = &VECTORS["largest_tree"];
    let made_up = |number: u32| {
        let data = digest(&SHA256, &[b"test vectortranscript", &number.to_be_bytes()[..]].concat());
        let leaf = digest(&SHA256, &[&[0], digest(&SHA256, data.as_ref()).as_ref()].concat());
        <[u8; 32]>::try_from(leaf.as_ref()).unwrap()
    };
    let leaves: Vec<[u8; 32]> = (0..v1::MAX_BATCH).map(made_up).collect();
    assert_eq!(digest(&SHA256, &leaves.concat()).as_ref(), hash(row, "leaves_sha256"));
    let batch = Batch::seal(leaves.into_iter().map(Leaf::from_bytes).collect()).unwrap();
    assert_eq!(batch.nonce().as_str(), text(row, "nonce"));
    assert_eq!(batch.proof(4095).unwrap().path(), hashes(&row["proof_of_4095"]));
}

#[test]
fn commitments_are_those_of_the_vectors_however_the_messages_are_cut() {
    for row in rows("commitments") {
        let key = CommitmentKey::from_bytes(Zeroizing::new(hash(row, "key")));
        for (messages, mut commit, wanted) in [
            ("phi", key.commit_phi(), "phi_commitment"),
            ("result", key.commit_result(), "result_commitment"),
        ] {
            for message in row[messages].as_array().unwrap() {
                message.as_str().unwrap().as_bytes().chunks(3).for_each(|piece| commit.update(piece));
            }
            assert_eq!(*commit.finish().as_bytes(), hash(row, wanted), "{messages}");
        }
        let first = bytes(row, "first_phi_message");
        let (lead, phi) = CommitmentKey::lead(&first).unwrap();
        assert_eq!(lead.expose(), key.expose());
        assert_eq!(phi, row["phi"][0].as_str().unwrap().as_bytes());
    }
}

#[test]
fn the_receipt_of_the_vectors_verifies_and_says_what_it_says() {
    let row = &VECTORS["receipt"];
    let signed = SignedReceipt::parse(text(row, "message")).unwrap();
    assert_eq!(signed.receipt_json(), text(row, "receipt"));
    assert_eq!(signed.signature(), bytes(row, "signature"));
    let expected = ExpectedReceipt {
        transcript: hash(row, "transcript_sha256"),
        token: digest(&SHA256, text(row, "token").as_bytes()).as_ref().try_into().unwrap(),
        phi: v1::Commitment::from_bytes(hash(row, "phi_commitment")),
        result: v1::Commitment::from_bytes(hash(row, "result_commitment")),
    };
    let receipt = signed.verify(&bytes(row, "spki"), &expected).unwrap();
    assert_eq!(
        (&*receipt.rules, &*receipt.program, receipt.time),
        ("recommended", "usleep 0.1.0", 1_750_688_561)
    );
    assert_eq!(receipt, Receipt::parse(text(row, "receipt")).unwrap());
    assert_eq!(hex::encode(expected.token), Token::new(text(row, "token")).unwrap().sha256());

    let ours = SignedReceipt::sign(&receipt, |message| {
        assert!(message.starts_with(b"attested-sleep/1 receipt\0{"), "what is signed");
        assert_eq!(message.len(), bytes(row, "signed_bytes").len());
        Ok::<_, ()>(vec![])
    });
    assert_eq!(Receipt::parse(ours.unwrap().receipt_json()).unwrap(), receipt);
}

#[test]
fn messages_are_accepted_and_refused_as_the_vectors_say() {
    type Parse = fn(&str) -> Result<String, MessageError>;
    let parsers: [(&str, Parse); 4] = [
        ("hello", |text| Hello::parse(text).map(|message| message.to_json())),
        ("attestation", |text| Attestation::parse(text).map(|message| message.to_json())),
        ("client_attestation", |text| ClientAttestation::parse(text).map(|message| message.to_json())),
        ("end", |text| End::parse(text).map(|message| message.to_json())),
    ];
    assert_eq!(VECTORS["messages"].as_object().unwrap().len(), parsers.len());
    for (message, parse) in parsers {
        let rows = &VECTORS["messages"][message];
        for accepted in rows["accepted"].as_array().unwrap() {
            let accepted = accepted.as_str().unwrap();
            let canonical = parse(accepted).unwrap_or_else(|error| panic!("{message}: {accepted}: {error}"));
            let plain = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(plain(&canonical), plain(accepted), "{message}");
        }
        for refused in rows["refused"].as_array().unwrap() {
            assert!(parse(text(refused, "text")).is_err(), "{message}: {}", text(refused, "why"));
        }
    }
}

#[test]
fn the_page_has_the_numbers_of_the_code() {
    let page = include_str!("../../docs/protocol.md");
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let wanted = [
        format!("**`{}`**", v1::SUBPROTOCOL),
        format!("`Sec-WebSocket-Protocol: {}`", v1::SUBPROTOCOL),
        format!("label `{}`", str::from_utf8(v1::EXPORTER_LABEL).unwrap()),
        format!("label `{}`", str::from_utf8(attestation::EXPORTER_LABEL).unwrap()),
        format!("**Transcript**, {} bytes", v1::TRANSCRIPT_BYTES),
        format!("1 \u{2264} size \u{2264} {}", v1::MAX_BATCH),
        format!("| batch | {} sessions |", v1::MAX_BATCH),
        format!("| hello | {}, 5 s |", kib(v1::MAX_HELLO_BYTES)),
        format!("| messages 2 and 3 | {} |", kib(v1::MAX_ATTESTATION_BYTES)),
        format!("| receipt | {} |", kib(v1::MAX_RECEIPT_BYTES)),
        format!("| evidence | {} |", kib(v1::MAX_EVIDENCE_BYTES)),
        format!(
            "| token | {}, `x5c` exactly {} |",
            kib(attestation::message::MAX_TOKEN_BYTES),
            attestation::X5C_CERTIFICATES
        ),
        format!("| PHI payload | {} MiB", attestation::message::MAX_PHI_BYTES / 1024 / 1024),
        format!("| result; summary | {} |", kib(attestation::message::MAX_RESULT_BYTES)),
        format!("{} fresh random bytes of the client's choice", v1::COMMITMENT_KEY_BYTES),
        format!("`{}`", attestation::GOOGLE_ISSUER),
        format!("`{}`", hex::encode_upper(attestation::GOOGLE_ROOT_SHA256)),
    ];
    for wanted in wanted {
        assert!(page.contains(&wanted), "docs/protocol.md does not say: {wanted}");
    }
    for check in v1::EvidenceCheck::ALL {
        assert!(page.contains(&format!("`{check}`")), "docs/protocol.md has no step {check}");
    }
}
