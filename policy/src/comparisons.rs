//! What a policy compares claims with: values written into its text, or keys of the baseline.

use regorus::Value as Rego;
use regorus::unstable::Expr;
use serde_json::Value;

use crate::reads::Path;

/// A claim on one side of `==`, `!=`, `=`, `:=` or `in`, something known on the other.
pub(crate) struct Comparison {
    /// The claim's path without `input`.
    pub(crate) claim: Path,
    pub(crate) with: With,
    pub(crate) line: u32,
}

/// What a claim is compared with.
pub(crate) enum With {
    /// Values written into the policy.
    Literals(Vec<Value>),
    /// A key of the baseline.
    Key(String),
}

/// One side of a comparison: its path, if it has one, and how it is written.
type Side<'a> = (Option<Path>, &'a Expr);

/// The comparison of these two sides, if one is a claim and the other known.
pub(crate) fn comparison(one: Side<'_>, other: Side<'_>, line: u32) -> Option<Comparison> {
    let of = |(claim, _): &Side<'_>, (path, written): &Side<'_>| {
        let claim = under("input", claim.as_ref()?).filter(|claim| !claim.is_empty())?;
        let with = match path {
            Some(path) => With::Key(under("data", path).filter(|path| path.len() == 1)?.pop()?),
            None => With::Literals(literals(written)).non_empty()?,
        };
        Some(Comparison { claim, with, line })
    };
    of(&one, &other).or_else(|| of(&other, &one))
}

impl With {
    fn non_empty(self) -> Option<Self> {
        match &self {
            Self::Literals(values) if values.is_empty() => None,
            _ => Some(self),
        }
    }
}

fn under(root: &str, path: &[String]) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    (first == root).then(|| rest.to_vec())
}

/// The value itself, or the elements of an array or a set; what is no literal is left out.
fn literals(expression: &Expr) -> Vec<Value> {
    match expression {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().filter_map(|item| scalar(item)).collect()
        }
        _ => scalar(expression).into_iter().collect(),
    }
}

fn scalar(expression: &Expr) -> Option<Value> {
    match expression {
        Expr::String { value, .. } | Expr::RawString { value, .. } => match value {
            Rego::String(text) => Some(Value::from(&**text)),
            _ => None,
        },
        Expr::Bool { value: Rego::Bool(value), .. } => Some(Value::from(*value)),
        Expr::Number { value, .. } => serde_json::from_str(&value.to_json_str().ok()?).ok(),
        _ => None,
    }
}
