//! Owners as they are in life: the program `uwear`, which can be killed, and whose disk can be full.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::account::{AFTER_RELEASE, End, KILLED};
use crate::programs::Programs;

/// Longest that a release may take in all before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(90);

/// The allowed values' file.
const BASELINE: &str = "baseline.json";

/// One `uwear` with its files in a folder.
#[derive(Clone, Debug)]
pub struct Uwear {
    program: PathBuf,
    root: PathBuf,
    folder: PathBuf,
}

/// What a program did.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Uwear {
    /// `None`: there is no program.
    pub fn new(programs: &Programs, folder: &Path) -> Option<Self> {
        let program = programs.uwear.clone()?;
        fs::write(folder.join(BASELINE), policy::DEFAULT_BASELINE).unwrap();
        Some(Self { program, root: programs.root(), folder: folder.to_owned() })
    }

    /// The audit log that all of them share.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Releases a night; `kill_after`: unless it has ended by then it is killed as `kill -9` does.
    pub async fn release(&self, usleep: SocketAddr, night: Vec<u8>, kill_after: Option<Duration>) -> End {
        let phi = self.write(night);
        let mut command = Command::new(&self.program);
        command.args(self.arguments(usleep, phi.path(), &self.audit_log())).args(["--retry-for", "30s"]);
        self.end_of(command, kill_after).await
    }

    /// Releases a night while `blocks` more of 512 bytes fit on the audit log's disk, for whose end that of the file's
    /// largest size stands in.
    pub async fn release_on_full_disk(&self, usleep: SocketAddr, night: Vec<u8>, blocks: u64) -> End {
        let phi = self.write(night);
        let length = fs::metadata(self.audit_log()).map_or(0, |log| log.len());
        // POSIX: `ulimit -f` counts 512 bytes; a signal that is ignored stays so, and the write then fails.
        let limited = r#"trap '' XFSZ; ulimit -f "$1"; shift; exec "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", limited, "sh", &(length / 512 + blocks).to_string()]).arg(&self.program);
        command.args(self.arguments(usleep, phi.path(), &self.audit_log()));
        self.end_of(command, None).await
    }

    /// What `uwear audit verify` says of the log; an error if the log is not whole.
    pub async fn verify_audit_log(&self) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(["audit", "verify"]).arg(self.audit_log());
        let done = run(command, None).await.unwrap();
        match done.code {
            Some(0) => Ok(done.stdout),
            _ => Err(done.stdout + &done.stderr),
        }
    }

    fn arguments(&self, usleep: SocketAddr, phi: &Path, audit_log: &Path) -> Vec<String> {
        let words = ["release", &usleep.to_string(), "--require-result", "--phi"].map(str::to_owned);
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let baseline = self.folder.join(BASELINE);
        let files =
            [path(phi), "--root".to_owned(), path(&self.root), "--baseline".to_owned(), path(&baseline)];
        words.into_iter().chain(files).chain(["--audit-log".to_owned(), path(audit_log)]).collect()
    }

    fn write(&self, night: Vec<u8>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new_in(&self.folder).unwrap();
        fs::write(file.path(), night).unwrap();
        file
    }

    async fn end_of(&self, command: Command, kill_after: Option<Duration>) -> End {
        let Some(Done { code, stdout, stderr }) = run(command, kill_after).await else {
            return End::refused("uwear hung");
        };
        let released = stdout.contains("Sent payload.");
        match code {
            Some(0) => End::Answered,
            None => End::lost(KILLED),
            Some(3) => End::lost("uwear: 3, nothing was sent"),
            Some(6) if released => End::lost(format_args!("{AFTER_RELEASE}uwear: 6")),
            Some(1) if stderr.contains("audit log") && released => End::lost(END_NOT_WRITTEN),
            Some(1) if stderr.contains("audit log") => End::refused(NOT_WRITTEN),
            Some(code) => {
                let first = stderr.lines().next().unwrap_or_default();
                End::refused(format_args!("uwear: {code}, {first}"))
            }
        }
    }
}

/// Refused by the owner's own program, because its log could not be written.
pub const NOT_WRITTEN: &str = "nothing was sent, since the audit log could not be written";

/// The answer came, and that could not be written down.
pub const END_NOT_WRITTEN: &str = "after the release: the audit log could not be written";

/// Runs it to its end; `None`: it has none.
async fn run(mut command: Command, kill_after: Option<Duration>) -> Option<Done> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    if let Some(after) = kill_after {
        tokio::select! {
            () = sleep(after) => child.start_kill().unwrap(),
            _ = child.wait() => {}
        }
    }
    let output = timeout(PATIENCE, child.wait_with_output()).await.ok()?.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}
