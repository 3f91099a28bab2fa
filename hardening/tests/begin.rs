//! A process that has begun as it should: what is seen of it from outside, and what its panics say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod process;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use process::{AsUser, may_dump_core, never_dump_core};

/// What no panic may say.
const CANARY: &str = "270.4182937";

/// This program again, for one of its tests that are there to be watched.
fn watched(test: &str) -> [&str; 4] {
    ["--exact", test, "--ignored", "--nocapture"]
}

/// Starts it and waits for it to say that it is ready. It ends with its standard input.
fn started(mut command: Command) -> Child {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("ready")));
    child
}

#[test]
fn it_writes_no_core_file_and_others_of_its_user_cannot_read_it() {
    for (test, hardened) in [("a_program_that_has_begun", true), ("a_program_that_has_not", false)] {
        let mut user = AsUser::new(std::env::current_exe().unwrap());
        user.command.args(watched(test));
        let mut child = started(std::mem::replace(&mut user.command, Command::new("true")));
        assert_eq!(may_dump_core(child.id()), !hardened && !never_dump_core(), "{test}");
        assert_eq!(user.can_be_read(child.id()), !hardened, "{test}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

fn wait_for_the_end() {
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
#[ignore = "watched by another test"]
fn a_program_that_has_begun() {
    hardening::begin().unwrap();
    wait_for_the_end();
}

#[test]
#[ignore = "watched by another test"]
fn a_program_that_has_not() {
    wait_for_the_end();
}

#[test]
fn a_panic_says_where_and_not_what() {
    let run = |test, backtrace| -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(watched(test)).env("RUST_BACKTRACE", backtrace).output().unwrap()
    };
    for backtrace in ["0", "1", "full"] {
        let ended = run("a_program_that_panics", backtrace);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success());
        assert!(stderr.contains("panicked at hardening/tests/begin.rs:"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!String::from_utf8(ended.stdout).unwrap().contains(CANARY));
    }
    let usual = run("a_program_that_panics_as_usual", "0");
    assert!(
        String::from_utf8(usual.stderr).unwrap().contains(CANARY),
        "what is looked for is there to be found"
    );
}

#[test]
#[ignore = "watched by another test"]
fn a_program_that_panics() {
    hardening::begin().unwrap();
    panic!("minutes: {CANARY}");
}

#[test]
#[ignore = "watched by another test"]
fn a_program_that_panics_as_usual() {
    panic!("minutes: {CANARY}");
}

#[test]
fn standard_error_that_nobody_reads_is_no_second_panic() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command
        .args(watched("a_program_that_survives_a_panic"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "watched by another test"]
fn a_program_that_survives_a_panic() {
    hardening::begin().unwrap();
    // Until the reader is gone.
    while std::io::stderr().write_all(b".").is_ok() {}
    assert!(std::thread::spawn(|| panic!("{CANARY}")).join().is_err());
}
