//! Target `inclusion`: any place and any path as the proof that a leaf is in a tree, against the recursion by which RFC
//! 9162 §2.1 defines the tree.
//!
//! Two bytes for the index, two for the size, each big endian; 32 for the leaf, 32 for each hash of the path; a rest that is
//! no whole hash is left.
#![allow(dead_code, unreachable_pub)]

use attestation::v1::{Batch, InclusionProof, Leaf, MAX_BATCH};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::shown::assert_printable;

/// Asserts what holds of any bytes, and says whether they are a proof.
pub fn check(data: &[u8]) -> bool {
    let Some((place, rest)) = data.split_first_chunk::<4>() else { return false };
    let (hashes, _) = rest.as_chunks::<32>();
    let Some((leaf, path)) = hashes.split_first() else { return false };
    let [a, b, c, d] = *place;
    check_proof(u16::from_be_bytes([a, b]).into(), u16::from_be_bytes([c, d]).into(), leaf, path)
}

/// Asserts what holds of any place and path, and says whether they are a proof.
pub fn check_proof(index: u32, size: u32, leaf: &[u8; 32], path: &[[u8; 32]]) -> bool {
    let possible = (1..=MAX_BATCH).contains(&size) && index < size;
    let wanted = possible.then(|| root(index, size, *leaf, path)).flatten();
    let proof = InclusionProof::new(index, size, path.to_vec());
    match &proof {
        Ok(proof) => {
            let root = wanted.expect("accepted");
            let nonce = [b"attested-sleep/1 root", &size.to_be_bytes()[..], &root].concat();
            let nonce = STANDARD.encode(digest(&SHA256, &nonce));
            assert_eq!(proof.nonce(&Leaf::from_bytes(*leaf)).as_str(), nonce);
            assert_eq!((proof.index(), proof.size(), proof.path()), (index, size, path));
        }
        Err(error) => {
            assert_eq!(wanted, None, "refused: {error}");
            assert_printable(&error.to_string());
        }
    }
    proof.is_ok()
}

/// The root by RFC 9162 §2.1.3.1, the other way round: a tree of more than one leaf is split at the largest power of two
/// below its size, and the last hash of the path is the root of the part in which the leaf is not.
fn root(index: u32, size: u32, leaf: [u8; 32], path: &[[u8; 32]]) -> Option<[u8; 32]> {
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let split = size.next_power_of_two() / 2;
    let (other, path) = path.split_last()?;
    let node = |left: &[u8; 32], right: &[u8; 32]| {
        digest(&SHA256, &[&[1], &left[..], right].concat()).as_ref().try_into().unwrap()
    };
    if index < split {
        Some(node(&root(index, split, leaf, path)?, other))
    } else {
        Some(node(other, &root(index - split, size - split, leaf, path)?))
    }
}

/// Proofs to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let places = [(0, 1), (0, 2), (2, 3), (4, 5), (6, 7), (7, 8), (63, 64), (2048, 4095), (4095, 4096)];
    let mut seeds: Vec<_> = places
        .into_iter()
        .map(|(index, size): (u16, u16)| {
            let leaves: Vec<Leaf> =
                (0..size).map(|leaf| Leaf::from_bytes([leaf.to_be_bytes()[1]; 32])).collect();
            let leaf = leaves[usize::from(index)];
            let proof = Batch::seal(leaves).unwrap().proof(index.into()).unwrap();
            let hashes = [&[*leaf.as_bytes()], proof.path()].concat().concat();
            let seed = [&index.to_be_bytes()[..], &size.to_be_bytes(), &hashes].concat();
            (format!("{index}-of-{size}"), seed)
        })
        .collect();
    seeds.push(("beyond".to_owned(), [&[0, 1, 0, 1][..], &[0; 32]].concat()));
    seeds.push(("too-large".to_owned(), [&[0, 0, 0x10, 1][..], &[0; 13 * 32]].concat()));
    seeds.push(("empty".to_owned(), [&[0, 0, 0, 0][..], &[0; 32]].concat()));
    seeds
}
