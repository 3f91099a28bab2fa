//! The program `uwear`: reads the command line, calls the command, ends with its exit code.

mod advice;
mod audit;
mod cli;
mod clock;
mod evidence;
mod exit;
mod inspect;
mod load;
mod nights;
mod owner;
mod progress;
mod release;
mod report;
mod text;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::cli::{Command, CommandLine};

/// Whatever is freed is wiped, also by libraries.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

fn main() -> ExitCode {
    if let Err(error) = hardening::begin() {
        let _ = writeln!(io::stderr(), "uwear: {error}");
        return ExitCode::FAILURE;
    }
    let CommandLine { command, release } = CommandLine::parse();
    let ended = match command {
        None => release::run(&release),
        Some(Command::Release(arguments)) => release::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Inspect(arguments)) => inspect::run(&arguments),
        Some(Command::Evidence(command)) => evidence::run(&command),
        Some(Command::Policy(command)) => owner::policy(&command),
        Some(Command::Baseline(command)) => owner::baseline(&command),
        Some(Command::Audit(command)) => audit::run(&command),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let next = if failure.next.is_empty() {
                String::new()
            } else {
                format!("\n      next     {}", failure.next)
            };
            // Nobody may be reading; the exit code says it too.
            let _ = writeln!(io::stderr(), "uwear: {}{next}", failure.what);
            failure.exit.into()
        }
    }
}

/// One object on one line of standard output.
fn print_json(object: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(object) {
        let _ = writeln!(io::stdout(), "{json}");
    }
}
