//! Policies and baselines that cannot be used: what was wanted, what was there, what to do.

use crate::baseline::MAX_BASELINE_BYTES;
use crate::source::{MAX_INDEXES, MAX_NESTING, MAX_OPERATORS, MAX_POLICY_BYTES};

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is longer than [`MAX_POLICY_BYTES`].
    #[error("policy {name}: too large, wanted at most {MAX_POLICY_BYTES} bytes, got {got}")]
    TooLarge {
        /// The policy's name.
        name: String,
        /// Its length in bytes.
        got: usize,
    },
    /// Brackets or braces nest too deeply: the parser's work doubles with each level.
    #[error(
        "policy {name}, line {line}: wanted brackets and braces nested at most {MAX_NESTING} deep, got more; \
         move the inner part into a rule of its own"
    )]
    TooDeep {
        /// The policy's name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// More operators or brackets than any policy needs; chains of them could exhaust the stack.
    #[error(
        "policy {name}: wanted at most {MAX_OPERATORS} arithmetic and set operators and {MAX_INDEXES} \
         indexes in brackets, got more; move long lists into the baseline"
    )]
    TooComplex {
        /// The policy's name.
        name: String,
    },
    /// It does not parse or does not compile.
    #[error("policy {name}, line {line}, column {column}: {message}")]
    Source {
        /// The policy's name.
        name: String,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
        /// The compiler's message, first line, made printable.
        message: String,
    },
    /// It does not compile, and the compiler does not say where.
    #[error("policy {name}: {message}")]
    Compile {
        /// The policy's name.
        name: String,
        /// The compiler's message, first line, made printable.
        message: String,
    },
    /// It is in another package.
    #[error("policy {name}: wanted package confidential_space, got {got}")]
    Package {
        /// The policy's name.
        name: String,
        /// The package that it declares.
        got: String,
    },
    /// It has no complete rule `allow`.
    #[error("policy {name}: wanted a boolean rule `allow`, got none; begin with `default allow := false`")]
    NoAllow {
        /// The policy's name.
        name: String,
    },
    /// Rules use each other in a circle or in too long a chain, or a variable has the name of a rule that uses it.
    #[error(
        "policy {name}: wanted rules that use each other in no circle and no long chain, got {chain}; rename or split them"
    )]
    EndlessChain {
        /// The policy's name.
        name: String,
        /// The rules in order; in a circle the first again at the end.
        chain: String,
    },
    /// It calls a function that can exhaust memory or panic within one instruction, where no limit stops it.
    #[error("policy {name}, line {line}, column {column}: wanted no call of {function}, got one: {why}")]
    RefusedCall {
        /// The policy's name.
        name: String,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
        /// The function's name in Rego.
        function: &'static str,
        /// Why it is refused, and what serves instead where something does.
        why: &'static str,
    },
    /// The baseline does not fit the policy.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

/// Why a baseline cannot be used. Keys are the baseline's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The text is longer than [`MAX_BASELINE_BYTES`].
    #[error("baseline: too large, wanted at most {MAX_BASELINE_BYTES} bytes, got {got}")]
    TooLarge {
        /// Its length in bytes.
        got: usize,
    },
    /// It is no JSON object whose names are unique.
    #[error("baseline: wanted a JSON object with unique names, got: {message}")]
    Json {
        /// The parser's message, with line and column.
        message: String,
    },
    /// A key that the policy reads is not there.
    #[error("baseline: the policy reads {key}, which is missing; add it: {wanted}")]
    Missing {
        /// The key.
        key: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A key that no rule of the default policy reads: what it says would not be enforced.
    #[error("baseline: no rule reads {key}; correct its name, remove it, or write a policy that reads it")]
    Unknown {
        /// The key.
        key: String,
    },
    /// A list is empty, so that nothing could pass it.
    #[error("baseline {key}: wanted {wanted}, got an empty list")]
    Empty {
        /// The key.
        key: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A value is not of the wanted form.
    #[error("baseline {key}: wanted {wanted}, got {got}")]
    Value {
        /// The key, with the position inside it where that helps.
        key: String,
        /// What belongs there.
        wanted: &'static str,
        /// What is there.
        got: String,
    },
}
