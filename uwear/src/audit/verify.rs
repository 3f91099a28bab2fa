//! `uwear audit verify`: whether a log is unbroken, how its sessions ended, and its head.

use serde::Serialize;

use super::chain::{self, Broken, Link, Walked};
use super::hex::Digest;
use super::log::Position;
use super::source::Source;
use super::tally::{MAX_LISTED, Sessions, Tally, Unknown};
use super::{LogArguments, VerifyArguments};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load::shown;
use crate::text::Printer;

/// The one object of `--format json`.
#[derive(Serialize)]
struct Object<'a> {
    outcome: &'static str,
    exit_code: u8,
    file: String,
    /// Whole lines that follow each other.
    lines: u64,
    head: Option<Digest>,
    /// The number of the line that the known head is the digest of.
    known_head_line: Option<u64>,
    sessions: Option<&'a Sessions>,
    /// Sessions of unknown outcome, the last ones.
    unknown: &'a [Unknown],
    /// Crashes that later lines note.
    recovered: u64,
    /// Whether a line at the end is cut off.
    torn: bool,
    /// Where and how it is broken.
    fault: Option<String>,
    /// What cannot be excluded.
    not_excluded: Option<String>,
}

/// An unbroken log that holds the head that is known, if one is.
pub(super) struct Intact {
    pub(super) walked: Walked,
    pub(super) known_at: Option<u64>,
}

/// Why a log is not taken for what was written.
pub(super) enum Changed {
    Broken(Broken),
    /// The head that is known is that of none of its lines.
    HeadMissing {
        head: Digest,
        lines: u64,
    },
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::HeadMissing { head, lines } => {
                write!(
                    f,
                    "none of the {lines} lines has the head {head}: lines were cut off, or all written anew"
                )
            }
        }
    }
}

impl Intact {
    /// What no chain can show by itself.
    fn not_excluded(&self) -> String {
        match self.known_at {
            Some(known) => format!("that lines after line {known} were cut off, or written anew"),
            None => {
                "that lines were cut off at the end, or all written anew; give a head that you noted, --head"
                    .into()
            }
        }
    }
}

/// Reads the whole log, and hands on each line.
pub(super) fn read(
    arguments: &LogArguments,
    mut each: impl FnMut(&Link) -> Result<(), Broken>,
) -> Result<Result<Intact, Changed>, Failure> {
    let file = shown(&arguments.file);
    let source = Source::open(&arguments.file)
        .map_err(|error| Failure::usage(format!("audit log {file}: {error}"), error.next()))?;
    let mut known_at = None;
    let walked = chain::walk(source, |link| {
        if arguments.head == Some(link.sha256) {
            known_at = Some(link.line.number);
        }
        each(&link)
    });
    let walked = match walked {
        Ok(walked) => walked,
        Err(Broken::Read(error)) => {
            return Err(Failure::usage(format!("audit log {file}: reading it: {error}"), "see to the disk"));
        }
        Err(broken) => return Ok(Err(Changed::Broken(broken))),
    };
    match arguments.head {
        Some(head) if known_at.is_none() => {
            let lines = walked.last.map_or(0, |last| last.number);
            Ok(Err(Changed::HeadMissing { head, lines }))
        }
        _ => Ok(Ok(Intact { walked, known_at })),
    }
}

pub(super) fn run(arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let mut tally = Tally::default();
    let read = read(&arguments.log, |link| tally.count(link))?;
    let exit = if read.is_ok() { Exit::Done } else { Exit::Unexpected };
    let (sessions, unknown) = tally.close();
    let file = shown(&arguments.log.file);
    match (arguments.output.format, &read) {
        (Format::Json, Ok(intact)) => crate::print_json(&Object {
            outcome: "intact",
            exit_code: exit.code(),
            file,
            lines: intact.walked.last.map_or(0, |last| last.number),
            head: intact.walked.last.map(|last| last.head),
            known_head_line: intact.known_at,
            sessions: Some(&sessions),
            unknown: &unknown,
            recovered: intact.walked.recovered,
            torn: intact.walked.torn,
            fault: None,
            not_excluded: Some(intact.not_excluded()),
        }),
        (Format::Json, Err(changed)) => crate::print_json(&Object {
            outcome: "changed",
            exit_code: exit.code(),
            file,
            lines: 0,
            head: None,
            known_head_line: None,
            sessions: None,
            unknown: &[],
            recovered: 0,
            torn: false,
            fault: Some(changed.to_string()),
            not_excluded: None,
        }),
        (Format::Text, Ok(intact)) => print(intact, &sessions, &unknown),
        (Format::Text, Err(changed)) => print_changed(changed),
    }
    Ok(exit)
}

fn print(intact: &Intact, sessions: &Sessions, unknown: &[Unknown]) {
    let mut printer = Printer::new(Format::Text);
    let Some(Position { number: lines, head }) = intact.walked.last else {
        printer.line("EMPTY: no line was ever written, or all were cut off");
        return;
    };
    match intact.known_at {
        Some(known) => printer.verdict((
            "INTACT",
            true,
            &format!(": {lines} lines, certain up to line {known}, whose head you know"),
        )),
        None => printer.verdict(("INTACT", true, &format!(": {lines} lines, each follows the one before"))),
    }
    printer.line("");
    printer.line(format_args!(
        "sessions   {}: {} released, {} refused, {} lost, {} of unknown outcome",
        sessions.decided, sessions.released, sessions.refused, sessions.lost, sessions.outcome_unknown
    ));
    for (index, session) in unknown.iter().enumerate() {
        let heading = if index == 0 { "unknown" } else { "" };
        let Unknown { line, time, session } = session;
        printer.line(format_args!(
            "{heading:<10} line {line}, {time}, session {session}: released, outcome unknown"
        ));
    }
    if sessions.outcome_unknown > MAX_LISTED as u64 {
        printer.line(format_args!("{:<10} and {} before", "", sessions.outcome_unknown - MAX_LISTED as u64));
    }
    if intact.walked.recovered > 0 {
        printer.line(format_args!("crashes    {}, noted and passed over", intact.walked.recovered));
    }
    if intact.walked.torn {
        printer.line(
            "torn       the last line is cut off: a crash while it was written; the next release notes it",
        );
    }
    printer.line(format_args!("head       {head}"));
    printer.line(format_args!("not excluded: {}", intact.not_excluded()));
}

/// What is said of a log that is not what was written.
pub(super) fn print_changed(changed: &Changed) {
    let mut printer = Printer::new(Format::Text);
    printer.verdict(("CHANGED", false, &format!(": {changed}")));
    printer.line("");
    printer.line("next       keep this file as it is; compare it with a copy, and ask who could write it");
}
