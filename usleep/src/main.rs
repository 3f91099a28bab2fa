//! The program `usleep`: reads the command line and calls the library.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Whatever is freed is wiped, also by libraries.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// Analyses sleep data inside a Confidential Space VM
///
/// Without a command it serves, see usleep serve --help: it proves itself to each client with an
/// attestation token that is bound to the TLS session, then takes health data and answers.
#[derive(Debug, Parser)]
#[command(name = "usleep", version, args_conflicts_with_subcommands = true, after_long_help = usleep::serve::AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: usleep::serve::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<usleep::serve::Arguments>),
    Analyze(usleep::analyze::Arguments),
}

fn analyze(arguments: &usleep::analyze::Arguments) -> Result<(), (String, u8)> {
    let stdin = hardening::unbuffered_stdin().map_err(|error| (format!("standard input: {error}"), 1))?;
    usleep::analyze::run(arguments, stdin, io::stdout())
        .map_err(|error| (with_next(&error, error.next()), error.exit_code()))
}

/// What is wrong, and what to do about it.
fn with_next(error: &impl std::fmt::Display, next: Option<&str>) -> String {
    next.map_or_else(|| error.to_string(), |next| format!("{error}; {next}"))
}

fn main() -> ExitCode {
    if let Err(error) = hardening::begin() {
        let _ = writeln!(io::stderr(), "usleep: {error}");
        return ExitCode::FAILURE;
    }
    let CommandLine { command, serve } = CommandLine::parse();
    let ended = match command.unwrap_or(Command::Serve(Box::new(serve))) {
        Command::Serve(arguments) => usleep::serve::run(*arguments)
            .map_err(|error| (with_next(&error, error.next()), error.exit_code())),
        Command::Analyze(arguments) => analyze(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, code)) => {
            // eprintln! would panic when nobody reads.
            let _ = writeln!(io::stderr(), "usleep: {message}");
            ExitCode::from(code)
        }
    }
}
