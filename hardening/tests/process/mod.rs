//! What can be seen from outside of how a process protects itself.

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};
use tempfile::TempDir;

/// The user that nobody is, on every Linux.
const NOBODY: u32 = 65534;

/// A program that an ordinary user runs, who lets it dump its core as far as the system does.
pub struct AsUser {
    pub command: Command,
    user: u32,
    folder: TempDir,
}

impl AsUser {
    /// Root sees every process the same: where the tests run as root, `program` is run as nobody, from a folder that
    /// nobody can reach.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let limit = getrlimit(Resource::Core);
        assert_ne!(
            limit.maximum,
            Some(0),
            "core dumps are off here for all: try where `ulimit -H -c` is not 0"
        );
        setrlimit(Resource::Core, Rlimit { current: limit.maximum, ..limit }).unwrap();

        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("program");
        // By another process: while this one writes, a child of another test may hold the file open too, and what is
        // being written cannot be run.
        assert!(Command::new("cp").arg(program.as_ref()).arg(&copy).status().unwrap().success());
        let mut command = Command::new(copy);
        let user = if getuid().is_root() { NOBODY } else { getuid().as_raw() };
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Self { command, user, folder }
    }

    /// A file that the program can read.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Whether others of the same user can trace this process of theirs and read its memory: then its files under
    /// `/proc` are that user's, and otherwise root's (proc(5)).
    pub fn can_be_read(&self, process: u32) -> bool {
        match fs::metadata(format!("/proc/{process}/mem")).unwrap().uid() {
            0 => false,
            user if user == self.user => true,
            other => panic!("the process is user {other}'s"),
        }
    }
}

/// Whether core dumps are off here for whoever runs these tests; then they are for every program.
pub fn never_dump_core() -> bool {
    getrlimit(Resource::Core).maximum == Some(0)
}

/// Whether it may write a core file of any length, now or after it has raised its limit.
pub fn may_dump_core(process: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().take(2).any(|limit| limit != "0")
}
