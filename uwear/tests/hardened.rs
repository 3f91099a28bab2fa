//! The program protects itself from its first line on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../hardening/tests/process/mod.rs"]
mod process;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use process::{AsUser, may_dump_core};

const PHI: &[u8] = br#"{"name":"canary-name","age":29,"sleep":{"light":{"minutes":270},"deep":{"minutes":135},"rem":{"minutes":105}}}"#;

#[test]
fn while_it_holds_the_data_it_writes_no_core_file_and_others_of_its_user_cannot_read_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut user = AsUser::new(env!("CARGO_BIN_EXE_uwear"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/baseline.json");
    let baseline = user.file("baseline.json", std::fs::read(shipped).unwrap());
    let address = silent.local_addr().unwrap().to_string();
    user.command.args(["release", &address, "--phi", "-", "--baseline"]).arg(baseline);
    let command = user.command.env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PHI).unwrap();

    // It has read the data, and dials.
    let _connection = silent.accept().unwrap();
    let seen = (may_dump_core(child.id()), user.can_be_read(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen, (false, false));
}
