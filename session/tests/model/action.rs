//! One step of a run, and how it reads.

use std::fmt;

use crate::terms::{Nonce, Party, SessionId, SessionSet, Term, Token};
use crate::variant::Sibling;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// A genuine client opens a session; whoever sits on the path chooses where it ends, and so whose key it sees.
    Dial { session: SessionId, client: Party, server: Party, key: Party },
    /// The attacker opens a session to a genuine server.
    Connect { session: SessionId, server: Party, nonce: Nonce },
    /// A genuine server asks for one token for all sessions that wait, and sends each its attestation.
    Seal { server: Party, sessions: SessionSet },
    /// The attestation of a genuine server reaches its client, who accepts it.
    Approve { session: SessionId },
    /// The client, which has approved, asks for a token for itself and sends its attestation (mutual mode).
    Prove { session: SessionId },
    /// The client sends its PHI.
    Release { session: SessionId },
    /// The client's attestation reaches the genuine server, who accepts it.
    Admit { session: SessionId },
    /// The server's end has received PHI and sends result and receipt.
    Answer { session: SessionId, by: Party },
    /// The client accepts the receipt.
    Accept { session: SessionId },
    /// The attacker, at the server's end, shows an attestation that is not his, and the client accepts it.
    Show { session: SessionId, nonce: Nonce, token: Token, proof: Vec<Sibling> },
    /// The attacker, at the client's end, shows an attestation that is not his, and the server accepts it.
    Claim { session: SessionId, token: Token, proof: Vec<Sibling> },
    /// The attacker shows a third person, who believes it, the evidence of a session with this key as the server's and a
    /// receipt that was not made in it: signed by himself, or by the server in the session `of`.
    Testify { session: SessionId, key: Party, token: Token, proof: Vec<Sibling>, of: Option<SessionId> },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { session, client, server: Party::Attacker, key } => {
                write!(f, "{session}: {client} is led to the attacker, who shows the key of {key}")
            }
            Self::Dial { session, client, server, .. } => {
                write!(f, "{session}: {client} connects to {server}")
            }
            Self::Connect { session, server, nonce } => {
                write!(f, "{session}: the attacker connects to {server} and sends {nonce}")
            }
            Self::Seal { server, sessions } => write!(f, "{sessions}: {server} gets its token"),
            Self::Approve { session } => write!(f, "{session}: the client approves the server"),
            Self::Prove { session } => {
                write!(f, "{session}: the client gets a token for itself and sends it")
            }
            Self::Release { session } => write!(f, "{session}: the client sends PHI"),
            Self::Admit { session } => write!(f, "{session}: the server approves the client"),
            Self::Answer { session, by } => write!(f, "{session}: {by} receives PHI and sends a receipt"),
            Self::Accept { session } => write!(f, "{session}: the client accepts the receipt"),
            Self::Show { session, nonce, token, proof } => {
                let proof = words(proof);
                write!(
                    f,
                    "{session}: the attacker sends {nonce}, {token} and {proof}; the client approves him"
                )
            }
            Self::Claim { session, token, proof } => {
                write!(
                    f,
                    "{session}: the attacker sends {token} and {}; the server approves him",
                    words(proof)
                )
            }
            Self::Testify { session, key, token, proof, of } => {
                let receipt =
                    of.map_or("a receipt of his own".to_owned(), |of| format!("the receipt of {of}"));
                write!(f, "{session}: the attacker's evidence is believed: the key of {key}, {token}, ")?;
                write!(f, "{} and {receipt}", words(proof))
            }
        }
    }
}

/// A proof in words: from the leaf up, what is hashed before and after what has been folded so far.
fn words(proof: &[Sibling]) -> String {
    let terms = |terms: &[Term]| terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let steps = proof.iter().map(|Sibling { before, after }| match (terms(before), terms(after)) {
        (before, after) if after.is_empty() => format!("({before}) before it"),
        (before, after) if before.is_empty() => format!("({after}) after it"),
        (before, after) => format!("({before}) before and ({after}) after it"),
    });
    match steps.collect::<Vec<_>>().as_slice() {
        [] => "an empty proof".to_owned(),
        steps => format!("the proof {}", steps.join(", then ")),
    }
}
