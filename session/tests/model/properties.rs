//! What must always hold, and what must be able to happen.

use stateright::{Model as _, Property};

use crate::protocol::{Protocol, Setup};
use crate::state::{Session, State};
use crate::terms::{Party, Role, SessionId, Token};

/// The one that all this is for.
pub(crate) const PHI: &str = "PHI leaves only to an end whose own session is in the token";
/// The same the other way round, in mutual mode.
pub(crate) const CLIENT: &str = "a server takes PHI only from a client whose own session is in the token";
/// Neither a client nor a third person, who was not there, can be deceived about who said what in which session.
pub(crate) const RECEIPT: &str = "a receipt that verifies was made by the attested server in that session";
/// Genuine is not enough: "genuine" copies of the images are run by somebody else.
pub(crate) const OPERATOR: &str = "whoever gets PHI, or is approved to send it, is not run by somebody else";
/// Where there is no attacker, nobody waits for ever.
pub(crate) const PROGRESS: &str = "without an attacker every session ends with a receipt";

/// The protocol does what it is for.
pub(crate) const DONE: &str = "PHI is received and the receipt accepted";
/// One quote for many sessions.
pub(crate) const SHARED: &str = "two sessions share one token and both accept their receipts";
/// The search comes to where a relay would be tried.
pub(crate) const TEMPTED: &str = "the attacker has a token of the server while a client waits at his end";

/// All of them that say something in this setup.
pub(crate) fn properties(setup: &Setup) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always(PHI, |_, state: &State| state.open().all(phi_went_to_own_session)),
        Property::always(CLIENT, |protocol: &Protocol, state: &State| {
            !protocol.setup.mutual || state.open().all(phi_came_from_own_session)
        }),
        Property::always(RECEIPT, |_, state: &State| {
            !state.forged_evidence_believed && state.open().all(|(_, session)| receipt_is_genuine(session))
        }),
        Property::always(OPERATOR, |_, state: &State| {
            state.open().all(|(_, session)| is_run_by_approved(session))
        }),
        Property::sometimes(DONE, |_, state: &State| state.open().any(|(_, session)| is_done(session))),
    ];
    if setup.clients > 1 {
        properties.push(Property::sometimes(SHARED, |_, state: &State| two_share_a_token(state)));
    }
    if setup.attackers > 0 {
        properties.push(Property::sometimes(TEMPTED, |_, state: &State| attacker_is_tempted(state)));
    } else {
        properties.push(Property::always(PROGRESS, |protocol: &Protocol, state: &State| {
            let mut actions = Vec::new();
            protocol.actions(state, &mut actions);
            !actions.is_empty() || state.sessions.iter().flatten().all(is_done)
        }));
    }
    properties
}

/// If the owner's PHI was sent: the token was asked for by the very end that got it, for this very session.
fn phi_went_to_own_session((id, session): (SessionId, &Session)) -> bool {
    let own = |token: Token| {
        token.role == Role::Server && token.asked_by == session.server && token.sessions.contains(id)
    };
    session.client != Party::Client || !session.released || session.approved_on.is_some_and(own)
}

/// If an honest server has read PHI: the token was asked for by the very end that sent it, for this very session.
fn phi_came_from_own_session((id, session): (SessionId, &Session)) -> bool {
    let own = |token: Token| {
        token.role == Role::Client && token.asked_by == session.client && token.sessions.contains(id)
    };
    !session.server.is_genuine() || !session.answered || session.admitted_on.is_some_and(own)
}

fn receipt_is_genuine(session: &Session) -> bool {
    !session.receipt_accepted || session.server.is_genuine()
}

fn is_run_by_approved(session: &Session) -> bool {
    let is_copy = |party: Party| party.is_genuine() && !party.is_approved();
    let phi_to_copy = session.client == Party::Client && session.released && is_copy(session.server);
    let copy_approved =
        session.server == Party::Server && session.admitted_on.is_some() && is_copy(session.client);
    !phi_to_copy && !copy_approved
}

fn is_done(session: &Session) -> bool {
    session.client == Party::Client && session.server == Party::Server && session.receipt_accepted
}

fn two_share_a_token(state: &State) -> bool {
    state.tokens.iter().any(|token| {
        let done = state.open().filter(|(id, session)| token.sessions.contains(*id) && is_done(session));
        token.role == Role::Server && done.count() > 1
    })
}

fn attacker_is_tempted(state: &State) -> bool {
    let between = |client, server| {
        state.open().filter(move |(_, session)| session.client == client && session.server == server)
    };
    let has_token = |id| state.token_for(id, Role::Server).is_some();
    between(Party::Client, Party::Attacker).next().is_some()
        && between(Party::Attacker, Party::Server).any(|(id, _)| has_token(id))
}
