//! Where a policy's text comes from, and the limits that it must keep before the parser sees it.

use crate::{CLIENT_POLICY, CODELAB_POLICY, DEFAULT_POLICY, PolicyError};
use attestation::printable;

/// Longest policy text, in bytes.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;

/// Deepest nesting of `[` and `{`. regorus' parser tries each as several things, so that its work doubles
/// with every level: 8 take a millisecond, 22 take 17 seconds.
pub(crate) const MAX_NESTING: usize = 8;

/// Most arithmetic and set operators in one policy. regorus walks a chain of them recursively; 500 overflow a
/// stack of 2 MiB in a debug build.
pub(crate) const MAX_OPERATORS: usize = 150;

/// Most brackets after a name, a bracket or a string in one policy, for the same reason: `input[a][b]…` is a chain.
pub(crate) const MAX_INDEXES: usize = 250;

/// A policy's text: compiled in, or the data owner's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The project's own, which denies by default.
    Default,
    /// The codelab's, rule for rule, for those who must match it.
    Codelab,
    /// The project's own for the other direction: the server judges a client that proves itself too.
    Client,
    /// The data owner's own: package `confidential_space` with a boolean `allow`.
    Custom {
        /// Its name in reports and errors, usually that of its file.
        name: String,
        /// Rego v1.
        text: String,
    },
}

impl PolicySource {
    /// The name, made printable.
    pub fn name(&self) -> String {
        match self {
            Self::Default => "confidential_space.rego".to_owned(),
            Self::Codelab => "codelab.rego".to_owned(),
            Self::Client => "client.rego".to_owned(),
            Self::Custom { name, .. } => printable(name),
        }
    }

    /// The text, byte for byte as it is hashed and compiled.
    pub fn text(&self) -> &str {
        match self {
            Self::Default => DEFAULT_POLICY,
            Self::Codelab => CODELAB_POLICY,
            Self::Client => CLIENT_POLICY,
            Self::Custom { text, .. } => text,
        }
    }

    /// Refuses text on which the parser could spend too much time, memory or stack.
    pub(crate) fn within_limits(&self) -> Result<(), PolicyError> {
        let name = || self.name();
        let text = self.text();
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge { name: name(), got: text.len() });
        }
        let (mut line, mut depth, mut operators, mut indexes) = (1, 0_usize, 0, 0);
        let mut before = ' ';
        for token in code_characters(text) {
            match token {
                '\n' => line += 1,
                '[' | '{' => {
                    depth += 1;
                    if token == '['
                        && (before.is_alphanumeric() || matches!(before, '_' | ']' | '}' | ')' | '"' | '`'))
                    {
                        indexes += 1;
                    }
                    if depth > MAX_NESTING {
                        return Err(PolicyError::TooDeep { name: name(), line });
                    }
                }
                ']' | '}' => depth = depth.saturating_sub(1),
                '+' | '-' | '*' | '/' | '%' | '&' | '|' => operators += 1,
                _ => {}
            }
            if !token.is_whitespace() {
                before = token;
            }
        }
        if operators > MAX_OPERATORS || indexes > MAX_INDEXES {
            return Err(PolicyError::TooComplex { name: name() });
        }
        Ok(())
    }
}

/// The characters outside strings and comments, line breaks and a string's first quote always. A string that never ends hides nothing:
/// it does not parse.
fn code_characters(text: &str) -> impl Iterator<Item = char> {
    enum In {
        Code,
        Comment,
        Quotes { escaped: bool },
        Backticks,
    }
    let mut state = In::Code;
    text.chars().filter(move |&character| {
        let opens = matches!((&state, character), (In::Code, '"' | '`'));
        state = match (&state, character) {
            (In::Code, '#') => In::Comment,
            (In::Code, '"') => In::Quotes { escaped: false },
            (In::Code, '`') => In::Backticks,
            (In::Code, _) => return true,
            (In::Comment, '\n') => In::Code,
            (In::Comment, _) => In::Comment,
            (In::Quotes { escaped: false }, '"') => In::Code,
            // Rego's plain strings end with their line.
            (In::Quotes { .. }, '\n') => In::Code,
            (In::Quotes { escaped }, _) => In::Quotes { escaped: character == '\\' && !escaped },
            (In::Backticks, '`') => In::Code,
            (In::Backticks, _) => In::Backticks,
        };
        opens || character == '\n'
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(text: String) -> PolicySource {
        PolicySource::Custom { name: "mine.rego".to_owned(), text }
    }

    #[test]
    fn a_policy_is_accepted_at_the_size_limit_and_refused_one_byte_over() {
        assert_eq!(custom("#".repeat(MAX_POLICY_BYTES)).within_limits(), Ok(()));
        let got = MAX_POLICY_BYTES + 1;
        let name = "mine.rego".to_owned();
        assert_eq!(custom("#".repeat(got)).within_limits(), Err(PolicyError::TooLarge { name, got }));
    }

    #[test]
    fn nesting_and_operators_are_limited_in_code_only() {
        let nested = |levels: usize| format!("\n{}{}", "[".repeat(levels), "]".repeat(levels));
        let name = || "mine.rego".to_owned();
        let too_complex = Err(PolicyError::TooComplex { name: name() });
        let rows = [
            (nested(MAX_NESTING), Ok(())),
            (nested(MAX_NESTING + 1), Err(PolicyError::TooDeep { name: name(), line: 2 })),
            (format!("x{}", "[0]".repeat(MAX_INDEXES)), Ok(())),
            (format!("x{}", "\n [0]".repeat(MAX_INDEXES + 1)), too_complex.clone()),
            ("x[\"a\"]".repeat(MAX_INDEXES + 1), too_complex.clone()),
            (":= [\"a\"] {}\n".repeat(5000), Ok(())),
            ("1+".repeat(MAX_OPERATORS), Ok(())),
            ("1|".repeat(MAX_OPERATORS + 1), too_complex.clone()),
            (format!("# {}", "[+".repeat(5000)), Ok(())),
            (format!("\"{}\"", "[+\\\"".repeat(5000)), Ok(())),
            (format!("`{}`", "[+\n\"".repeat(5000)), Ok(())),
            (format!("\"\\\\\" {}", "+".repeat(5000)), too_complex),
        ];
        for (text, wanted) in rows {
            assert_eq!(custom(text.clone()).within_limits(), wanted, "{text:.40}");
        }
    }
}
