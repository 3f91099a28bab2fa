//! The program `usleep`: reads the command line and calls the library.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Analyses sleep data inside a Confidential Space VM
#[derive(Debug, Parser)]
#[command(name = "usleep", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Analyze(usleep::analyze::Arguments),
}

fn main() -> ExitCode {
    let CommandLine { command } = CommandLine::parse();
    match command {
        Command::Analyze(arguments) => match usleep::analyze::run(&arguments, io::stdin(), io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("usleep: {error}");
                ExitCode::from(error.exit_code())
            }
        },
    }
}
