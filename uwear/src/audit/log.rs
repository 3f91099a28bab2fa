//! The file of the log: opened once, locked for each line, and only ever added to.
//!
//! Several programs may share it. Each takes the lock, reads which line is the last, adds its own, waits until that
//! is on disk and gives the lock back; nothing that it knew before counts.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attestation::printable;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustls_pki_types::UnixTime;

use super::hex::Digest;
use super::line::{Event, Line, MAX_LINE_BYTES, Recovered};
use super::tail::{MAX_TORN_BYTES, NoTail, Tail};

/// Longest wait for the lock. Others hold it for one line; the server waits 10 s for the first byte.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two tries to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// A file that is there and gone again by turns is given up after so many tries.
const OPEN_TRIES: usize = 16;

/// An audit log that lines can be added to.
#[derive(Debug)]
pub(crate) struct AuditLog {
    file: File,
    path: PathBuf,
    patience: Duration,
}

/// A place in a log: the number of a line, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) head: Digest,
}

/// Why a line cannot be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("wanted a file in a folder that exists, got no such folder")]
    NoFolder,
    #[error("wanted a file, got a symbolic link")]
    Link,
    #[error("wanted a regular file, got {0}")]
    NotAFile(&'static str),
    #[error("opening it: {0}")]
    Open(io::Error),
    #[error("wanted an audit log or an empty file, got a file that begins otherwise")]
    NotALog,
    #[error("wanted a line at its end, got more than the {MAX_TORN_BYTES} bytes that a crash can leave")]
    Damaged,
    #[error("wanted its lock, got none within {waited:?}: another program holds it")]
    Locked { waited: Duration },
    #[error("taking its lock: {0}")]
    Lock(io::Error),
    #[error("wanted the file that was opened, which somebody has removed")]
    Removed,
    #[error("wanted a line of at most {MAX_LINE_BYTES} bytes, got {got}")]
    TooLong { got: usize },
    #[error("wanted a line after number {0}, which is the last")]
    Full(u64),
    #[error("writing a line: {0}")]
    Write(io::Error),
    #[error("reading its end: {0}")]
    Read(io::Error),
}

impl LogError {
    /// The next step for the owner.
    pub(crate) fn next(&self) -> &'static str {
        match self {
            Self::NoFolder => "make the folder, or name a file in one that exists",
            Self::Link => "name the file itself: who can change a link could send the log elsewhere",
            Self::NotAFile(_) => "name a regular file, or one that does not exist yet",
            Self::Open(_) => "name a file that this user may read and write",
            Self::NotALog => "name another file: nothing is ever overwritten",
            Self::Damaged => "see `uwear audit verify`; keep this file, and begin a new one",
            Self::Locked { .. } => "see which program holds it, for example with `fuser`",
            Self::Removed => "put it back if you can, and ask who removed it",
            Self::TooLong { .. } => "see which claims or rules of the policy are so long",
            Self::Full(_) => "keep this file, and begin a new one",
            Self::Lock(_) => "name a file on a file system that knows flock",
            Self::Write(_) | Self::Read(_) => "see to the disk: whether it is full, read-only or broken",
        }
    }
}

impl AuditLog {
    /// Opens a log, or begins one that only its owner can read, and closes what a crash has left.
    pub(crate) fn open(path: &Path, now: UnixTime) -> Result<Self, LogError> {
        let file = open_or_create(path)?;
        let log = Self { file, path: path.to_owned(), patience: LOCK_PATIENCE };
        let locked = log.lock()?;
        log.tail(&locked, now)?;
        drop(locked);
        Ok(log)
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// As the owner named it, printable.
    pub(crate) fn name(&self) -> String {
        printable(&self.path.to_string_lossy())
    }

    /// Adds a line. When this returns well, it is on disk.
    pub(crate) fn append(&self, event: Event, now: UnixTime) -> Result<Position, LogError> {
        let locked = self.lock()?;
        let tail = self.tail(&locked, now)?;
        self.add(&locked, tail, b"", event, now)
    }

    /// The last line, after closing what a crash has left.
    fn tail(&self, locked: &Locked<'_>, now: UnixTime) -> Result<Tail, LogError> {
        let metadata = self.file.metadata().map_err(LogError::Read)?;
        if metadata.nlink() == 0 {
            return Err(LogError::Removed);
        }
        let tail = Tail::read(&self.file, metadata.len()).map_err(|error| match error {
            NoTail::NotALog => LogError::NotALog,
            NoTail::Damaged => LogError::Damaged,
            NoTail::Read(error) => LogError::Read(error),
        })?;
        let Some(torn) = tail.torn else {
            return Ok(tail);
        };
        let note = Event::Recovered(Recovered { torn: torn.sha256 });
        let Position { number, head } = self.add(locked, tail, torn.mark, note, now)?;
        Ok(Tail { number, head, torn: None })
    }

    fn add(
        &self,
        _locked: &Locked<'_>,
        tail: Tail,
        before: &[u8],
        event: Event,
        now: UnixTime,
    ) -> Result<Position, LogError> {
        let number = tail.number.checked_add(1).ok_or(LogError::Full(tail.number))?;
        let line = Line::new(number, tail.head, now, event).to_bytes();
        let line = line.map_err(|error| LogError::Write(error.into()))?;
        if line.len() > MAX_LINE_BYTES {
            return Err(LogError::TooLong { got: line.len() });
        }
        let head = Digest::of(&line);
        let length = self.file.metadata().map_err(LogError::Write)?.len();
        // In one piece: a crash leaves a part of one line at most.
        let written = (&self.file).write_all(&[before, &line].concat()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Nobody has been told of these bytes. If they cannot be taken back, the next line says that they are torn.
            let _ = self.file.set_len(length);
            return Err(LogError::Write(error));
        }
        Ok(Position { number, head })
    }

    fn lock(&self) -> Result<Locked<'_>, LogError> {
        Locked::take(&self.file, FlockOperation::NonBlockingLockExclusive, self.patience)
    }
}

/// Opens a log for reading, and says how long it is while nobody is writing a line.
pub(super) fn open_to_read(path: &Path) -> Result<(File, u64), LogError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty()).map_err(|error| LogError::Open(error.into()))?;
    let file = regular(file.into())?;
    let locked = Locked::take(&file, FlockOperation::NonBlockingLockShared, LOCK_PATIENCE)?;
    let length = file.metadata().map_err(LogError::Read)?.len();
    drop(locked);
    Ok((file, length))
}

/// The lock, held.
struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    fn take(file: &'a File, operation: FlockOperation, patience: Duration) -> Result<Self, LogError> {
        let begun = Instant::now();
        loop {
            match flock(file, operation) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(LogError::Lock(error.into())),
            }
            if begun.elapsed() >= patience {
                return Err(LogError::Locked { waited: patience });
            }
            std::thread::sleep(LOCK_INTERVAL);
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // It ends with the file at the latest.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Never follows a link, never waits for the other end of a pipe, and only ever writes at the end.
fn open_or_create(path: &Path) -> Result<File, LogError> {
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CLOEXEC
        | OFlags::NOCTTY
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK;
    let owner_only = Mode::RUSR | Mode::WUSR;
    for _ in 0..OPEN_TRIES {
        match open(path, flags, Mode::empty()) {
            Ok(file) => return regular(file.into()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(not_opened(error)),
        }
        match open(path, flags | OFlags::CREATE | OFlags::EXCL, owner_only) {
            Ok(file) => {
                let file = regular(file.into())?;
                // The name has to outlive a crash too.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(LogError::Open)?;
                folder.sync_all().map_err(LogError::Write)?;
                return Ok(file);
            }
            // Somebody else has just made it.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(not_opened(error)),
        }
    }
    Err(LogError::Removed)
}

fn not_opened(error: Errno) -> LogError {
    match error {
        Errno::NOENT => LogError::NoFolder,
        Errno::LOOP => LogError::Link,
        Errno::ISDIR => LogError::NotAFile("a folder"),
        Errno::NXIO | Errno::NODEV => LogError::NotAFile("a socket or a device"),
        error => LogError::Open(error.into()),
    }
}

fn regular(file: File) -> Result<File, LogError> {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(LogError::NotAFile("a pipe or a device")),
        Err(error) => Err(LogError::Open(error)),
    }
}
