//! What the attacker can do: a Dolev-Yao attacker, who sits on every path, knows whatever was sent to him or is no
//! secret, and builds from it all that can be built. He breaks no cryptography.
//!
//! What an honest end would refuse is left out: that ends the session, as if he had said nothing more in it.

use crate::action::Action;
use crate::protocol::Protocol;
use crate::state::{Session, State};
use crate::terms::{Nonce, Party, Role, SessionId, Term, Token};
use crate::variant::Sibling;

/// The attacker at one moment.
pub(crate) struct Attacker<'a> {
    protocol: &'a Protocol,
    state: &'a State,
    /// All tokens, each with its nonce.
    tokens: Vec<(Token, Term)>,
}

impl<'a> Attacker<'a> {
    pub(crate) fn at(protocol: &'a Protocol, state: &'a State) -> Self {
        let variant = &protocol.variant;
        let root = |token: &Token| variant.root(&state.leaves(variant, token));
        let tokens = state.tokens.iter().map(|token| (*token, root(token))).collect();
        Self { protocol, state, tokens }
    }

    /// What he can do in the sessions that are open. Where clients' sessions end, and opening his own, are elsewhere.
    pub(crate) fn actions(&self, actions: &mut Vec<Action>) {
        for (id, session) in self.state.open() {
            if session.client.is_genuine()
                && session.server == Party::Attacker
                && session.approved_on.is_none()
            {
                self.show(id, session, actions);
            }
            let asked_to_prove =
                self.protocol.setup.mutual && self.state.token_for(id, Role::Server).is_some();
            if session.client == Party::Attacker && asked_to_prove && session.admitted_on.is_none() {
                self.claim(id, actions);
            }
            if session.is_known_to_attacker() && !self.state.forged_evidence_believed {
                self.testify(id, session, actions);
            }
        }
    }

    /// Attestations that a client would take from the attacker for those of a genuine server.
    fn show(&self, session: SessionId, now: &Session, actions: &mut Vec<Action>) {
        // A leaf cannot hold itself.
        let within = |nonce: &Nonce| matches!(nonce, Nonce::Leaf(leaf, _) if *leaf == session);
        for nonce in nonces(self.protocol, self.state).into_iter().filter(|nonce| !within(nonce)) {
            let leaf = self.state.leaf_with(&self.protocol.variant, session, Role::Server, nonce, now.key);
            for (token, proof) in self.accepted(Role::Server, &leaf) {
                actions.push(Action::Show { session, nonce, token, proof });
            }
        }
    }

    /// Attestations that a server would take from the attacker for those of a genuine client.
    fn claim(&self, session: SessionId, actions: &mut Vec<Action>) {
        let leaf = self.state.leaf(&self.protocol.variant, session, Role::Client);
        for (token, proof) in self.accepted(Role::Client, &leaf) {
            actions.push(Action::Claim { session, token, proof });
        }
    }

    /// Evidence of a session that he knows, with a receipt that was not made in it. A third person checks it as a client
    /// does, but must take transcript and key from what is shown.
    fn testify(&self, session: SessionId, now: &Session, actions: &mut Vec<Action>) {
        let nonce = now.server_nonce.unwrap_or(Nonce::Attackers);
        for key in [Party::Attacker, Party::Server, Party::ServerCopy] {
            let leaf = self.state.leaf_with(&self.protocol.variant, session, Role::Server, nonce, key);
            for of in self.receipts(session, key, &leaf) {
                let testify = |(token, proof)| Action::Testify { session, key, token, proof, of };
                actions.extend(self.accepted(Role::Server, &leaf).into_iter().map(testify));
            }
        }
    }

    /// Receipts that verify with this key for this transcript of a session, and were not made in it: signed by the attacker
    /// himself (`None`), or made by a server in another session.
    fn receipts(
        &self,
        session: SessionId,
        key: Party,
        transcript: &Term,
    ) -> impl Iterator<Item = Option<SessionId>> {
        let own = attackers_keys(self.protocol).contains(&key).then_some(None);
        let others = self.state.open().filter(move |(id, other)| {
            let made = *id != session && other.server.is_genuine() && other.answered;
            made && self.protocol.receipt_verifies(&self.protocol.receipt(self.state, *id), key, transcript)
        });
        own.into_iter().chain(others.map(|(id, _)| Some(id)))
    }

    /// The tokens, each with a proof that the attacker can build, which a verifier of this leaf accepts.
    fn accepted(&self, role: Role, leaf: &Term) -> Vec<(Token, Vec<Sibling>)> {
        let with_proof = self.tokens.iter().filter_map(|(token, root)| {
            let no_proof = || (!self.protocol.variant.nonce_checked).then(Vec::new);
            Some((*token, self.proof(leaf, root).or_else(no_proof)?))
        });
        let accepts = |(token, proof): &(Token, Vec<Sibling>)| {
            self.protocol.accepts(self.state, role, leaf.clone(), token, proof)
        };
        with_proof.filter(accepts).collect()
    }

    /// A proof, of any length, that folds `leaf` to `root`, if there is one and the attacker knows its siblings.
    ///
    /// Looking into the root finds it: a hash is known by what went into it, so only a part of the root folds to it.
    fn proof(&self, leaf: &Term, root: &Term) -> Option<Vec<Sibling>> {
        if leaf == root {
            return Some(Vec::new());
        }
        let Term::Hash(prefix, parts) = root else { return None };
        if *prefix != self.protocol.variant.node_prefix() {
            return None;
        }
        (0..parts.len()).find_map(|at| {
            let (before, after) = (&parts[..at], &parts[at + 1..]);
            if !before.iter().chain(after).all(|term| self.knows(term)) {
                return None;
            }
            let mut proof = self.proof(leaf, &parts[at])?;
            proof.push(Sibling { before: before.to_vec(), after: after.to_vec() });
            Some(proof)
        })
    }

    /// Whether the attacker knows this term. Keys, roles and hashes are no secrets to anybody.
    fn knows(&self, term: &Term) -> bool {
        let known = |id: &SessionId| self.state.session(*id).is_known_to_attacker();
        match term {
            Term::Role(_)
            | Term::Spki(_)
            | Term::Hash(..)
            | Term::Nonce(Nonce::Attackers | Nonce::Leaf(..)) => true,
            Term::Exporter(None) => self.state.open().any(|(_, session)| session.is_known_to_attacker()),
            Term::Exporter(Some(id)) | Term::Nonce(Nonce::Client(id) | Nonce::Server(id)) => known(id),
        }
    }
}

/// Whose key the attacker can show in a handshake: he must hold its private half.
pub(crate) fn attackers_keys(protocol: &Protocol) -> Vec<Party> {
    let stolen = protocol.variant.server_key_stolen.then_some(Party::Server);
    stolen.into_iter().chain([Party::Attacker]).collect()
}

/// What the attacker can send as a nonce: the nonces and leaves of sessions that he knows, and one of his own.
///
/// The plainest comes last: of examples that are equally short the checker shows the last one.
pub(crate) fn nonces(protocol: &Protocol, state: &State) -> Vec<Nonce> {
    let roles: &[Role] = if protocol.setup.mutual { &[Role::Client, Role::Server] } else { &[Role::Server] };
    let mut nonces = Vec::new();
    for (id, session) in state.open().filter(|(_, session)| session.is_known_to_attacker()) {
        nonces.extend(roles.iter().map(|&role| Nonce::Leaf(id, role)));
        nonces.extend((session.server != Party::Attacker).then_some(Nonce::Server(id)));
        nonces.extend((session.client != Party::Attacker).then_some(Nonce::Client(id)));
    }
    nonces.push(Nonce::Attackers);
    nonces
}
