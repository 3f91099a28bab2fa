//! `uwear baseline diff`: what a change lets in and shuts out.

use policy::{Change, Effect};
use serde::Serialize;

use super::{DiffArguments, LOOK};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load;
use crate::report::Source;
use crate::text::{GOOD, NAME, Printer, QUIET, short};

/// The one object of `--format json`.
#[derive(Serialize)]
struct Object<'a> {
    old: Source,
    new: Source,
    changes: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    effect: &'static str,
    what: &'a str,
}

pub(super) fn run(arguments: &DiffArguments) -> Result<Exit, Failure> {
    let (old, old_name) = load::baseline(Some(&arguments.old))?;
    let (new, new_name) = load::baseline(Some(&arguments.new))?;
    let changes = old.changes_to(&new);
    let old = Source { name: old_name, sha256: old.sha256().to_owned() };
    let new = Source { name: new_name, sha256: new.sha256().to_owned() };
    match arguments.output.format {
        Format::Json => crate::print_json(&Object {
            old,
            new,
            changes: changes
                .iter()
                .map(|change| Row {
                    key: &change.key,
                    effect: match change.effect {
                        Effect::LetsIn => "lets-in",
                        Effect::ShutsOut => "shuts-out",
                        _ => "other",
                    },
                    what: &change.what,
                })
                .collect(),
        }),
        Format::Text => print(&changes, &old, &new),
    }
    Ok(Exit::Done)
}

fn print(changes: &[Change], old: &Source, new: &Source) {
    let mut printer = Printer::new(Format::Text);
    let count = |effect| changes.iter().filter(|change| change.effect == effect).count();
    if changes.is_empty() {
        printer.line("no difference");
    } else {
        printer.line(format_args!(
            "{} let in, {} shut out, {} other",
            count(Effect::LetsIn),
            count(Effect::ShutsOut),
            count(Effect::Other)
        ));
    }
    let mut key = "";
    for change in changes {
        if change.key != key {
            key = &change.key;
            printer.line("");
            printer.line(format_args!("{NAME}{key}{NAME:#}"));
        }
        let what = &change.what;
        match change.effect {
            Effect::LetsIn => printer.line(format_args!("  {LOOK}lets in   {LOOK:#} {what}")),
            Effect::ShutsOut => printer.line(format_args!("  {GOOD}shuts out {GOOD:#} {what}")),
            _ => printer.line(format_args!("  changed    {what}")),
        }
    }
    printer.line("");
    printer.line(format_args!(
        "{QUIET}old {} sha256 {}   new {} sha256 {}{QUIET:#}",
        old.name,
        short(&old.sha256),
        new.name,
        short(&new.sha256),
    ));
}
