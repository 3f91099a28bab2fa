//! A disk without a free block under the audit log: nothing is released, and the log stays whole.
//!
//! The disk is a tmpfs in a mount namespace of its own, for which this user must be allowed to make user namespaces. Where
//! that is not so the test says so aloud; the limit on the size of files in `tests/audit.rs` then stands for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::honest::Honest;
use support::{Owner, PHI};

/// Room for some sessions' lines, in KiB.
const SIZE: &str = "size=128k";

/// A small disk; it is gone with this.
struct Disk {
    holder: Child,
    folder: PathBuf,
}

impl Disk {
    /// `None`: this user may not mount one.
    fn mount(at: &Path) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        // It lasts until its standard input ends.
        command
            .args([r#"mount -t tmpfs -o "$1" tmpfs "$2" && echo mounted && exec cat"#, "sh", SIZE])
            .arg(at);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said != "mounted\n" {
            holder.wait().unwrap();
            return None;
        }
        // Its root as that process sees it (proc_pid_root(5)).
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let folder = root.join(at.strip_prefix("/").unwrap());
        Some(Self { holder, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let mut filler = File::create(self.path("filler")).unwrap();
        let full = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    fn clear(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_released_until_there_is_room_to_write_it_down() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(mount.path()) else {
        // Not by a macro: what those of a test print is not shown when it succeeds.
        let missing = b"SKIPPED: no disk was filled: that takes user namespaces, or root that may mount\n";
        return io::stderr().write_all(missing).unwrap();
    };
    let log = disk.path("audit.jsonl");
    for wire in ["0", "1"] {
        let (owner, usleep) = (Owner::new(), Honest::start().await);
        let release = || owner.release_in(usleep.address, wire).option("--audit-log", &log);
        release().ends().await.with_code(0);
        let before = fs::read(&log).unwrap();

        disk.fill();
        release().ends().await.with_code(1).says(&[
            "writing a line: No space left on device",
            "nothing was sent",
            "see to the disk: whether it is full",
        ]);
        assert_eq!(fs::read(&log).unwrap(), before, "the part of a line stayed");
        owner.uwear().args(["audit", "verify"]).arg(&log).ends().await.with_code(0);

        disk.clear();
        release().ends().await.with_code(0);
        owner.uwear().args(["audit", "verify"]).arg(&log).ends().await.with_code(0);
        let both = [PHI.as_bytes(); 2];
        assert_eq!(usleep.received().await, both, "the releases that were written down alone");
    }
}
