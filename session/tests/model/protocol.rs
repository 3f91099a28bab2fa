//! The model as the checker sees it: where a run starts, what can happen next, and what has changed then.

use stateright::{Model, Property};

use crate::action::Action;
use crate::attacker::{Attacker, attackers_keys, nonces};
use crate::properties::properties;
use crate::state::{Session, State};
use crate::terms::{Nonce, Party, Role, SessionId, Token};
use crate::variant::Variant;

/// How many take part: the bounds of what is searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Servers require that clients attest.
    pub(crate) mutual: bool,
    /// Sessions that honest clients open, one each.
    pub(crate) clients: u8,
    /// Sessions that the attacker opens to servers, himself or with genuine copies of the client; if there are none, there
    /// is no attacker at all.
    pub(crate) attackers: u8,
}

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) variant: Variant,
    pub(crate) setup: Setup,
}

impl Protocol {
    /// The next session of each kind may be opened: by number, as sessions of a kind differ by nothing else.
    fn openings(&self, state: &State, actions: &mut Vec<Action>) {
        let Setup { mutual, clients, attackers } = self.setup;
        let unopened = |from: u8, to: u8| {
            (from..to).map(SessionId).find(|id| state.sessions[usize::from(id.0)].is_none())
        };
        if let Some(session) = unopened(0, clients) {
            self.dials(session, Party::Client, actions);
        }
        if let Some(session) = unopened(clients, clients + attackers) {
            // A copy of the client is of use to him for its tokens, which it gets in mutual mode alone.
            if mutual {
                self.dials(session, Party::ClientCopy, actions);
            }
            for server in [Party::ServerCopy, Party::Server] {
                let connect = |nonce| Action::Connect { session, server, nonce };
                actions.extend(nonces(self, state).into_iter().map(connect));
            }
        }
    }

    /// Where a client's session can end; the attacker, if there is one, chooses.
    fn dials(&self, session: SessionId, client: Party, actions: &mut Vec<Action>) {
        let dial = |server, key| Action::Dial { session, client, server, key };
        if self.setup.attackers > 0 {
            actions.push(dial(Party::ServerCopy, Party::ServerCopy));
            actions.extend(attackers_keys(self).into_iter().map(|key| dial(Party::Attacker, key)));
        }
        actions.push(dial(Party::Server, Party::Server));
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(usize::from(self.setup.clients + self.setup.attackers))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.openings(state, actions);
        self.honest_actions(state, actions);
        if self.setup.attackers > 0 {
            Attacker::at(self, state).actions(actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Dial { session, client, server, key } => {
                next.add_session(
                    session,
                    Session::opened(session, client, server, key, Nonce::Client(session)),
                );
            }
            Action::Connect { session, server, nonce } => {
                next.add_session(session, Session::opened(session, Party::Attacker, server, server, nonce));
            }
            Action::Seal { server, sessions } => {
                next.add_token(Token { role: Role::Server, asked_by: server, sessions });
            }
            Action::Approve { session } => {
                next.session_mut(session).approved_on = state.token_for(session, Role::Server);
            }
            Action::Prove { session } => {
                let asked_by = state.session(session).client;
                next.add_token(Token {
                    role: Role::Client,
                    asked_by,
                    sessions: [session].into_iter().collect(),
                });
            }
            Action::Release { session } => next.session_mut(session).released = true,
            Action::Admit { session } => {
                next.session_mut(session).admitted_on = state.token_for(session, Role::Client);
            }
            Action::Answer { session, .. } => next.session_mut(session).answered = true,
            Action::Accept { session } => next.session_mut(session).receipt_accepted = true,
            Action::Show { session, nonce, token, .. } => {
                next.session_mut(session).server_nonce = Some(nonce);
                next.session_mut(session).approved_on = Some(token);
            }
            Action::Claim { session, token, .. } => next.session_mut(session).admitted_on = Some(token),
            Action::Testify { .. } => next.forged_evidence_believed = true,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(&self.setup)
    }
}
