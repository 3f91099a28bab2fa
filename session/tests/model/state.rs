//! What there is at one moment: sessions and tokens.

use crate::terms::{Nonce, Party, Role, SessionId, SessionSet, Term, Token};
use crate::variant::Variant;

/// One moment of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The sessions by number; `None` is one that nobody has opened.
    pub(crate) sessions: Vec<Option<Session>>,
    /// All tokens ever made. The attacker knows each at once, and none expires: nothing may rest on a token's secrecy or
    /// age. Sorted, so that the order in which they were made does not tell two moments apart.
    pub(crate) tokens: Vec<Token>,
    /// Evidence was shown to a third person that no server had made, and was believed.
    pub(crate) forged_evidence_believed: bool,
}

/// One TLS session. What honest ends say in it nobody else can read, change, or put into another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) client: Party,
    pub(crate) server: Party,
    /// Whose key the server's certificate holds: its own, but for a stolen one.
    pub(crate) key: Party,
    pub(crate) client_nonce: Nonce,
    /// `None` while a server that is the attacker has not shown one.
    pub(crate) server_nonce: Option<Nonce>,
    /// The token on whose strength the client approved the server.
    pub(crate) approved_on: Option<Token>,
    /// The client has sent its PHI.
    pub(crate) released: bool,
    /// The token on whose strength the server approved the client (mutual mode).
    pub(crate) admitted_on: Option<Token>,
    /// The server has received PHI and sent result and receipt.
    pub(crate) answered: bool,
    /// The client has verified the receipt.
    pub(crate) receipt_accepted: bool,
}

impl Session {
    /// A new session, with the client's hello already sent and, if the server is honest, its nonce drawn.
    pub(crate) fn opened(
        id: SessionId,
        client: Party,
        server: Party,
        key: Party,
        client_nonce: Nonce,
    ) -> Self {
        Self {
            client,
            server,
            key,
            client_nonce,
            server_nonce: server.is_genuine().then_some(Nonce::Server(id)),
            approved_on: None,
            released: false,
            admitted_on: None,
            answered: false,
            receipt_accepted: false,
        }
    }

    /// Both ends run genuine images.
    pub(crate) fn is_genuine(&self) -> bool {
        self.client.is_genuine() && self.server.is_genuine()
    }

    /// Whether the attacker knows what TLS exports in this session, and both nonces: at an end of it himself, or when the
    /// client has its receipt and gives the evidence away.
    pub(crate) fn is_known_to_attacker(&self) -> bool {
        !self.is_genuine() || self.receipt_accepted
    }
}

impl State {
    /// Nothing has happened yet.
    pub(crate) fn start(sessions: usize) -> Self {
        Self { sessions: vec![None; sessions], tokens: Vec::new(), forged_evidence_believed: false }
    }

    /// The sessions that have been opened.
    pub(crate) fn open(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        (0..).map(SessionId).zip(&self.sessions).filter_map(|(id, session)| Some((id, session.as_ref()?)))
    }

    /// A session that has been opened.
    pub(crate) fn session(&self, id: SessionId) -> &Session {
        self.sessions[usize::from(id.0)].as_ref().unwrap()
    }

    pub(crate) fn session_mut(&mut self, id: SessionId) -> &mut Session {
        self.sessions[usize::from(id.0)].as_mut().unwrap()
    }

    /// The token that has this session's leaf for this role in its tree.
    pub(crate) fn token_for(&self, id: SessionId, role: Role) -> Option<Token> {
        self.tokens.iter().copied().find(|token| token.role == role && token.sessions.contains(id))
    }

    /// The sessions of this server that wait for its launcher.
    pub(crate) fn waiting(&self, server: Party) -> SessionSet {
        let of_server = self.open().filter(|(_, session)| session.server == server);
        of_server.map(|(id, _)| id).filter(|&id| self.token_for(id, Role::Server).is_none()).collect()
    }

    /// Opens a session.
    pub(crate) fn add_session(&mut self, id: SessionId, session: Session) {
        self.sessions[usize::from(id.0)] = Some(session);
    }

    /// Keeps a new token.
    pub(crate) fn add_token(&mut self, token: Token) {
        self.tokens.push(token);
        self.tokens.sort_unstable();
    }

    /// The leaf of a session for one of its roles. `server_nonce` stands for the server's nonce, and `key` for the
    /// server's key, where an end takes them from what it was shown.
    pub(crate) fn leaf_with(
        &self,
        variant: &Variant,
        id: SessionId,
        role: Role,
        server_nonce: Nonce,
        key: Party,
    ) -> Term {
        let mut transcript = Vec::with_capacity(5);
        if variant.role_in_transcript {
            transcript.push(Term::Role(role));
        }
        transcript.push(Term::Exporter((!variant.exporter_repeats).then_some(id)));
        if variant.spki_in_transcript {
            transcript.push(Term::Spki(key));
        }
        if variant.nonces_in_transcript {
            transcript.push(self.nonce(variant, self.session(id).client_nonce));
            transcript.push(self.nonce(variant, server_nonce));
        }
        variant.leaf(transcript)
    }

    /// The leaf of a session whose server has sent its nonce; while the attacker has not, as if he sent his own.
    pub(crate) fn leaf(&self, variant: &Variant, id: SessionId, role: Role) -> Term {
        let session = self.session(id);
        self.leaf_with(variant, id, role, session.server_nonce.unwrap_or(Nonce::Attackers), session.key)
    }

    /// The leaves of a token's tree.
    pub(crate) fn leaves(&self, variant: &Variant, token: &Token) -> Vec<Term> {
        token.sessions.iter().map(|id| self.leaf(variant, id, token.role)).collect()
    }

    fn nonce(&self, variant: &Variant, nonce: Nonce) -> Term {
        match nonce {
            // What he sent elsewhere stays what it was when he has since shown another nonce in that session.
            Nonce::Leaf(id, role) if self.session(id).server == Party::Attacker => {
                self.leaf_with(variant, id, role, Nonce::Attackers, self.session(id).key)
            }
            Nonce::Leaf(id, role) => self.leaf(variant, id, role),
            nonce => Term::Nonce(nonce),
        }
    }
}
