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

use sleep::{Analysis, InputError, Night, RuleSet};

/// Apply the sleep rules to a file, offline
///
/// The file is the JSON that uwear releases to the server: one night of one person, minutes for each
/// stage of sleep. Nothing is sent anywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// JSON file with the night, or - for standard input; at most 1 MiB
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

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
            Self::Input { .. } | Self::Read { .. } | Self::TooLarge { .. } => 2,
            Self::Write(_) => 1,
        }
    }
}

/// Reads the file, or `stdin` if it is `-`, applies the rules, and prints the result to `stdout`.
///
/// # Errors
/// [`Error`]; then nothing has been printed, unless `stdout` itself failed.
pub fn run(arguments: &Arguments, stdin: impl Read, mut stdout: impl Write) -> Result<(), Error> {
    let night = read_night(&arguments.file, stdin)?;
    let analysis = Analysis::new(&night, arguments.rules);
    match arguments.format {
        Format::Text => stdout.write_all(analysis.to_text().as_bytes())?,
        Format::Json => {
            stdout.write_all(&analysis.to_json().map_err(io::Error::from)?)?;
            stdout.write_all(b"\n")?;
        }
    }
    Ok(stdout.flush()?)
}

fn read_night(path: &Path, stdin: impl Read) -> Result<Night, Error> {
    let (file, bytes) = if path == Path::new("-") {
        ("standard input".to_owned(), read_bounded(stdin))
    } else {
        (printable(&path.to_string_lossy()), File::open(path).and_then(read_bounded))
    };
    match bytes {
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
