//! The program protects itself from its first line on, whatever it is called for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "../../hardening/tests/process/mod.rs"]
mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use common::PHI;
use common::program::program;
use process::{AsUser, may_dump_core, never_dump_core};

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(user: &mut AsUser) -> KilledOnDrop {
    let command = user.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    KilledOnDrop(command.spawn().unwrap())
}

fn assert_hardened(user: &AsUser, child: &KilledOnDrop) {
    assert!(!may_dump_core(child.0.id()));
    assert!(!user.can_be_read(child.0.id()));
}

#[test]
fn a_server_writes_no_core_file_and_others_of_its_user_cannot_read_it() {
    let mut user = AsUser::new(program());
    user.command.args(["serve", "--listen", "127.0.0.1:0", "--socket", "/nowhere"]);
    let mut child = start(&mut user);
    let mut first = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("Starting Server.."), "{first}");
    assert_hardened(&user, &child);
}

#[test]
fn a_call_that_analyses_a_file_protects_itself_too() {
    let mut user = AsUser::new(program());
    user.command.args(["analyze", "-"]);
    let mut child = start(&mut user);
    let mut stdin = child.0.stdin.take().unwrap();
    // More than a pipe holds: when all of it is taken, the program is reading.
    stdin.write_all(&vec![b' '; 512 * 1024]).unwrap();
    assert_hardened(&user, &child);
    stdin.write_all(PHI.as_bytes()).unwrap();
    drop(stdin);
    let mut stdout = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert!(stdout.starts_with("Sleep quality result: "), "{stdout}");
}

#[test]
fn another_program_shows_that_this_can_be_told() {
    let mut user = AsUser::new("/bin/cat");
    let mut child = start(&mut user);
    // A byte that comes back: it runs.
    child.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_eq!(may_dump_core(child.0.id()), !never_dump_core());
    assert!(user.can_be_read(child.0.id()));
}
