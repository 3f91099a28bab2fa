//! What honest ends do. Genuine copies run by somebody else do the same: it is the same code.

use crate::action::Action;
use crate::protocol::Protocol;
use crate::state::{Session, State};
use crate::terms::{Party, Role, SessionId, Term, Token};
use crate::variant::Sibling;

/// A receipt: signed with this party's TLS key, over this transcript (which its leaf stands for).
pub(crate) struct Receipt {
    pub(crate) signed_by: Party,
    pub(crate) transcript: Term,
}

impl Protocol {
    /// What every relying party checks of the other end's token: that the operator is approved, that the audience is its
    /// own, and that its own leaf and the proof give the token's nonce. `role` is that of the end that attests.
    ///
    /// That the token is authentic needs no check here: nobody can make or change one.
    pub(crate) fn accepts(
        &self,
        state: &State,
        role: Role,
        leaf: Term,
        token: &Token,
        proof: &[Sibling],
    ) -> bool {
        let variant = &self.variant;
        (token.asked_by.is_approved() || !variant.operator_pinned)
            && (token.role == role || !variant.audience_for_each_role)
            && (variant.fold(leaf, proof) == variant.root(&state.leaves(variant, token))
                || !variant.nonce_checked)
    }

    /// Whether a receipt is signed with the key that the verifier has for the server, over the transcript that it knows.
    pub(crate) fn receipt_verifies(&self, receipt: &Receipt, key: Party, transcript: &Term) -> bool {
        receipt.signed_by == key && (receipt.transcript == *transcript || !self.variant.transcript_in_receipt)
    }

    /// The receipt that an honest server makes in this session.
    pub(crate) fn receipt(&self, state: &State, id: SessionId) -> Receipt {
        Receipt { signed_by: state.session(id).key, transcript: state.leaf(&self.variant, id, Role::Server) }
    }

    /// What the honest ends can do next.
    pub(crate) fn honest_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for server in [Party::Server, Party::ServerCopy] {
            let sessions = state.waiting(server);
            if sessions.iter().next().is_some() {
                actions.push(Action::Seal { server, sessions });
            }
        }
        for (session, now) in state.open() {
            let proven = !self.setup.mutual || state.token_for(session, Role::Client).is_some();
            if now.approved_on.is_none() && self.attestation_accepted(state, session, now, Role::Server) {
                actions.push(Action::Approve { session });
            }
            if now.approved_on.is_some() && !proven {
                actions.push(Action::Prove { session });
            }
            if now.approved_on.is_some() && proven && !now.released {
                actions.push(Action::Release { session });
            }
            if now.admitted_on.is_none() && self.attestation_accepted(state, session, now, Role::Client) {
                actions.push(Action::Admit { session });
            }
            if !now.answered && self.has_phi(state, session, now) {
                actions.push(Action::Answer { session, by: now.server });
            }
            // Both ends know the same key and transcript, so a receipt made in this session verifies.
            if now.answered && now.client.is_genuine() && !now.receipt_accepted {
                actions.push(Action::Accept { session });
            }
        }
    }

    /// Whether both ends are genuine, the one with this role has its token, and the other accepts it with its own proof.
    fn attestation_accepted(&self, state: &State, id: SessionId, session: &Session, role: Role) -> bool {
        let accepted = |token: Token| {
            let index = token.sessions.iter().position(|other| other == id).unwrap();
            let proof = self.variant.proof(&state.leaves(&self.variant, &token), index);
            self.accepts(state, role, state.leaf(&self.variant, id, role), &token, &proof)
        };
        session.is_genuine() && state.token_for(id, role).is_some_and(accepted)
    }

    /// Whether there is PHI that the server's end may read: from an approved client, where it requires that. The attacker
    /// sends data of his own as soon as he may.
    fn has_phi(&self, state: &State, id: SessionId, session: &Session) -> bool {
        let attackers_data = session.client == Party::Attacker && state.token_for(id, Role::Server).is_some();
        let waits = self.setup.mutual && self.variant.phi_after_approval && session.server.is_genuine();
        (session.released || attackers_data) && (session.admitted_on.is_some() || !waits)
    }
}
