//! What holds of any text and any bytes as a message, a proof or evidence of wire version 1.
//!
//! The invariants are those of the fuzz targets `wire1_messages`, `inclusion` and `evidence`, whose files are included here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/evidence.rs"]
mod evidence;
#[path = "../../fuzz/src/forge.rs"]
mod forge;
#[path = "../../fuzz/src/inclusion.rs"]
mod inclusion;
#[path = "../../fuzz/src/shown.rs"]
mod shown;
#[path = "../../fuzz/src/wire1_messages.rs"]
mod wire1_messages;

use attestation::v1::{Batch, Leaf, MAX_BATCH};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Replace(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, usize),
    Copy(Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    let pieces = vec![
        "=", "\"", "{", "}", "[", "]", ",", ":", "\\u0041", "1", ".0", "e1", "-", " ", "A", "\"v\":1,", "\0",
        "\u{202e}",
    ];
    prop_oneof![
        3 => (index(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        3 => (index(), select(pieces)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => (index(), 1..30_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (index(), index(), 1..80_usize).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
    ]
}

fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Edit::Insert(at, piece) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, piece.bytes());
            }
            Edit::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Edit::Copy(from, to, count) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len() + 1));
                let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// The names of the inputs that the fuzzing starts from and that are accepted.
fn accepted(seeds: Vec<(String, Vec<u8>)>, check: impl Fn(&[u8]) -> bool) -> Vec<String> {
    seeds.into_iter().filter(|(_, seed)| check(seed)).map(|(name, _)| name).collect()
}

#[test]
fn every_seed_of_the_fuzzing_is_judged_as_it_should_be() {
    assert_eq!(
        accepted(wire1_messages::seeds(), wire1_messages::check),
        [
            "attestation-0",
            "attestation-1",
            "client_attestation-0",
            "end-0",
            "hello-0",
            "hello-1",
            "receipt",
            "message"
        ]
    );
    let refused = ["beyond", "too-large", "empty"];
    let proofs =
        inclusion::seeds().into_iter().map(|(name, _)| name).filter(|name| !refused.contains(&&**name));
    assert_eq!(accepted(inclusion::seeds(), inclusion::check), proofs.collect::<Vec<_>>());
    assert_eq!(accepted(evidence::seeds(), evidence::check), ["genuine", "later", "signed-anew"]);
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn no_text_is_a_message(text in any::<String>()) {
        prop_assert!(!wire1_messages::check(text.as_bytes()));
    }

    #[test]
    fn no_bytes_are_evidence(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!wire1_messages::check(&bytes));
        prop_assert!(!evidence::check(&bytes));
    }

    #[test]
    fn an_edited_message_says_what_a_plain_reading_says_or_is_refused(seed in any::<Index>(), edits in prop::collection::vec(edit(), 1..4)) {
        let seeds = wire1_messages::seeds();
        wire1_messages::check(&edited(&seed.get(&seeds).1, &edits));
    }

    #[test]
    fn any_place_and_path_is_judged_as_the_definition_of_the_tree_judges_it(index in 0..5000_u32, size in 0..5000_u32, length in 0..14_usize, byte in any::<u8>()) {
        inclusion::check_proof(index, size, &[byte; 32], &vec![[!byte; 32]; length]);
    }

    #[test]
    fn proofs_of_the_length_for_their_place_are_judged_by_the_definition_too(size in 1..=MAX_BATCH, index in any::<Index>(), path in prop::collection::vec(any::<[u8; 32]>(), 12)) {
        let index = u32::try_from(index.index(usize::try_from(size).unwrap())).unwrap();
        let accepted = (0..=path.len()).filter(|length| inclusion::check_proof(index, size, &[1; 32], &path[..*length]));
        prop_assert_eq!(accepted.count(), 1);
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn every_leaf_of_any_tree_has_a_proof_that_the_definition_of_the_tree_accepts(size in 1..=600_u32, index in any::<Index>()) {
        let leaves: Vec<Leaf> = (0..size).map(|number| Leaf::from_bytes([number.to_be_bytes()[3]; 32])).collect();
        let batch = Batch::seal(leaves.clone()).unwrap();
        let at = index.index(leaves.len());
        let index = u32::try_from(at).unwrap();
        let proof = batch.proof(index).unwrap();
        prop_assert_eq!(proof.nonce(&leaves[at]), batch.nonce());
        prop_assert!(inclusion::check_proof(index, size, leaves[at].as_bytes(), proof.path()));
    }

    #[test]
    fn edited_evidence_is_valid_only_if_it_still_says_the_same(edits in prop::collection::vec(edit(), 1..3)) {
        evidence::check(&edited(evidence::KEPT.evidence.to_string().as_bytes(), &edits));
    }
}
