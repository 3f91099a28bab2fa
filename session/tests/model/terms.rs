//! Who takes part, and what is sent and hashed, as terms: things that are equal or not, and can be taken apart only by
//! whom the rules let. No bytes, no cryptography: a hash is known by what went into it, and nobody finds two for one.

use std::fmt;

/// Who holds an end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Party {
    /// An honest data owner's client; attested too, in mutual mode.
    Client,
    /// The attested server of the approved operator.
    Server,
    /// A genuine copy of the client's image, run by the attacker: it does what the code says, and its tokens name him.
    ClientCopy,
    /// A genuine copy of the server's image, run by the attacker.
    ServerCopy,
    /// The attacker's own program, which no token ever vouches for.
    Attacker,
}

impl Party {
    /// Whether the attestation service gives this party tokens.
    pub(crate) fn is_genuine(self) -> bool {
        self != Self::Attacker
    }

    /// Whether its tokens name the operator that the policies approve.
    pub(crate) fn is_approved(self) -> bool {
        matches!(self, Self::Client | Self::Server)
    }
}

/// Which end attests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Server,
    Client,
}

/// One TLS session, by its number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u8);

/// Some sessions, in the order of their numbers, which is also their order in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionSet(u8);

impl SessionSet {
    pub(crate) fn contains(self, id: SessionId) -> bool {
        self.0 & (1 << id.0) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = SessionId> {
        (0..8).map(SessionId).filter(move |&id| self.contains(id))
    }
}

impl FromIterator<SessionId> for SessionSet {
    fn from_iter<I: IntoIterator<Item = SessionId>>(sessions: I) -> Self {
        Self(sessions.into_iter().fold(0, |bits, id| bits | 1 << id.0))
    }
}

/// The 32 bytes that an end sends as its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Nonce {
    /// Drawn by the honest client of this session.
    Client(SessionId),
    /// Drawn by the honest server of this session.
    Server(SessionId),
    /// Drawn by the attacker. One is enough: no end checks that two nonces differ, so what he can do with two he can do
    /// with one.
    Attackers,
    /// No fresh nonce but the leaf of this session for this role, sent in the place of one.
    Leaf(SessionId, Role),
}

/// What a hash begins with, to tell leaf and node apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Leaf,
    Node,
}

/// What a hash is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Role(Role),
    /// What TLS exports at both ends of this session; of none where all sessions export the same.
    Exporter(Option<SessionId>),
    /// The SubjectPublicKeyInfo of this party's TLS key.
    Spki(Party),
    /// A nonce, never [`Nonce::Leaf`]: that one is the hash itself.
    Nonce(Nonce),
    Hash(Option<Prefix>, Vec<Term>),
}

/// A token of the attestation service, and what it stands for. Nobody can make one or change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    /// As which end the workload asked; the token itself shows it only by its audience.
    pub(crate) role: Role,
    /// The workload that asked for it; the token itself shows no more of it than the operator.
    pub(crate) asked_by: Party,
    /// The sessions whose leaves are in the tree; of them the token itself shows only the root.
    pub(crate) sessions: SessionSet,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client",
            Self::Server => "the server",
            Self::ClientCopy => "somebody else's copy of the client",
            Self::ServerCopy => "somebody else's copy of the server",
            Self::Attacker => "the attacker",
        })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0 + 1)
    }
}

impl fmt::Display for SessionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions: Vec<_> = self.iter().map(|id| id.to_string()).collect();
        f.write_str(&sessions.join(" and "))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "the client's nonce of {id}"),
            Self::Server(id) => write!(f, "the server's nonce of {id}"),
            Self::Attackers => f.write_str("a nonce of his own"),
            Self::Leaf(id, role) => write!(f, "the {role}'s leaf of {id}"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role {role}"),
            Self::Exporter(Some(id)) => write!(f, "exporter of {id}"),
            Self::Exporter(None) => f.write_str("the one exporter"),
            Self::Spki(party) => write!(f, "key of {party}"),
            Self::Nonce(nonce) => write!(f, "{nonce}"),
            Self::Hash(..) => f.write_str("a hash"),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token of {} for {}", self.asked_by, self.sessions)
    }
}
