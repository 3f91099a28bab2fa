//! Ways in which the mock misbehaves when told to.

use std::fmt;
use std::str::FromStr;

/// One deliberate fault, for all tokens while it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Issued two hours ago: a token whose lifetime is over.
    Expired,
    /// Issued in an hour from now.
    NotYetValid,
    /// `eat_nonce` is another than was asked for.
    WrongNonce,
    /// Signed by a key that is not the leaf's.
    WrongKey,
    /// A PKI token without its chain.
    NoX5c,
    /// x5c with a fourth certificate, the root again.
    ExtraCertificate,
    /// A chain of the same names below another root.
    ForeignRoot,
    /// The claims of a debug image, whose operator is root in the VM.
    DebugImage,
    /// Status 500 instead of a token, as when the attestation service is down.
    Http500,
    /// Status 500 with the service's words for a used-up quota.
    Quota,
    /// No answer, for as long as the client waits.
    Hang,
    /// Half a token, then the connection is closed.
    CutBody,
}

/// No fault has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault: wanted one of {}", Fault::ALL.map(|fault| fault.name()).join(", "))]
pub struct UnknownFault;

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 12] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongNonce,
        Self::WrongKey,
        Self::NoX5c,
        Self::ExtraCertificate,
        Self::ForeignRoot,
        Self::DebugImage,
        Self::Http500,
        Self::Quota,
        Self::Hang,
        Self::CutBody,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongNonce => "wrong-nonce",
            Self::WrongKey => "wrong-key",
            Self::NoX5c => "no-x5c",
            Self::ExtraCertificate => "extra-certificate",
            Self::ForeignRoot => "foreign-root",
            Self::DebugImage => "debug-image",
            Self::Http500 => "http-500",
            Self::Quota => "quota",
            Self::Hang => "hang",
            Self::CutBody => "cut-body",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or(UnknownFault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name_and_nothing_else_is() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert_eq!("Expired".parse::<Fault>(), Err(UnknownFault));
    }
}
