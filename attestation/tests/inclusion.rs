//! Trees and proofs of wire version 1: against Certificate Transparency's reference vectors, and every place of every
//! tree up to 64 against all others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attestation::Nonce;
use attestation::v1::{Batch, BatchSizeError, InclusionProof, Leaf, MAX_BATCH, ProofError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

const SIZES: std::ops::RangeInclusive<u32> = 1..=64;

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn leaf_over(entry: &[u8]) -> Leaf {
    Leaf::from_bytes(sha256(&[&[0], entry].concat()))
}

fn leaf(number: u32) -> Leaf {
    leaf_over(&number.to_be_bytes())
}

fn batch(size: u32) -> Batch {
    Batch::seal((0..size).map(leaf).collect()).unwrap()
}

/// The nonce of a root that is known.
fn nonce_of(size: u32, root: &[u8]) -> String {
    STANDARD.encode(sha256(&[b"attested-sleep/1 root", &size.to_be_bytes()[..], root].concat()))
}

/// The nonce that a proof for another place would have, if there is such a proof.
fn elsewhere(index: u32, size: u32, path: &[[u8; 32]], leaf: &Leaf) -> Option<Nonce> {
    InclusionProof::new(index, size, path.to_vec()).ok().map(|proof| proof.nonce(leaf))
}

/// The entries, roots and paths of the reference tree in the Certificate Transparency project (merkle_tree_test).
#[test]
fn the_reference_tree_of_certificate_transparency_has_its_roots_and_paths() {
    let entries =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Leaf> = entries.iter().map(|entry| leaf_over(&hex::decode(entry).unwrap())).collect();
    for (size, root) in (1..).zip(roots) {
        let batch = Batch::seal(leaves[..usize::try_from(size).unwrap()].to_vec()).unwrap();
        assert_eq!(batch.nonce().as_str(), nonce_of(size, &hex::decode(root).unwrap()), "{size}");
    }

    let zero_and_one = roots[1];
    let paths = [
        (0, 1, vec![]),
        (
            0,
            8,
            vec![
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            vec![
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                roots[3],
            ],
        ),
        (2, 3, vec![zero_and_one]),
        (
            1,
            5,
            vec![
                roots[0],
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (index, size, path) in paths {
        let batch = Batch::seal(leaves[..size].to_vec()).unwrap();
        let proof = batch.proof(index).unwrap();
        assert_eq!(proof.path().iter().map(hex::encode).collect::<Vec<_>>(), path, "{index} of {size}");
    }
}

#[test]
fn every_leaf_of_every_tree_leads_to_the_nonce_and_no_other_leaf_does() {
    for size in SIZES {
        let (batch, nonce) = (batch(size), batch(size).nonce());
        for index in 0..size {
            let proof = batch.proof(index).unwrap();
            assert_eq!((proof.index(), proof.size()), (index, size));
            assert_eq!(proof.nonce(&leaf(index)), nonce, "{index} of {size}");
            let received = InclusionProof::new(index, size, proof.path().to_vec());
            assert_eq!(received.as_ref(), Ok(&proof));
            for other in (0..=size).filter(|other| *other != index) {
                assert_ne!(proof.nonce(&leaf(other)), nonce, "{other} in the place of {index} of {size}");
            }
        }
        assert_eq!(batch.proof(size), None);
        assert_eq!(batch.proof(u32::MAX), None);
    }
}

#[test]
fn every_wrong_place_is_refused_or_leads_to_another_nonce() {
    let mut refused = 0_u64;
    let mut other_nonce = 0_u64;
    for size in SIZES {
        let (batch, nonce) = (batch(size), batch(size).nonce());
        for index in 0..size {
            let path = batch.proof(index).unwrap().path().to_vec();
            let places = SIZES.flat_map(|size| (0..=size).map(move |index| (index, size)));
            for place in places.filter(|place| *place != (index, size)) {
                match elsewhere(place.0, place.1, &path, &leaf(index)) {
                    None => refused += 1,
                    Some(found) => {
                        assert_ne!(found, nonce, "{index} of {size} as {place:?}");
                        other_nonce += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 1_000_000 && other_nonce > 100_000, "{refused} {other_nonce}");
}

#[test]
fn every_proof_that_is_a_hash_too_long_or_too_short_is_refused() {
    for size in SIZES {
        for index in 0..size {
            let path = batch(size).proof(index).unwrap().path().to_vec();
            let wanted = path.len();
            let refused = |path: Vec<[u8; 32]>| {
                let got = path.len();
                assert_eq!(InclusionProof::new(index, size, path), Err(ProofError::Length { wanted, got }));
            };
            refused([&path[..], &[[0; 32]]].concat());
            refused([&[[0; 32]], &path[..]].concat());
            if let Some((_, shorter)) = path.split_last() {
                refused(shorter.to_vec());
                refused(path[1..].to_vec());
            }
        }
    }
}

#[test]
fn swapped_doubled_and_changed_siblings_lead_to_another_nonce() {
    for size in SIZES {
        let (batch, nonce) = (batch(size), batch(size).nonce());
        for index in 0..size {
            let path = batch.proof(index).unwrap().path().to_vec();
            let mut forged: Vec<Vec<[u8; 32]>> = Vec::new();
            for at in 0..path.len() {
                for (other, sibling) in path.iter().enumerate().filter(|(other, _)| *other != at) {
                    let mut swapped = path.clone();
                    swapped.swap(at, other);
                    let mut doubled = path.clone();
                    doubled[at] = *sibling;
                    forged.extend([swapped, doubled]);
                }
                let mut changed = path.clone();
                changed[at][31] ^= 1;
                let mut own = path.clone();
                own[at] = *leaf(index).as_bytes();
                forged.extend([changed, own]);
            }
            for path in forged {
                assert_ne!(elsewhere(index, size, &path, &leaf(index)).as_ref(), Some(&nonce));
            }
        }
    }
}

#[test]
fn an_inner_node_is_no_leaf_of_any_tree() {
    for size in 2..=64 {
        let (batch, nonce) = (batch(size), batch(size).nonce());
        for index in (0..size - 1).step_by(2) {
            let (left, right) = (leaf(index), leaf(index + 1));
            let inner = sha256(&[&[1], &left.as_bytes()[..], right.as_bytes()].concat());
            let path = batch.proof(index).unwrap().path().to_vec();
            let above = &path[1..];
            // The tree above the leaves is a tree too, and its root the same; but its size is another.
            let smaller = elsewhere(index / 2, size.div_ceil(2), above, &Leaf::from_bytes(inner));
            assert_ne!(smaller.expect("the tree above the leaves has such a place"), nonce);
            // In a tree of the right size the proof is too short for nearly all places; where it is not, it fails.
            let places = (0..size).filter_map(|at| elsewhere(at, size, above, &Leaf::from_bytes(inner)));
            assert!(places.into_iter().all(|found| found != nonce), "{index} of {size}");
            // Who has the two leaves cannot make an entry of them: a leaf is hashed with another first byte.
            let entry = [&left.as_bytes()[..], right.as_bytes()].concat();
            assert_ne!(*leaf_over(&entry).as_bytes(), inner);
        }
    }
}

#[test]
fn a_batch_of_one_has_an_empty_proof() {
    let batch = batch(1);
    let proof = batch.proof(0).unwrap();
    assert_eq!((proof.index(), proof.size(), proof.path()), (0, 1, [].as_slice()));
    assert_eq!(proof.nonce(&leaf(0)).as_str(), nonce_of(1, leaf(0).as_bytes()));
}

#[test]
fn a_batch_is_sealed_at_the_limit_and_refused_empty_and_one_over() {
    let sealed = |size| Batch::seal(vec![leaf(0); size]).map(|batch| batch.size());
    assert_eq!(sealed(0), Err(BatchSizeError { got: 0 }));
    assert_eq!(sealed(1), Ok(1));
    assert_eq!(sealed(4096), Ok(MAX_BATCH));
    assert_eq!(sealed(4097), Err(BatchSizeError { got: 4097 }));

    let largest = batch(MAX_BATCH);
    for index in [0, 1, 2047, 2048, 4094, 4095] {
        let proof = largest.proof(index).unwrap();
        assert_eq!(proof.path().len(), 12);
        assert_eq!(proof.nonce(&leaf(index)), largest.nonce());
    }
    let uneven = batch(4095);
    assert_eq!(uneven.proof(4094).unwrap().path().len(), 11, "the last of an odd number goes up alone");
    assert_eq!(uneven.proof(4094).unwrap().nonce(&leaf(4094)), uneven.nonce());
}

#[test]
fn places_that_no_tree_has_are_refused_before_the_proof_is_looked_at() {
    let long = || vec![[0; 32]; 100];
    let rows = [
        (0, 0, Err(ProofError::Size { got: 0 })),
        (0, 4097, Err(ProofError::Size { got: 4097 })),
        (0, u32::MAX, Err(ProofError::Size { got: u32::MAX.into() })),
        (1, 1, Err(ProofError::Index { got: 1, size: 1 })),
        (4096, 4096, Err(ProofError::Index { got: 4096, size: 4096 })),
        (u32::MAX, 4096, Err(ProofError::Index { got: u32::MAX.into(), size: 4096 })),
        (0, 4096, Err(ProofError::Length { wanted: 12, got: 100 })),
        (0, 1, Err(ProofError::Length { wanted: 0, got: 100 })),
    ];
    for (index, size, wanted) in rows {
        assert_eq!(InclusionProof::new(index, size, long()).map(drop), wanted, "{index} of {size}");
    }
}

#[test]
fn a_proof_of_another_batch_or_another_session_leads_to_another_nonce() {
    let other = Batch::seal((100..108).map(leaf).collect()).unwrap();
    let ours = batch(8);
    for index in 0..8 {
        assert_ne!(other.proof(index).unwrap().nonce(&leaf(index)), ours.nonce(), "the other batch's proof");
        let neighbour = ours.proof((index + 1) % 8).unwrap();
        assert_ne!(neighbour.nonce(&leaf(index)), ours.nonce(), "another session's proof");
    }
}
