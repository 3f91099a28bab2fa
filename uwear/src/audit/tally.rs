//! The sessions of a log: how each ended, and which never did.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::chain::{Broken, Link};
use super::hex::SessionId;
use super::line::{Decided, End, Ended, Event, Time};

/// Most sessions without an end that are kept in mind. Of more the earliest are counted, and no longer named.
const MAX_OPEN: usize = 65_536;

/// Most sessions of unknown outcome that are listed.
pub(super) const MAX_LISTED: usize = 20;

/// How the sessions ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sessions {
    pub(super) decided: u64,
    pub(super) released: u64,
    /// By this end or the other one.
    pub(super) refused: u64,
    /// Without a valid result, or broken off before anything was sent.
    pub(super) lost: u64,
    /// Allowed, and no end is written: released, outcome unknown, or still under way.
    pub(super) outcome_unknown: u64,
}

/// A session that was allowed and has no end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unknown {
    /// The number of its decision's line.
    pub(super) line: u64,
    pub(super) time: String,
    pub(super) session: String,
}

/// Counts the lines of a log in their order, in bounded memory.
pub(super) struct Tally {
    sessions: Sessions,
    /// Sessions without an end by name, and by the number of their decision's line.
    by_name: HashMap<SessionId, u64>,
    by_number: BTreeMap<u64, Open>,
    /// Most of them.
    room: usize,
    /// Whether they were more. An end that comes later is then not counted: too many are unknown, never too few.
    forgot: bool,
}

struct Open {
    session: SessionId,
    time: Time,
    allowed: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self::with_room(MAX_OPEN)
    }
}

impl Tally {
    pub(super) fn with_room(room: usize) -> Self {
        let (by_name, by_number) = (HashMap::new(), BTreeMap::new());
        Self { sessions: Sessions::default(), by_name, by_number, room, forgot: false }
    }

    /// Takes in a line.
    ///
    /// # Errors
    /// [`Broken::Session`] for a line that no release writes at this place.
    pub(super) fn count(&mut self, link: &Link) -> Result<(), Broken> {
        match &link.line.event {
            Event::Decided(decided) => self.decided(link, decided),
            Event::Ended(ended) => self.ended(link, ended),
            Event::Recovered(_) => Ok(()),
        }
    }

    fn decided(&mut self, link: &Link, decided: &Decided) -> Result<(), Broken> {
        let (number, time) = (link.line.number, link.line.time);
        if self.by_name.insert(decided.session, number).is_some() {
            return Err(broken(link, decided.session, "is decided on twice"));
        }
        self.sessions.decided += 1;
        let open = Open { session: decided.session, time, allowed: decided.allowed };
        self.by_number.insert(number, open);
        if self.by_name.len() > self.room
            && let Some((_, first)) = self.by_number.pop_first()
        {
            self.by_name.remove(&first.session);
            self.sessions.without_end(&first);
            self.forgot = true;
        }
        Ok(())
    }

    fn ended(&mut self, link: &Link, ended: &Ended) -> Result<(), Broken> {
        let decision = self.by_name.remove(&ended.session).and_then(|number| self.by_number.remove(&number));
        match (decision, ended.outcome) {
            (None, _) if self.forgot => return Ok(()),
            (None, _) => return Err(broken(link, ended.session, "ends without a decision before")),
            (Some(Open { allowed: false, .. }), End::Released | End::Lost) => {
                return Err(broken(link, ended.session, "was refused, and yet has another end"));
            }
            (Some(_), _) => {}
        }
        match ended.outcome {
            End::Released => self.sessions.released += 1,
            End::Refused => self.sessions.refused += 1,
            End::Lost => self.sessions.lost += 1,
        }
        Ok(())
    }

    /// The counts, and the last sessions of unknown outcome.
    pub(super) fn close(mut self) -> (Sessions, Vec<Unknown>) {
        let mut listed = Vec::new();
        for (number, open) in self.by_number.iter().rev() {
            self.sessions.without_end(open);
            if open.allowed && listed.len() < MAX_LISTED {
                let (time, session) = (open.time.to_string(), open.session.to_string());
                listed.push(Unknown { line: *number, time, session });
            }
        }
        listed.reverse();
        (self.sessions, listed)
    }
}

impl Sessions {
    fn without_end(&mut self, open: &Open) {
        if open.allowed {
            self.outcome_unknown += 1;
        } else {
            // Nothing was sent: the decision itself is the refusal.
            self.refused += 1;
        }
    }
}

fn broken(link: &Link, session: SessionId, what: &'static str) -> Broken {
    Broken::Session { at: link.at, session: session.to_string(), what }
}
