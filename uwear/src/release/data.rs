//! What is to be released, until it is handed over; and where the owner asks for it, what is kept to be sent again.

use std::path::{Path, PathBuf};

use attestation::Phi;
use hardening::wiping_stack;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::load;
use crate::nights::NightLines;

/// The health data.
pub(super) enum Data {
    /// One night.
    Document(Phi),
    /// Many nights, read as they are sent.
    Nights(Box<NightLines>),
    /// It has been handed over to be sent, and is not here any more.
    HandedOver,
}

/// What is kept to be sent again after a release that brought no result.
pub(super) enum Kept {
    Document(Zeroizing<Vec<u8>>),
    /// A file of nights, which is read and checked again.
    Nights(PathBuf),
}

impl Kept {
    /// Another copy to send.
    pub(super) fn again(&self) -> Result<Data, Failure> {
        match self {
            Self::Document(bytes) => Phi::new(bytes.clone())
                .map(Data::Document)
                .map_err(|error| Failure::new(Exit::Unexpected, error.to_string(), "")),
            Self::Nights(file) => Data::load(file, true),
        }
    }
}

impl Data {
    pub(super) fn load(file: &Path, nights: bool) -> Result<Self, Failure> {
        // The numbers that are checked leave copies on the stack.
        wiping_stack(|| match nights {
            true => NightLines::open(file).map(Box::new).map(Self::Nights),
            false => load::phi(file).map(Self::Document),
        })
    }

    /// The one document.
    pub(super) fn document(&self) -> Option<&Phi> {
        match self {
            Self::Document(phi) => Some(phi),
            _ => None,
        }
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::HandedOver)
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::HandedOver)
    }

    /// What it takes to send it again. Nothing is kept unless the owner asks for it.
    pub(super) fn keep(&self) -> Result<Kept, Failure> {
        match self {
            Self::Document(phi) => Ok(Kept::Document(Zeroizing::new(phi.expose().to_vec()))),
            Self::Nights(nights) => {
                nights.file().map(|file| Kept::Nights(file.to_owned())).ok_or_else(|| {
                    Failure::usage(
                        "--retry-after-release cannot send nights again that come from a pipe",
                        "name a file with --phi, or leave --retry-after-release out",
                    )
                })
            }
            Self::HandedOver => Err(handed_over()),
        }
    }
}

pub(super) fn handed_over() -> Failure {
    Failure::new(Exit::Unexpected, "the data has been handed over before", "")
}
