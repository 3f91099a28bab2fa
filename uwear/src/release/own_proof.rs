//! Mutual attestation: our own proof, from our own launcher.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use launcher::{DEFAULT_SOCKET, Launcher, LauncherError};
use session::client::{Approved, ProveError};
use session::{Attest, Wire};

use crate::exit::Failure;

/// Flags of mutual attestation.
#[derive(Debug, Args)]
pub(crate) struct OwnProofArguments {
    /// Whether to prove ourselves too where the server asks for it: auto does if our launcher's socket is there
    ///
    /// Works in a Confidential Space VM and in wire version 1; required refuses a server that does not ask.
    #[arg(long, value_enum, env = "UWEAR_ATTEST", default_value_t)]
    attest: AttestChoice,

    /// Our own launcher's Unix socket
    #[arg(long, value_name = "PATH", env = "UWEAR_ATTEST_SOCKET", default_value = DEFAULT_SOCKET)]
    attest_socket: PathBuf,

    /// Whom our own token is made for: the server's name
    #[arg(long, value_name = "NAME", env = "UWEAR_ATTEST_AUDIENCE", default_value = "usleep")]
    attest_audience: String,
}

/// Whether this end proves itself too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AttestChoice {
    /// Never; a server that asks all the same is refused
    Never,
    /// If the server asks for it and our launcher's socket is there
    #[default]
    Auto,
    /// A server that does not ask for it is refused
    Required,
}

/// Where our own proof comes from.
pub(super) struct OwnProof {
    pub(super) attest: Attest,
    launcher: Launcher,
    audience: String,
}

impl OwnProof {
    /// # Errors
    /// A usage error if a proof is required and cannot be given.
    pub(super) fn new(arguments: &OwnProofArguments, wire: Wire) -> Result<Self, Failure> {
        let socket = &arguments.attest_socket;
        let attest = match arguments.attest {
            AttestChoice::Never => Attest::Never,
            AttestChoice::Auto if wire.allows_version_1() && socket.exists() => Attest::Offer,
            AttestChoice::Auto => Attest::Never,
            AttestChoice::Required if !wire.allows_version_1() => {
                return Err(Failure::usage("--attest required needs wire version 1", "leave --wire 0 out"));
            }
            AttestChoice::Required if !socket.exists() => {
                let missing = LauncherError::SocketMissing { socket: socket.clone() };
                return Err(Failure::usage(missing.to_string(), missing.hint()));
            }
            AttestChoice::Required => Attest::Required,
        };
        let audience = arguments.attest_audience.clone();
        Ok(Self { attest, launcher: Launcher::new(socket), audience })
    }

    pub(super) async fn give(&self, approved: Approved) -> Result<Approved, ProveError> {
        approved.prove(&self.launcher, &self.audience).await
    }
}
