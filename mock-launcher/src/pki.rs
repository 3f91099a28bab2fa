//! The mock's own public key infrastructure, kept in a folder.
//!
//! Made once and reused, because RSA-4096 keys take seconds and a verifier pins the root. Safe when
//! several processes start at once: the folder is made under a temporary name and renamed into place,
//! which only one of them can do; the others read what that one made. A leaf near its end is replaced
//! in the same way.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_cert::der::Decode as _;

use crate::{CertSpec, Chain, ChainError, ChainSpec, Key, KeyError, KeyKind};

/// The root certificate in PEM: what a verifier is given.
const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const INTERMEDIATE: &str = "intermediate.pem";
const INTERMEDIATE_KEY: &str = "intermediate.key";
/// Certificate and key in one file, so that both change together.
const LEAF: &str = "leaf.pem";
/// Signs OIDC tokens, which have no chain.
const OIDC_KEY: &str = "oidc.key";

/// A leaf that ends sooner than this is replaced at start.
const RENEW_WITHIN: Duration = Duration::days(1);

/// Version of the shared folder of the tests; changes with what the certificates look like.
const SHARED_VERSION: &str = "mock-launcher-pki-v1";
/// The PKI in it; keys of single tests lie beside it.
const SHARED_PKI: &str = "pki";

/// Root, intermediate and leaf of the mock with their keys, and a key for OIDC tokens.
#[derive(Debug)]
pub struct Pki {
    root: (Vec<u8>, Key),
    intermediate: (Vec<u8>, Key),
    leaf: (Vec<u8>, Key),
    oidc: Key,
}

/// A PKI folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Reading or writing it.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file of it does not hold what it should.
    #[error("{}: wanted {wanted}, got something else", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        wanted: &'static str,
    },
    /// There is a folder with other things in it.
    #[error("{}: wanted a new or empty folder or one made by mock-launcher, got one with other files", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// Root or intermediate have ended or are about to.
    #[error("{}: a certificate ends on {not_after}; remove the folder to have a new root made", path.display())]
    Ended {
        /// The certificate's file.
        path: PathBuf,
        /// Its end.
        not_after: OffsetDateTime,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Pki {
    /// Whether a PKI is in `folder` already, so that loading takes no time.
    pub fn exists(folder: &Path) -> bool {
        folder.join(ROOT).exists()
    }

    /// Reads the PKI in `folder`, making it first if the folder is missing or empty, and replacing the
    /// leaf if it ends within a day.
    ///
    /// Files get mode 0600, the folder 0700; folders above it must exist.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn load_or_create(folder: &Path) -> Result<Self, PkiError> {
        let now = OffsetDateTime::now_utc();
        if !Self::exists(folder) {
            // Before the keys are made, which takes a while.
            check_new_or_empty(folder)?;
            Self::generate(now)?.publish(folder)?;
        }
        let mut pki = Self::load(folder, now)?;
        if not_after(&folder.join(LEAF), &pki.leaf.0)? < now + RENEW_WITHIN {
            pki.renew_leaf(folder, now)?;
        }
        Ok(pki)
    }

    /// The one PKI that all tests of this build folder share, because it takes seconds to make.
    ///
    /// It lies in the build folder (found by the `CACHEDIR.TAG` that cargo writes there), which is as
    /// private and as short-lived as the tests themselves.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn shared_for_tests() -> Result<Self, PkiError> {
        let shared = shared_folder();
        create_private_folder(&shared).map_err(|error| PkiError::File { path: shared.clone(), error })?;
        Self::load_or_create(&shared.join(SHARED_PKI))
    }

    /// The folder of [`Pki::shared_for_tests`], made if need be: for programs under test, which take a
    /// `--pki-dir`, and for its `root.pem`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn shared_folder_for_tests() -> Result<PathBuf, PkiError> {
        Self::shared_for_tests()?;
        Ok(shared_folder().join(SHARED_PKI))
    }

    /// A new PKI, in memory only. Seconds.
    ///
    /// # Errors
    /// [`PkiError::Key`], [`PkiError::Chain`].
    pub fn generate(now: OffsetDateTime) -> Result<Self, PkiError> {
        let root = Key::generate(KeyKind::Rsa4096)?;
        let intermediate = Key::generate(KeyKind::Rsa4096)?;
        let leaf = Key::generate(KeyKind::Rsa2048)?;
        let spec = ChainSpec::new(now, root.clone(), intermediate.clone(), leaf.clone())?;
        let chain = spec.issue()?;
        let [leaf_der, intermediate_der, root_der] = chain.x5c() else {
            return Err(PkiError::Content { path: PathBuf::new(), wanted: "three certificates" });
        };
        Ok(Self {
            root: (root_der.clone(), root),
            intermediate: (intermediate_der.clone(), intermediate),
            leaf: (leaf_der.clone(), leaf),
            oidc: Key::generate(KeyKind::Rsa2048)?,
        })
    }

    /// Where the root certificate is in a PKI folder.
    pub fn root_path(folder: &Path) -> PathBuf {
        folder.join(ROOT)
    }

    /// The root certificate as DER.
    pub fn root(&self) -> &[u8] {
        &self.root.0
    }

    /// The root certificate as PEM.
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", &self.root.0)
    }

    /// The certificates as DER in the order of x5c: leaf, intermediate, root.
    pub fn x5c(&self) -> Vec<Vec<u8>> {
        vec![self.leaf.0.clone(), self.intermediate.0.clone(), self.root.0.clone()]
    }

    /// The key below the leaf.
    pub fn leaf_key(&self) -> &Key {
        &self.leaf.1
    }

    /// The key of OIDC tokens, which no certificate holds.
    pub fn oidc_key(&self) -> &Key {
        &self.oidc
    }

    /// A chain below this very root, to be made wrong in one way: the root's certificate is used as it
    /// is, intermediate and leaf are issued anew over this PKI's keys.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn chain_spec(&self, now: OffsetDateTime) -> Result<ChainSpec, ChainError> {
        let mut spec =
            ChainSpec::new(now, self.root.1.clone(), self.intermediate.1.clone(), self.leaf.1.clone())?;
        spec.root.ready = Some(self.root.0.clone());
        Ok(spec)
    }

    /// A chain of the same names below a root that is not this PKI's: the foreign-root fault.
    ///
    /// The keys of root and intermediate change places, which spares making new ones.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn foreign_chain(&self, now: OffsetDateTime) -> Result<Chain, ChainError> {
        ChainSpec::new(now, self.intermediate.1.clone(), self.root.1.clone(), self.leaf.1.clone())?.issue()
    }

    fn load(folder: &Path, now: OffsetDateTime) -> Result<Self, PkiError> {
        let read_key = |name: &str| Ok::<_, PkiError>(Key::from_pem(&read(&folder.join(name))?)?);
        let read_ca = |name: &str| {
            let path = folder.join(name);
            let der = certificate(&path, &read(&path)?)?;
            let not_after = not_after(&path, &der)?;
            if not_after < now + RENEW_WITHIN {
                return Err(PkiError::Ended { path, not_after });
            }
            Ok(der)
        };
        let leaf = folder.join(LEAF);
        let leaf_pem = read(&leaf)?;
        Ok(Self {
            root: (read_ca(ROOT)?, read_key(ROOT_KEY)?),
            intermediate: (read_ca(INTERMEDIATE)?, read_key(INTERMEDIATE_KEY)?),
            leaf: (certificate(&leaf, &leaf_pem)?, Key::from_pem(private_key_part(&leaf_pem))?),
            oidc: read_key(OIDC_KEY)?,
        })
    }

    /// Writes everything beside `folder` and renames it into place. Another process that was first
    /// makes the rename fail, which is as good.
    fn publish(&self, folder: &Path) -> Result<(), PkiError> {
        let file_error = |error| PkiError::File { path: folder.to_owned(), error };
        let temporary = temporary_beside(folder);
        create_private_folder(&temporary).map_err(file_error)?;
        let written = self.write_into(&temporary).and_then(|()| std::fs::rename(&temporary, folder));
        if let Err(error) = written {
            // Best effort: what is left over is a folder nobody reads.
            let _ = std::fs::remove_dir_all(&temporary);
            return match error.kind() {
                _ if Self::exists(folder) => Ok(()),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                    Err(PkiError::NotOurs { path: folder.to_owned() })
                }
                _ => Err(file_error(error)),
            };
        }
        Ok(())
    }

    fn write_into(&self, folder: &Path) -> io::Result<()> {
        let write = |name: &str, text: &str| write_private(&folder.join(name), text);
        write(ROOT_KEY, &self.root.1.to_pem())?;
        write(INTERMEDIATE, &pem("CERTIFICATE", &self.intermediate.0))?;
        write(INTERMEDIATE_KEY, &self.intermediate.1.to_pem())?;
        write(OIDC_KEY, &self.oidc.to_pem())?;
        write(LEAF, &self.leaf_pem())?;
        write(ROOT, &self.root_pem())
    }

    fn renew_leaf(&mut self, folder: &Path, now: OffsetDateTime) -> Result<(), PkiError> {
        let key = Key::generate(KeyKind::Rsa2048)?;
        let above = CertSpec::intermediate(self.intermediate.1.clone(), now)?;
        self.leaf = (CertSpec::leaf(key.clone(), now)?.issue(&above)?, key);
        let path = folder.join(LEAF);
        let temporary = temporary_beside(&path);
        write_private(&temporary, &self.leaf_pem())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|error| PkiError::File { path, error })
    }

    fn leaf_pem(&self) -> String {
        format!("{}{}", pem("CERTIFICATE", &self.leaf.0), self.leaf.1.to_pem())
    }
}

fn check_new_or_empty(folder: &Path) -> Result<(), PkiError> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        // Another process may have made it this very moment.
        Ok(false) if Pki::exists(folder) => Ok(()),
        Ok(false) => Err(PkiError::NotOurs { path: folder.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PkiError::File { path: folder.to_owned(), error }),
    }
}

/// A folder that all tests of one build share.
pub(crate) fn shared_folder() -> PathBuf {
    let of_this_program = std::env::current_exe().ok();
    let build_folder = of_this_program
        .iter()
        .flat_map(|program| program.ancestors())
        .find(|folder| folder.join("CACHEDIR.TAG").exists());
    // Documentation tests run elsewhere.
    let build_folder = build_folder
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Path::to_path_buf);
    build_folder.join(SHARED_VERSION)
}

/// A folder only this user can enter; one that is there already is left as it is.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A new file only this user can read.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    // The umask may have taken more away than wanted.
    file.set_permissions(Permissions::from_mode(0o600))
}

/// A name beside `path` that no other process and no other call of this one uses.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{count}", std::process::id()));
    path.with_file_name(name)
}

fn read(path: &Path) -> Result<String, PkiError> {
    std::fs::read_to_string(path).map_err(|error| PkiError::File { path: path.to_owned(), error })
}

fn certificate(path: &Path, pem: &str) -> Result<Vec<u8>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| PkiError::Content { path: path.to_owned(), wanted: "a certificate in PEM" })
}

/// rcgen reads the first PEM section, whatever it is.
fn private_key_part(pem: &str) -> &str {
    pem.find("-----BEGIN PRIVATE KEY").and_then(|at| pem.get(at..)).unwrap_or_default()
}

fn not_after(path: &Path, der: &[u8]) -> Result<OffsetDateTime, PkiError> {
    let content = || PkiError::Content { path: path.to_owned(), wanted: "a certificate" };
    let certificate = x509_cert::Certificate::from_der(der).map_err(|_| content())?;
    let seconds = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    let seconds = i64::try_from(seconds).map_err(|_| content())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| content())
}

/// A PEM section (RFC 7468), 64 characters a line.
fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (count, character) in STANDARD.encode(der).chars().enumerate() {
        if count > 0 && count % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shared PKI with a leaf made so many days ago, in a folder of its own.
    fn folder_with_leaf_made_days_ago(days: i64) -> (tempfile::TempDir, Pki) {
        let mut pki = Pki::shared_for_tests().unwrap();
        let spec = pki.chain_spec(OffsetDateTime::now_utc() - Duration::days(days)).unwrap();
        pki.leaf.0 = spec.leaf.issue(&spec.intermediates[0]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        pki.write_into(folder.path()).unwrap();
        (folder, pki)
    }

    #[test]
    fn a_leaf_near_its_end_is_replaced_once_and_a_young_one_is_kept() {
        let (folder, old) = folder_with_leaf_made_days_ago(59);
        let renewed = Pki::load_or_create(folder.path()).unwrap();
        assert_ne!(renewed.leaf.0, old.leaf.0);
        assert_eq!(renewed.root.0, old.root.0);
        assert_eq!(renewed.intermediate.0, old.intermediate.0);
        let again = Pki::load_or_create(folder.path()).unwrap();
        assert_eq!(again.leaf.0, renewed.leaf.0);

        let (folder, young) = folder_with_leaf_made_days_ago(57);
        assert_eq!(Pki::load_or_create(folder.path()).unwrap().leaf.0, young.leaf.0);
    }

    #[test]
    fn an_ended_intermediate_is_an_error_that_says_what_to_do() {
        let mut pki = Pki::shared_for_tests().unwrap();
        let spec = pki.chain_spec(OffsetDateTime::now_utc() - Duration::days(1095)).unwrap();
        pki.intermediate.0 = spec.intermediates[0].issue(&spec.root).unwrap();
        let folder = tempfile::tempdir().unwrap();
        pki.write_into(folder.path()).unwrap();
        let error = Pki::load_or_create(folder.path()).unwrap_err();
        assert!(matches!(error, PkiError::Ended { .. }), "{error}");
        assert!(error.to_string().contains("remove the folder"), "{error}");
    }

    #[test]
    fn a_file_with_other_content_is_named() {
        for (name, wanted) in [(ROOT, "a certificate in PEM"), (LEAF, "a certificate in PEM")] {
            let (folder, _) = folder_with_leaf_made_days_ago(0);
            std::fs::write(folder.path().join(name), "nonsense").unwrap();
            let error = Pki::load_or_create(folder.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(wanted), "{error}");
        }
    }
}
