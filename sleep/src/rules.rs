//! The names of the two sets of rules.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which rules the server was told to use. The result carries what both say; this one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RuleSet {
    /// The rules of the codelab's program, its slip included: see [`super::codelab()`].
    #[value(help = "The rules of the codelab's program, a comparison the wrong way round included")]
    Codelab,
    /// The ranges of the sleep-research literature for the age: see [`super::recommended()`].
    #[value(help = "The ranges of the sleep-research literature for the age")]
    #[default]
    Recommended,
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Codelab => "codelab",
            Self::Recommended => "recommended",
        })
    }
}
