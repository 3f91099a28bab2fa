//! Files, each read within a limit, each error naming file, want and next step. All of it is done before
//! anything is dialled.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use attestation::message::{MAX_PHI_BYTES, MAX_TOKEN_BYTES};
use attestation::{Anchors, Expectation, GOOGLE_ROOT_SHA256, Phi, Token, Verifier, printable};
use policy::{Baseline, MAX_BASELINE_BYTES, MAX_POLICY_BYTES, Policy, PolicySource};
use sleep::Night;
use zeroize::Zeroizing;

use crate::cli::Acceptance;
use crate::exit::Failure;

/// Largest file of root certificates, in bytes: some hundred certificates.
const MAX_ROOT_BYTES: usize = 256 * 1024;

/// What to do about a file that is none of the wanted kind.
const RIGHT_FILE: &str = "check that it is the right file";

/// Where the baseline is looked for, here and beside the program.
const DEFAULT_BASELINE: &str = "policy/baseline.json";

/// What the data owner accepts, ready to judge.
pub(crate) struct Judge {
    pub(crate) verifier: Verifier,
    pub(crate) policy: Policy,
    /// Whether the roots are Google's own.
    pub(crate) google: bool,
    /// As the owner named it.
    pub(crate) policy_name: String,
    /// The file that the baseline came from.
    pub(crate) baseline_name: String,
    pub(crate) audience: String,
}

/// What every report has to say where other roots than Google's are trusted: whoever holds their keys can make any
/// token.
pub(crate) fn other_roots(verifier: &Verifier) -> Option<String> {
    let google = hex::encode(GOOGLE_ROOT_SHA256);
    let (googles, others): (Vec<String>, Vec<String>) =
        verifier.anchors().fingerprints().into_iter().partition(|sha256| *sha256 == google);
    if others.is_empty() {
        return None;
    }
    let others = others.join(" and ");
    Some(if googles.is_empty() {
        format!("Google's root is not trusted here, but sha256 {others}: given by --root")
    } else {
        format!("Google's root is not alone trusted here, but also sha256 {others}: given by --root")
    })
}

pub(crate) fn judge(acceptance: &Acceptance) -> Result<Judge, Failure> {
    let verifier = Verifier::new(anchors(&acceptance.root)?, Expectation::default());
    let Compiled { policy, policy_name, baseline_name } =
        compiled(&acceptance.policy, acceptance.baseline.as_deref())?;
    Ok(Judge {
        verifier,
        policy,
        google: acceptance.root.is_empty(),
        policy_name,
        baseline_name,
        audience: acceptance.audience.clone(),
    })
}

/// A policy with its baseline, and how the owner named them.
pub(crate) struct Compiled {
    pub(crate) policy: Policy,
    pub(crate) policy_name: String,
    pub(crate) baseline_name: String,
}

pub(crate) fn compiled(policy: &Path, baseline_file: Option<&Path>) -> Result<Compiled, Failure> {
    let (baseline, baseline_name) = baseline(baseline_file)?;
    let source = policy_source(policy)?;
    let policy_name = source.name();
    let policy = Policy::compile(source, baseline).map_err(|error| match &error {
        policy::PolicyError::Baseline(_) => Failure::usage(
            format!("{baseline_name}: {error}"),
            "see policy/baseline.json for the form of each key",
        ),
        _ => Failure::usage(error.to_string(), "see policy/confidential_space.rego for a policy that works"),
    })?;
    Ok(Compiled { policy, policy_name, baseline_name })
}

pub(crate) fn anchors(files: &[PathBuf]) -> Result<Anchors, Failure> {
    let mut anchors: Option<Anchors> = None;
    for file in files {
        let pem = read(file, "root certificate", MAX_ROOT_BYTES)?;
        let read = Anchors::from_pem(&pem).map_err(|error| {
            Failure::usage(
                format!("root certificate {}: {error}", shown(file)),
                "give the PEM file of a self-signed CA certificate, or leave --root out to trust Google's",
            )
        })?;
        anchors = Some(match anchors {
            None => read,
            Some(others) => others.and(read),
        });
    }
    Ok(anchors.unwrap_or_else(Anchors::google))
}

pub(crate) fn policy_source(name: &Path) -> Result<PolicySource, Failure> {
    match name.to_str() {
        Some("default") => Ok(PolicySource::Default),
        Some("codelab") => Ok(PolicySource::Codelab),
        // By which a server judges clients: to be looked at here. It accepts no server.
        Some("client") => Ok(PolicySource::Client),
        _ => {
            let text = text(read(name, "policy", MAX_POLICY_BYTES)?, "policy", name)?;
            Ok(PolicySource::Custom { name: shown(name), text })
        }
    }
}

pub(crate) fn baseline(file: Option<&Path>) -> Result<(Baseline, String), Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => default_baseline()?,
    };
    let text = text(read(&file, "baseline", MAX_BASELINE_BYTES)?, "baseline", &file)?;
    let baseline = Baseline::parse(&text).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", shown(&file)),
            "see policy/baseline.json for the form of each key",
        )
    })?;
    Ok((baseline, shown(&file)))
}

fn default_baseline() -> Result<PathBuf, Failure> {
    let here = PathBuf::from(DEFAULT_BASELINE);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(DEFAULT_BASELINE)));
    let found = std::iter::once(here).chain(beside).find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::usage(
            format!("no baseline: there is no {DEFAULT_BASELINE} here or beside the program"),
            "name the file of allowed values with --baseline FILE",
        )
    })
}

/// Reads the PHI and checks that it is a night: what USleep would refuse never leaves. Line feeds at its end are not part
/// of it: in wire version 1 one there opens a stream.
pub(crate) fn phi(file: &Path) -> Result<Phi, Failure> {
    let mut bytes = Zeroizing::new(read(file, "health data", MAX_PHI_BYTES)?);
    let end = without_line_feeds(&bytes).len();
    bytes.truncate(end);
    Night::parse(&bytes).map_err(|error| {
        let next = if bytes.contains(&b'\n') && Night::parse(first_line(&bytes)).is_ok() {
            "add --nights if each line is a night; else correct the file, `usleep analyze FILE` checks it offline"
        } else {
            "correct the file; `usleep analyze FILE` checks it offline"
        };
        Failure::usage(format!("health data {}: {error}", shown(file)), next)
    })?;
    Phi::new(bytes)
        .map_err(|error| Failure::usage(format!("health data {}: {error}", shown(file)), RIGHT_FILE))
}

/// What is before the line feeds at the end.
pub(crate) fn without_line_feeds(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

pub(crate) fn token(file: &Path) -> Result<Token, Failure> {
    // One byte more than the largest token, for the line break at the end of a text file.
    let text = text(read(file, "token", MAX_TOKEN_BYTES + 1)?, "token", file)?;
    let text = text.trim_end();
    Token::new(text).map_err(|error| Failure::usage(format!("token {}: {error}", shown(file)), RIGHT_FILE))
}

/// A new file, for example for the result, which only its owner can read. It is removed again where nothing was written
/// to it: a second try must not stumble over the first. Only itself: what somebody else has put in its place stays.
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    /// From then on it may hold a part of a result, which is the owner's to remove.
    begun: bool,
}

impl NewFile {
    /// Made before the release: what cannot be kept is no reason to send anything. `what` it is to hold is for errors.
    pub(crate) fn create(path: &Path, what: &str) -> Result<Self, Failure> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned(), begun: false }),
            Err(error) => {
                let next = match error.kind() {
                    io::ErrorKind::AlreadyExists => {
                        "name a file that does not exist: nothing is ever overwritten"
                    }
                    _ => "name a file in a folder that exists and may be written",
                };
                Err(Failure::usage(format!("{what} file {}: {error}", shown(path)), next))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it to disk.
    pub(crate) fn keep(&mut self, content: &[u8]) -> io::Result<()> {
        self.append(content)?;
        self.finish()
    }

    /// Writes a part of it.
    pub(crate) fn append(&mut self, content: &[u8]) -> io::Result<()> {
        self.begun = true;
        self.file.write_all(content)
    }

    /// Sees to it that all of it is on disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Empties it: what was written of it is of no use.
    pub(crate) fn empty(&mut self) -> io::Result<()> {
        if self.begun {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.begun = false;
        }
        Ok(())
    }
}

impl NewFile {
    /// Whether its path still names the file that was made, and no other and no link.
    fn is_still_there(&self) -> bool {
        match (self.file.metadata(), self.path.symlink_metadata()) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.begun && self.is_still_there() {
            // Ours and empty; if it cannot be removed, the next call says that it is there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A whole file of at most `limit` bytes, or standard input for `-`; `what` it holds is for errors.
pub(crate) fn read(file: &Path, what: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| cannot_be_read(file, what, &error);
    let reader = open(file, what)?;
    // The buffer has its final size from the start, so that no copy of PHI is left where a smaller one was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    reader.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(Failure::usage(
            format!("{what} {}: too large, wanted at most {limit} bytes", shown(file)),
            RIGHT_FILE,
        ));
    }
    Ok(std::mem::take(&mut *bytes))
}

/// A file, or standard input for `-`, to be read.
pub(crate) fn open(file: &Path, what: &str) -> Result<Box<dyn Read>, Failure> {
    let failed = |error: io::Error| cannot_be_read(file, what, &error);
    Ok(if file == Path::new("-") {
        Box::new(hardening::unbuffered_stdin().map_err(failed)?)
    } else {
        Box::new(File::open(file).map_err(failed)?)
    })
}

/// `what` it holds is for people.
pub(crate) fn cannot_be_read(file: &Path, what: &str, error: &io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "make it readable for this user",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        _ => "check the file and its disk",
    };
    Failure::usage(format!("{what} {}: {error}", shown(file)), next)
}

fn text(bytes: Vec<u8>, what: &str, file: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{what} {}: not UTF-8 text", shown(file)), RIGHT_FILE))
}

pub(crate) fn shown(file: &Path) -> String {
    printable(&file.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_file_is_removed_only_while_it_is_its_own_and_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        drop(NewFile::create(&path, "result").ok().unwrap());
        assert!(!path.exists(), "nothing was written");

        let file = NewFile::create(&path, "result").ok().unwrap();
        std::fs::rename(&path, folder.path().join("moved.json")).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"another's");

        // Opened for reading, so that writing fails when it has begun.
        let file = File::open(&path).unwrap();
        let mut file = NewFile { file, path: path.clone(), begun: false };
        file.keep(b"{}").unwrap_err();
        drop(file);
        assert!(path.exists(), "writing had begun");
    }
}
