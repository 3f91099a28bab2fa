//! Taking a Unix socket's path: a dead one's file is replaced, a live one's is not.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::MintError;

/// Why the mock cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something answers there already.
    #[error("{}: another server listens there", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is a file that is no socket; it is left alone.
    #[error("{}: wanted a socket or nothing, got another kind of file", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// Listening there.
    #[error("{}: {error}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The overrides are no JSON object.
    #[error("wanted a JSON object of claims, got another kind of JSON value")]
    Claims,
    /// The keys cannot sign.
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Listens on `path`, mode 0777 as the real launcher's socket is since mid-2026: the folder decides who
/// gets there.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn listen(path: &Path) -> Result<UnixListener, StartError> {
    let listen_error = |error| StartError::Listen { path: path.to_owned(), error };
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(StartError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(listen_error)?;
            }
            Ok(_) => {
                return Err(StartError::InUse { path: path.to_owned() });
            }
            Err(error) => return Err(listen_error(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(listen_error(error)),
    }
    let listener = UnixListener::bind(path).map_err(listen_error)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).map_err(listen_error)?;
    Ok(listener)
}
