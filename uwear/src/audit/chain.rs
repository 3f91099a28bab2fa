//! Reading a log from its beginning: every line follows the one before, or the first that does not is named.
//!
//! Any size of file is read in the same memory. What a crash has left is skipped where a note with its digest follows it.

use std::io::{self, BufRead, Read as _};

use super::hex::{Digest, Hash};
use super::line::{Event, Line, MAX_LINE_BYTES, Malformed};
use super::log::Position;
use super::tail::MAX_TORN_BYTES;

/// A line that counts.
#[derive(Debug)]
pub(super) struct Link {
    /// The line of the file, from 1. It is the line's number unless a crash has left lines that do not count.
    pub(super) at: u64,
    pub(super) sha256: Digest,
    pub(super) line: Line,
}

/// What a log that is unbroken to its end comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// The last line; none in an empty log.
    pub(super) last: Option<Position>,
    /// Notes on crashes.
    pub(super) recovered: u64,
    /// Whether there are bytes behind the last line that no note explains yet.
    pub(super) torn: bool,
}

/// Where a log is broken, and why. Printable.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("line {at} is no line of an audit log: {error}")]
    Malformed { at: u64, error: Malformed },
    #[error("line {at} is too long: wanted at most {MAX_LINE_BYTES} bytes")]
    TooLong { at: u64 },
    #[error(
        "line {at} does not follow the line before: wanted number {wanted}, got {got}; lines were removed, inserted \
         or put in another order"
    )]
    Number { at: u64, wanted: u64, got: u64 },
    #[error(
        "line {at} does not follow the line before: wanted previous {wanted}, got {got}; this line or that one was \
         changed"
    )]
    Previous { at: u64, wanted: Digest, got: Digest },
    #[error("line {at} notes a crash, but nothing torn stands before it; lines were removed")]
    NothingTorn { at: u64 },
    #[error("line {at}: session {session} {what}")]
    Session { at: u64, session: String, what: &'static str },
    #[error("reading it: {0}")]
    Read(io::Error),
}

/// Reads lines and hands on those that count.
///
/// # Errors
/// [`Broken`], the first place, or what `each` refuses.
pub(super) fn walk(
    mut source: impl BufRead,
    mut each: impl FnMut(Link) -> Result<(), Broken>,
) -> Result<Walked, Broken> {
    let mut chain = Chain::default();
    let mut bytes = Vec::new();
    let torn = loop {
        bytes.clear();
        let at = chain.at + 1;
        let limit = MAX_LINE_BYTES as u64 + 1;
        (&mut source).take(limit).read_until(b'\n', &mut bytes).map_err(Broken::Read)?;
        if bytes.len() > MAX_LINE_BYTES {
            return Err(Broken::TooLong { at });
        }
        if bytes.last() != Some(&b'\n') {
            break !bytes.is_empty();
        }
        if let Some(link) = chain.follow(&bytes)? {
            each(link)?;
        }
    };
    if let Some(region) = chain.region {
        return Err(region.fault);
    }
    let last = (chain.number > 0).then_some(Position { number: chain.number, head: chain.head });
    Ok(Walked { last, recovered: chain.recovered, torn })
}

#[derive(Default)]
struct Chain {
    /// Lines read.
    at: u64,
    /// The last line that counts.
    number: u64,
    head: Digest,
    region: Option<Region>,
    recovered: u64,
}

/// Lines that are none, until a note explains them.
struct Region {
    hash: Hash,
    length: usize,
    /// What is wrong with the first, if no note does.
    fault: Broken,
}

impl Chain {
    /// Takes in a line, and gives it back if it counts.
    fn follow(&mut self, bytes: &[u8]) -> Result<Option<Link>, Broken> {
        self.at += 1;
        match Line::parse(bytes) {
            Ok(line) => self.accept(bytes, line).map(Some),
            Err(error) => self.explain_later(bytes, error).map(|()| None),
        }
    }

    fn explain_later(&mut self, bytes: &[u8], error: Malformed) -> Result<(), Broken> {
        let at = self.at;
        let region = self.region.get_or_insert_with(|| Region {
            hash: Hash::default(),
            length: 0,
            fault: Broken::Malformed { at, error },
        });
        region.hash.update(bytes);
        region.length += bytes.len();
        match self.region.take_if(|region| region.length > MAX_TORN_BYTES) {
            Some(region) => Err(region.fault),
            None => Ok(()),
        }
    }

    fn accept(&mut self, bytes: &[u8], line: Line) -> Result<Link, Broken> {
        let (at, wanted) = (self.at, self.number + 1);
        match (&line.event, self.region.take()) {
            (Event::Recovered(note), Some(region)) if note.torn == region.hash.digest() => {
                self.recovered += 1
            }
            (Event::Recovered(_), None) => return Err(Broken::NothingTorn { at }),
            (_, Some(region)) => return Err(region.fault),
            (_, None) => {}
        }
        if line.number != wanted {
            return Err(Broken::Number { at, wanted, got: line.number });
        }
        if line.previous != self.head {
            return Err(Broken::Previous { at, wanted: self.head, got: line.previous });
        }
        self.number = line.number;
        self.head = Digest::of(bytes);
        Ok(Link { at, sha256: self.head, line })
    }
}
