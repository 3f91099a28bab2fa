//! The health data of one night, parsed so strictly that a [`Night`] cannot be wrong.
//!
//! What a peer sent never reaches an error: errors name fields by our own paths, and the texts of the
//! JSON parser, which quote its input, are dropped. The name is checked and then forgotten: only a stream of nights
//! needs it, to see that all are of one person.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::reader;

/// Longest sleep that is believed, in minutes: the 24 hours of a day, for each stage and for the sum.
pub const MAX_NIGHT_MINUTES: f64 = 1440.0;
/// Highest age that is believed, in years.
pub const MAX_AGE_YEARS: u8 = 130;
/// Longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;

/// One night of one person: age 0 to [`MAX_AGE_YEARS`], minutes of each stage finite and not negative,
/// in all more than 0 and at most [`MAX_NIGHT_MINUTES`].
///
/// Not `Clone`, wiped from memory on drop, and `Debug` shows none of it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Night {
    age: u8,
    light: f64,
    deep: f64,
    rem: f64,
}

/// The part of each stage in the whole night, 0 to 1.
#[derive(Clone, Copy)]
pub struct Shares {
    /// Light sleep (stages N1 and N2).
    pub light: f64,
    /// Deep sleep (stage N3).
    pub deep: f64,
    /// REM sleep.
    pub rem: f64,
}

impl Night {
    /// Parses the codelab's JSON, and nothing beside it:
    ///
    /// ```
    /// use sleep::Night;
    /// let amy = br#"{"name":"Amy","age":29,
    ///     "sleep":{"light":{"minutes":270},"deep":{"minutes":135},"rem":{"minutes":105}}}"#;
    /// assert_eq!(Night::parse(amy)?.total_minutes(), 510.0);
    /// # Ok::<(), sleep::InputError>(())
    /// ```
    ///
    /// All five fields must be there, once, in any order. Minutes may be fractional, age may not. The
    /// caller bounds the length of `bytes`; what is allocated here never exceeds it.
    ///
    /// # Errors
    /// [`InputError`], for the first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        Self::parse_showing(bytes, &|_| ())
    }

    /// The same; `name` sees the name, also that of a night which is then refused for something after it.
    pub(crate) fn parse_showing(bytes: &[u8], name: &dyn Fn(&str)) -> Result<Self, InputError> {
        let text = std::str::from_utf8(bytes).map_err(|_| InputError::NotUtf8)?;
        let numbers = reader::read(text, name)?;
        let [light, deep, rem] = numbers.minutes;
        let night = Self { age: numbers.age, light, deep, rem };
        let total = night.total_minutes();
        if total > MAX_NIGHT_MINUTES {
            return Err(InputError::Invalid {
                path: reader::SLEEP.path,
                wanted: "at most 1440 minutes in all",
            });
        }
        if total <= 0.0 {
            // The codelab's program divides by it and calls the result great sleep.
            return Err(InputError::Invalid {
                path: reader::SLEEP.path,
                wanted: "more than 0 minutes in all",
            });
        }
        Ok(night)
    }

    /// Age in whole years.
    pub fn age(&self) -> u8 {
        self.age
    }

    /// Minutes asleep, all stages together: more than 0, at most [`MAX_NIGHT_MINUTES`].
    pub fn total_minutes(&self) -> f64 {
        self.light + self.deep + self.rem
    }

    /// The part of each stage; they sum to 1 but for rounding.
    pub fn shares(&self) -> Shares {
        let total = self.total_minutes();
        Shares { light: self.light / total, deep: self.deep / total, rem: self.rem / total }
    }

    /// Minutes of light, deep and REM sleep.
    pub(crate) fn minutes(&self) -> [f64; 3] {
        [self.light, self.deep, self.rem]
    }

    #[cfg(test)]
    pub(crate) fn for_tests(age: u8, light: f64, deep: f64, rem: f64) -> Self {
        Self { age, light, deep, rem }
    }
}

impl fmt::Debug for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Night(..)")
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shares(..)")
    }
}

/// Why bytes are not a [`Night`]. Holds nothing of the input, so it may be shown and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A field is given more than once in the same object.
    #[error("{path}: given more than once, wanted once")]
    Duplicate {
        /// Which field.
        path: &'static str,
    },
    /// A value has the wrong type or is out of range.
    #[error("{path}: wanted {wanted}")]
    Invalid {
        /// Which field.
        path: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// A field is not there.
    #[error("{path}: missing, wanted {wanted}")]
    Missing {
        /// Which field.
        path: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// The text is no JSON, or ends too early.
    #[error("{path}: not JSON or cut off, wanted {wanted}")]
    NotJson {
        /// Which field was being read.
        path: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// The bytes are not UTF-8.
    #[error("top level: wanted UTF-8")]
    NotUtf8,
    /// Something follows the object.
    #[error("top level: wanted nothing after the object")]
    TrailingData,
    /// An object has a field that none of ours is.
    #[error("{path}: has an unknown field, wanted {wanted}")]
    Unknown {
        /// Which object.
        path: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
}

impl InputError {
    /// Where it is wrong, as `sleep.light.minutes` or `top level`: always one of our own paths.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Duplicate { path }
            | Self::Invalid { path, .. }
            | Self::Missing { path, .. }
            | Self::NotJson { path, .. }
            | Self::Unknown { path, .. } => path,
            Self::NotUtf8 | Self::TrailingData => reader::TOP.path,
        }
    }
}
