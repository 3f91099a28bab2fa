//! The end of a log: the line that the next one follows, and what a crash has left behind it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::hex::Digest;
use super::line::{BEGINNING, Line, MAX_LINE_BYTES};

/// Most that a crash can leave: a part of a line, and of the notes on crashes while that was being mended.
pub(super) const MAX_TORN_BYTES: usize = 2 * MAX_LINE_BYTES;

/// Most of a log that is read to find its end, in bytes: the last line, the line feed before it, what may follow it.
const MAX_WINDOW: usize = 1 + MAX_LINE_BYTES + MAX_TORN_BYTES;

/// What is read at first: most lines are far shorter.
const FIRST_WINDOW: usize = 64 * 1024;

/// What the next line has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Number of the last whole line; 0 if there is none.
    pub(super) number: u64,
    /// Its digest.
    pub(super) head: Digest,
    pub(super) torn: Option<Torn>,
}

/// Bytes behind the last whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// SHA-256 of them and of `mark`.
    pub(super) sha256: Digest,
    /// What is still to be written behind them, so that the next line is on a line of its own.
    pub(super) mark: &'static [u8],
}

/// Ends a line that a crash has cut off. Whatever it was, it is no JSON from then on, though nothing but its line feed
/// was missing: nobody was told that it had been written.
const TORN_MARK: &[u8] = b"#\n";

/// Why a file has no end that a line could follow.
#[derive(Debug)]
pub(super) enum NoTail {
    /// It does not begin like a log.
    NotALog,
    /// It begins like one, but its end holds no line and is more than a crash leaves.
    Damaged,
    Read(io::Error),
}

impl Tail {
    /// Reads the end of a file of this length, which nobody else writes to meanwhile.
    pub(super) fn read(file: &File, length: u64) -> Result<Self, NoTail> {
        if length == 0 {
            return Ok(Self::default());
        }
        let (start, _) = read_at(file, 0, length, BEGINNING.len())?;
        if !begins_a_log(&start) {
            return Err(NoTail::NotALog);
        }
        let mut window = FIRST_WINDOW;
        loop {
            let from = length.saturating_sub(window as u64);
            let (bytes, whole_file) = read_at(file, from, length, window)?;
            match last_line(&bytes, whole_file) {
                Some(tail) => return tail,
                None if whole_file => return Ok(Self { torn: torn(&bytes)?, ..Self::default() }),
                None if window < MAX_WINDOW => window = (window * 4).min(MAX_WINDOW),
                None => return Err(NoTail::Damaged),
            }
        }
    }
}

/// Whether a file that begins so is a log, or what a crash has left of its first line.
fn begins_a_log(start: &[u8]) -> bool {
    let alike = start.iter().zip(BEGINNING.as_bytes()).take_while(|(found, wanted)| found == wanted).count();
    alike == start.len() || (alike > 0 && start.get(alike..).is_some_and(|rest| rest.starts_with(b"#")))
}

/// At most so many bytes from there, and whether they are all that the file has.
fn read_at(file: &File, from: u64, length: u64, most: usize) -> Result<(Vec<u8>, bool), NoTail> {
    let left = usize::try_from(length - from.min(length)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(most)];
    file.read_exact_at(&mut bytes, from).map_err(NoTail::Read)?;
    Ok((bytes, from == 0 && left <= most))
}

/// The last line that is one, and what follows it. Lines that may begin before these bytes do not count.
fn last_line(bytes: &[u8], whole_file: bool) -> Option<Result<Tail, NoTail>> {
    let mut end = last_feed(bytes)? + 1;
    loop {
        let feed = last_feed(bytes.get(..end - 1)?);
        let start = match feed {
            Some(feed) => feed + 1,
            None if whole_file => 0,
            None => return None,
        };
        let line = bytes.get(start..end)?;
        if let Ok(Line { number, .. }) = Line::parse(line) {
            let torn = torn(bytes.get(end..)?);
            return Some(torn.map(|torn| Tail { number, head: Digest::of(line), torn }));
        }
        end = feed? + 1;
    }
}

fn last_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n')
}

fn torn(bytes: &[u8]) -> Result<Option<Torn>, NoTail> {
    let mark = match bytes.last() {
        None => return Ok(None),
        Some(b'\n') => &b""[..],
        Some(_) => TORN_MARK,
    };
    if bytes.len() + mark.len() > MAX_TORN_BYTES {
        return Err(NoTail::Damaged);
    }
    Ok(Some(Torn { sha256: Digest::of(&[bytes, mark].concat()), mark }))
}
