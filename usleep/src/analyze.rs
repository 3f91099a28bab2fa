//! `usleep analyze`: the sleep rules on a file, offline.
//!
//! Prints to the one who holds the data already, so the result may be shown; errors still hold
//! nothing of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use attestation::message::MAX_PHI_BYTES;
use attestation::printable;
use zeroize::Zeroizing;

use sleep::{Analysis, InputError, Night, Nights, NightsError, RuleSet};

/// Bytes of many nights that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Apply the sleep rules to a file, offline
///
/// The file is the JSON that uwear releases to the server: one night of one person, minutes for each
/// stage of sleep. With --nights it holds any number of such nights of one person, a line each. Nothing is sent
/// anywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// JSON file with the night, or - for standard input; at most 1 MiB, with --nights of any length
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The file holds many nights of one person, each on a line of its own (NDJSON): print a result for each,
    /// then a summary of all
    #[arg(long)]
    pub nights: bool,

    /// Rules that lead the result; it holds what both say
    #[arg(long, value_enum, default_value_t)]
    pub rules: RuleSet,

    /// How to print the result: text for people, json as the server sends it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

const EXAMPLE: &str = r#"Example:
  $ cat amy.json
  {"name":"Amy","age":29,"sleep":{"light":{"minutes":270},"deep":{"minutes":135},"rem":{"minutes":105}}}
  $ usleep analyze amy.json --rules codelab
  $ cat amy.json amy.json | usleep analyze - --nights

Exit status: 0 analysed, 1 unexpected, 2 the arguments or the file cannot be used."#;

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// The result message, one object on one line.
    Json,
}

/// Why there is no result. Holds the name of the file and nothing of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The content is not a night.
    #[error("{file}: {reason}")]
    Input {
        /// The file, printable.
        file: String,
        /// What is wrong in it.
        reason: InputError,
    },
    /// A line of the content is not a night, or not one of the same person.
    #[error("{file}: {reason}")]
    Nights {
        /// The file, printable.
        file: String,
        /// What is wrong in it, and on which line.
        reason: NightsError,
    },
    /// The file cannot be opened or read.
    #[error("{file}: {reason}")]
    Read {
        /// The file, printable.
        file: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is longer than what a message may carry. Noticed at the first byte too many.
    #[error("{file}: too large, wanted at most {MAX_PHI_BYTES} bytes")]
    TooLarge {
        /// The file, printable.
        file: String,
    },
    /// The result cannot be printed.
    #[error("writing the result: {0}")]
    Write(#[from] io::Error),
}

impl Error {
    /// The exit status of the program: 1 unexpected, 2 a file that cannot be used.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Nights { .. } | Self::Read { .. } | Self::TooLarge { .. } => 2,
            Self::Write(_) => 1,
        }
    }

    /// What to do about it, where its words do not say so already.
    pub fn next(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => Some("name a file that this user may read"),
            _ => None,
        }
    }
}

/// Reads the file, or `stdin` if it is `-`, applies the rules, and prints the result to `stdout`.
///
/// # Errors
/// [`Error`]; then nothing has been printed, unless `stdout` itself failed. Of many nights results may have been
/// printed, but no summary.
pub fn run(arguments: &Arguments, stdin: impl Read, mut stdout: impl Write) -> Result<(), Error> {
    if arguments.nights {
        return analyze_nights(arguments, stdin, stdout);
    }
    let night = read_night(&arguments.file, stdin)?;
    let analysis = Analysis::new(&night, arguments.rules);
    match arguments.format {
        Format::Text => stdout.write_all(analysis.to_text().as_bytes())?,
        Format::Json => write_line(&mut stdout, &analysis.to_json().map_err(io::Error::from)?)?,
    }
    Ok(stdout.flush()?)
}

/// Results are printed as the nights are read, so that no file is too long.
fn analyze_nights(arguments: &Arguments, stdin: impl Read, mut stdout: impl Write) -> Result<(), Error> {
    let (file, opened) = open(&arguments.file, stdin);
    let failed = |reason| Error::Read { file: file.clone(), reason };
    let wrong = |reason| Error::Nights { file: file.clone(), reason };
    let mut reader = opened.map_err(failed)?;
    let mut nights = Nights::new(arguments.rules);
    let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let results = nights.push(chunk.get(..count).unwrap_or_default()).map_err(wrong)?;
        match arguments.format {
            Format::Text => stdout.write_all(results.to_text().as_bytes())?,
            Format::Json if results.is_empty() => {}
            Format::Json => write_line(&mut stdout, &results.to_json().map_err(io::Error::from)?)?,
        }
    }
    let summary = nights.finish().map_err(wrong)?;
    match arguments.format {
        Format::Text => stdout.write_all(summary.to_text().as_bytes())?,
        Format::Json => write_line(&mut stdout, &summary.to_json().map_err(io::Error::from)?)?,
    }
    Ok(stdout.flush()?)
}

fn write_line(stdout: &mut impl Write, json: &[u8]) -> io::Result<()> {
    stdout.write_all(json)?;
    stdout.write_all(b"\n")
}

/// The name to show, and what is to be read.
fn open<'a>(path: &Path, stdin: impl Read + 'a) -> (String, io::Result<Box<dyn Read + 'a>>) {
    if path == Path::new("-") {
        return ("standard input".to_owned(), Ok(Box::new(stdin)));
    }
    let file = File::open(path).map(|file| Box::new(file) as Box<dyn Read>);
    (printable(&path.to_string_lossy()), file)
}

fn read_night(path: &Path, stdin: impl Read) -> Result<Night, Error> {
    let (file, opened) = open(path, stdin);
    match opened.and_then(read_bounded) {
        Ok(bytes) if bytes.len() > MAX_PHI_BYTES => Err(Error::TooLarge { file }),
        Ok(bytes) => Night::parse(&bytes).map_err(|reason| Error::Input { file, reason }),
        Err(reason) => Err(Error::Read { file, reason }),
    }
}

/// Reads at most one byte more than is allowed, into a buffer that never has to grow: a buffer that
/// grows leaves what it held behind in freed memory.
fn read_bounded(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = MAX_PHI_BYTES.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    from.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
