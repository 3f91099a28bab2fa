//! What the model is asked about: version 1 as it is, or with one of its parts taken away.

use crate::terms::{Prefix, Term};

/// Version 1 of the wire and the world around it, each part of which can be taken away.
///
/// A token also says which operator runs its workload. Which *image* it runs says nothing here: as if both images were
/// signed with one key and the policies pinned no more than that, so that no policy can tell a client from a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    /// The transcript says which end attests.
    pub(crate) role_in_transcript: bool,
    /// A client's token is made for another audience than a server's, and each end requires its own.
    pub(crate) audience_for_each_role: bool,
    /// What is hashed begins with 00 for a leaf and with 01 for a node.
    pub(crate) prefixes: bool,
    /// The token's nonce must be the one that this end works out from its own session and the proof.
    pub(crate) nonce_checked: bool,
    /// The transcript holds the SubjectPublicKeyInfo of the certificate that the server showed in this handshake.
    pub(crate) spki_in_transcript: bool,
    /// The transcript holds the nonces of both ends.
    pub(crate) nonces_in_transcript: bool,
    /// A server that requires clients to attest reads no PHI before it has approved the client.
    pub(crate) phi_after_approval: bool,
    /// The policies of both ends accept the workloads of one operator alone.
    pub(crate) operator_pinned: bool,
    /// A receipt holds the transcript of its session.
    pub(crate) transcript_in_receipt: bool,
    /// A broken TLS library: every session exports the same bytes.
    pub(crate) exporter_repeats: bool,
    /// The attacker holds the private key of the approved server.
    pub(crate) server_key_stolen: bool,
}

/// Version 1 as it is, in a world where TLS does what RFC 8446 says.
pub(crate) const WIRE_1: Variant = Variant {
    role_in_transcript: true,
    audience_for_each_role: true,
    prefixes: true,
    nonce_checked: true,
    spki_in_transcript: true,
    nonces_in_transcript: true,
    phi_after_approval: true,
    operator_pinned: true,
    transcript_in_receipt: true,
    exporter_repeats: false,
    server_key_stolen: false,
};

/// One step of a proof: what is hashed before and after the value that is folded.
///
/// The real sibling is one hash on one side. Here it may be anything, on both sides: only the prefixes are to stop a
/// sibling of the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sibling {
    pub(crate) before: Vec<Term>,
    pub(crate) after: Vec<Term>,
}

impl Variant {
    /// The leaf of a transcript.
    pub(crate) fn leaf(&self, transcript: Vec<Term>) -> Term {
        Term::Hash(self.prefixes.then_some(Prefix::Leaf), transcript)
    }

    /// What every hash over other hashes begins with.
    pub(crate) fn node_prefix(&self) -> Option<Prefix> {
        self.prefixes.then_some(Prefix::Node)
    }

    /// The root of the tree over these leaves, RFC 9162 §2.1.1: the token's nonce.
    pub(crate) fn root(&self, leaves: &[Term]) -> Term {
        match leaves {
            [leaf] => leaf.clone(),
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                Term::Hash(self.node_prefix(), vec![self.root(left), self.root(right)])
            }
        }
    }

    /// The proof that the leaf at `index` is in the tree, from the leaf up, RFC 9162 §2.1.3.1.
    pub(crate) fn proof(&self, leaves: &[Term], index: usize) -> Vec<Sibling> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        let (mut proof, sibling) = if index < left.len() {
            (self.proof(left, index), Sibling { before: Vec::new(), after: vec![self.root(right)] })
        } else {
            (
                self.proof(right, index - left.len()),
                Sibling { before: vec![self.root(left)], after: Vec::new() },
            )
        };
        proof.push(sibling);
        proof
    }

    /// What a verifier works out from its own leaf and the proof that it was given.
    pub(crate) fn fold(&self, leaf: Term, proof: &[Sibling]) -> Term {
        proof.iter().fold(leaf, |value, Sibling { before, after }| {
            Term::Hash(self.node_prefix(), [before.as_slice(), &[value], after].concat())
        })
    }
}

/// How many of `n` leaves stand under the left node: the largest power of two below `n`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}
