//! The folder of evidence: two new files for each session, which only their owner can read.
//!
//! ```text
//! 20261121T235859Z-1f0c5a7e.evidence.json     token, proof, transcript, receipt: what anybody can verify
//! 20261121T235859Z-1f0c5a7e.commitment.key    what shows that PHI and result are those of the receipt
//! ```

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use attestation::v1::CommitmentKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use session::client::Receipted;
use zeroize::Zeroizing;

use crate::clock;
use crate::exit::Failure;
use crate::load::{NewFile, shown};

/// How the name of a file with evidence ends.
pub(super) const EVIDENCE: &str = ".evidence.json";

/// How the name of the file with its commitment key ends.
const KEY: &str = ".commitment.key";

/// Other names that are tried where one is taken.
const TRIES: usize = 8;

/// The files of one session, made before anything is released: evidence that cannot be kept is no reason to send
/// anything. They are removed again where nothing was written to them.
pub(crate) struct EvidenceFiles {
    folder: PathBuf,
    evidence: NewFile,
    key: NewFile,
}

impl EvidenceFiles {
    /// Makes the files, and the folder if it is not there.
    pub(crate) fn create(folder: &Path) -> Result<Self, Failure> {
        let made = DirBuilder::new().mode(0o700).create(folder);
        if let Err(error) = made.or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) }) {
            return Err(Failure::usage(
                format!("evidence folder {}: {error}", shown(folder)),
                "name a folder that exists, or whose parent folder exists, and that may be written",
            ));
        }
        for _ in 1..TRIES {
            let name = name();
            if !folder.join(format!("{name}{EVIDENCE}")).exists() {
                return Self::create_as(folder, &name);
            }
        }
        Self::create_as(folder, &name())
    }

    fn create_as(folder: &Path, name: &str) -> Result<Self, Failure> {
        let evidence = NewFile::create(&folder.join(format!("{name}{EVIDENCE}")), "evidence")?;
        let key = NewFile::create(&folder.join(format!("{name}{KEY}")), "commitment key")?;
        Ok(Self { folder: folder.to_owned(), evidence, key })
    }

    /// Where the evidence is.
    pub(crate) fn path(&self) -> &Path {
        self.evidence.path()
    }

    /// Writes both to disk.
    pub(crate) fn keep(&mut self, receipted: &Receipted) -> io::Result<()> {
        let evidence = Zeroizing::new(receipted.evidence.to_json() + "\n");
        self.evidence.keep(evidence.as_bytes())?;
        let key = Zeroizing::new(STANDARD.encode(receipted.key.expose()) + "\n");
        self.key.keep(key.as_bytes())?;
        // A new file is only there after a crash if its folder says so.
        File::open(&self.folder)?.sync_all()
    }
}

/// A name that no other session has, in the order of time.
fn name() -> String {
    format!("{}-{:08x}", clock::compact_now(), fastrand::u32(..))
}

/// The evidence that a path names: a file, or all files of a folder that are named like evidence.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: io::Error| {
        Failure::usage(format!("evidence folder {}: {error}", shown(path)), "make it readable for this user")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let is_evidence = file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(EVIDENCE));
        // An empty one belongs to a session that is under way, or was never begun.
        if is_evidence && file.metadata().is_ok_and(|found| found.is_file() && found.len() > 0) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The key that lies beside a file of evidence.
pub(super) fn key_beside(evidence: &Path) -> Result<CommitmentKey, Failure> {
    let name = evidence.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(EVIDENCE).unwrap_or(&name);
    let file = evidence.with_file_name(format!("{name}{KEY}"));
    let text = Zeroizing::new(crate::load::read(&file, "commitment key", 64)?);
    let decoded = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
    let bytes = decoded.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    let bytes = bytes.ok_or_else(|| {
        Failure::usage(
            format!("commitment key {}: wanted base64 of 32 bytes, got something else", shown(&file)),
            "keep the key beside its evidence, as it was written",
        )
    })?;
    Ok(CommitmentKey::from_bytes(Zeroizing::new(bytes)))
}
