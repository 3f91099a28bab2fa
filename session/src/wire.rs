//! Which versions of the wire an end speaks.

use std::fmt;
use std::str::FromStr;

/// The latest version of the wire that this release speaks.
pub const WIRE_VERSION: u8 = 1;

/// Which versions of the wire an end may speak with the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Version 0 alone, which is the codelab's.
    V0,
    /// Version 1 alone.
    V1,
    /// Version 1 where the other end knows it, else version 0.
    #[default]
    Auto,
}

/// The text names no choice of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted 0, 1 or auto")]
pub struct WireError;

impl Wire {
    /// Whether version 0 may be spoken.
    pub fn allows_version_0(self) -> bool {
        self != Self::V1
    }

    /// Whether version 1 may be spoken.
    pub fn allows_version_1(self) -> bool {
        self != Self::V0
    }
}

impl FromStr for Wire {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        match text {
            "0" => Ok(Self::V0),
            "1" => Ok(Self::V1),
            "auto" => Ok(Self::Auto),
            _ => Err(WireError),
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0 => "0",
            Self::V1 => "1",
            Self::Auto => "auto",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_versions_is_written_as_it_is_read() {
        for (text, wanted, versions) in [
            ("0", Wire::V0, (true, false)),
            ("1", Wire::V1, (false, true)),
            ("auto", Wire::Auto, (true, true)),
        ] {
            let wire: Wire = text.parse().unwrap();
            assert_eq!((wire, wire.to_string().as_str()), (wanted, text));
            assert_eq!((wire.allows_version_0(), wire.allows_version_1()), versions, "{text}");
        }
        for text in ["", "2", "01", "Auto", "v1", " 1"] {
            assert_eq!(text.parse::<Wire>(), Err(WireError), "{text:?}");
        }
    }
}
