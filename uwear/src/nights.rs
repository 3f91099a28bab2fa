//! Health data of many nights: NDJSON, checked and cut into messages as it is read, in memory that does not grow with the
//! file.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use attestation::Phi;
use sleep::{MAX_NIGHT_LINE_BYTES, Nights, NightsError, RuleSet};
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::load::{cannot_be_read, shown};
use crate::progress::Progress;

/// Bytes of whole lines in a message, at most. Enough that the way there and back costs little, and small beside what
/// either end holds anyway.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Some whole lines, each of them a night.
pub(crate) struct Chunk {
    pub(crate) phi: Phi,
    /// Number of the first of them, from 1.
    pub(crate) first: u32,
    /// How many they are.
    pub(crate) count: usize,
}

/// The nights of a file or of standard input, from the first to the last. Nothing comes out of it that is not a night of
/// the same person as those before.
pub(crate) struct NightLines {
    file: PathBuf,
    lines: Lines<'static>,
    next: Option<Chunk>,
    /// Length of a file, in bytes.
    length: Option<u64>,
}

impl NightLines {
    /// Opens it and reads the first message. A file is read through and checked to its end, so that nothing of one with a
    /// wrong line leaves; standard input, or a pipe, cannot be.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        let name = shown(file);
        let unreadable = |error| cannot_be_read(file, "health data", &error);
        let (lines, length) = if file == Path::new("-") {
            (Lines::of(Box::new(hardening::unbuffered_stdin().map_err(unreadable)?)), None)
        } else {
            let mut opened = File::open(file).map_err(unreadable)?;
            let about = opened.metadata().map_err(unreadable)?;
            if about.is_file() {
                check(&mut opened, about.len()).map_err(|error| wrong(&name, &error))?;
                opened.rewind().map_err(unreadable)?;
            }
            let length = about.is_file().then_some(about.len());
            (Lines::of(Box::new(opened)), length)
        };
        let mut nights = Self { file: file.to_owned(), lines, next: None, length };
        nights.next = nights.read()?;
        Ok(nights)
    }

    /// The file, if it is one that can be opened and read again.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.length.map(|_| self.file.as_path())
    }

    /// How long the file is in bytes, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next message; `None`: that was the last. The error says which line is wrong.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        match self.next.take() {
            // What comes behind it is only read once this is on its way.
            Some(first) => Ok(Some(first)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Option<Chunk>, Failure> {
        self.lines.next().map_err(|error| wrong(&shown(&self.file), &error))
    }
}

/// Reads a file through.
fn check(file: &mut File, length: u64) -> Result<(), LineError> {
    let mut progress = Progress::of_bytes("checking", Some(length));
    let mut lines = Lines::of(Box::new(file));
    while let Some(chunk) = lines.next()? {
        progress.advance(chunk.phi.expose().len());
    }
    Ok(())
}

fn wrong(file: &str, error: &LineError) -> Failure {
    Failure::usage(
        format!("health data {file}: {error}"),
        "correct the line; `usleep analyze FILE --nights` checks all of them offline",
    )
}

/// Why there are no more lines. Holds nothing of them.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Night(#[from] NightsError),
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("too large, wanted lines of at most {MAX_NIGHT_LINE_BYTES} bytes")]
    TooLarge,
}

/// Cuts what it reads after line feeds, and checks it.
struct Lines<'a> {
    reader: Box<dyn Read + 'a>,
    /// `None` once the end has been reached and is as it should be.
    nights: Option<Nights>,
    /// The beginning of a line, read with the lines before it.
    rest: Zeroizing<Vec<u8>>,
}

impl<'a> Lines<'a> {
    fn of(reader: Box<dyn Read + 'a>) -> Self {
        let nights = Some(Nights::new(RuleSet::default()));
        Self { reader, nights, rest: Zeroizing::new(Vec::with_capacity(MAX_NIGHT_LINE_BYTES + 1)) }
    }

    fn next(&mut self) -> Result<Option<Chunk>, LineError> {
        let Some(nights) = &mut self.nights else { return Ok(None) };
        // Its final size from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MESSAGE_BYTES));
        bytes.extend_from_slice(&self.rest);
        self.rest.clear();
        let room = MESSAGE_BYTES.saturating_sub(bytes.len());
        let read = self.reader.by_ref().take(room as u64).read_to_end(&mut bytes)?;
        if read < room {
            // The end: a line that has none is an error here.
            let results = nights.push(&bytes)?;
            let chunk = chunk(bytes, results.first_night(), results.len())?;
            if let Some(nights) = self.nights.take() {
                nights.finish()?;
            }
            return Ok(chunk);
        }
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = bytes.get(end..).unwrap_or_default();
        if rest.len() > MAX_NIGHT_LINE_BYTES {
            // Says which line.
            nights.push(&bytes)?;
            return Err(LineError::TooLarge);
        }
        self.rest.extend_from_slice(rest);
        bytes.truncate(end);
        let results = nights.push(&bytes)?;
        chunk(bytes, results.first_night(), results.len())
    }
}

fn chunk(bytes: Zeroizing<Vec<u8>>, first: u32, count: usize) -> Result<Option<Chunk>, LineError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let phi = Phi::new(bytes).map_err(|_| LineError::TooLarge)?;
    Ok(Some(Chunk { phi, first, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(light: usize) -> String {
        format!(
            "{{\"name\":\"Amy\",\"age\":29,\"sleep\":{{\"light\":{{\"minutes\":{light}}},\"deep\":{{\"minutes\":80}},\"rem\":{{\"minutes\":110}}}}}}\n"
        )
    }

    /// Every message, or the first error.
    fn all(text: &str) -> Result<Vec<Chunk>, String> {
        let mut lines = Lines::of(Box::new(text.as_bytes()));
        let mut chunks = Vec::new();
        while let Some(chunk) = lines.next().map_err(|error| error.to_string())? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    #[test]
    fn messages_are_whole_lines_of_at_most_their_size_and_together_the_file() {
        let text: String = (0..10_000).map(|number| line(100 + number % 90)).collect();
        let chunks = all(&text).unwrap();
        assert!(chunks.len() > 2, "{}", chunks.len());
        let mut first = 1;
        for chunk in &chunks {
            let bytes = chunk.phi.expose();
            assert!(bytes.len() <= MESSAGE_BYTES && bytes.ends_with(b"\n"));
            assert_eq!(
                (chunk.first, chunk.count),
                (first, bytes.iter().filter(|byte| **byte == b'\n').count())
            );
            first += u32::try_from(chunk.count).unwrap();
        }
        let together: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.phi.expose().to_vec()).collect();
        assert_eq!(together, text.as_bytes());
    }

    #[test]
    fn a_wrong_line_is_named_wherever_it_is() {
        let many: String = (0..5000).map(|_| line(270)).collect();
        let rows = [
            ("", "no night, wanted at least one line"),
            ("\n", "line 1: empty, wanted one night on each line"),
            ("{}\n", "line 1: name: missing"),
            (&(line(270) + "x"), "line 2: cut off, wanted a line feed at its end"),
            (&(many.clone() + "{}\n" + &many), "line 5001: name: missing"),
            (&(many.clone() + &line(270).replace("29", "30")), "line 5001: age: not that of line 1"),
            (&(many + &" ".repeat(2 * MESSAGE_BYTES)), "line 5001: too long, wanted at most 4096 bytes"),
        ];
        for (text, wanted) in rows {
            let error = all(text).map(|chunks| chunks.len()).unwrap_err();
            assert!(error.starts_with(wanted), "wanted {wanted:?}, got {error:?}");
        }
    }

    #[test]
    fn a_file_that_ends_with_a_message_is_not_followed_by_an_empty_one() {
        // Lines that fill messages exactly.
        let length = 128;
        let padded = line(270);
        let padded = padded.trim_end().to_owned() + &" ".repeat(length - padded.len()) + "\n";
        let text = padded.repeat(2 * MESSAGE_BYTES / length);
        let chunks = all(&text).unwrap();
        assert_eq!(
            chunks.iter().map(|chunk| chunk.phi.expose().len()).collect::<Vec<_>>(),
            [MESSAGE_BYTES; 2]
        );
    }
}
