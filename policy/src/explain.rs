//! Why each check and rule came to what it did: the values found beside the values wanted.
//!
//! Found are the claims that a rule reads, wanted the baseline's values and the session's facts that it reads.
//! Which those are comes from the policy's syntax, so it works for any policy. Everything is printable and short.

use std::fmt;

use attestation::printable;
use regorus::Value as Rego;

use crate::Outcome;
use crate::compile::Rule;
use crate::evaluate::{Judged, SESSION_AUDIENCE, SESSION_CLAIM, SESSION_NONCE};
use crate::facts::SESSION;

/// Most elements of a list that are shown.
pub const MAX_SHOWN_VALUES: usize = 8;

/// One check or rule, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The rule's name in the policy, or the check's.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The claims that it reads, as the token has them. `allow` reads what its rules read; that is theirs to show.
    pub found: Vec<Read>,
    /// The baseline's values and the session's facts that it reads.
    pub wanted: Vec<Read>,
}

/// A path that a rule reads, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The claim's path (`submods.container.image_digest`; of a list of objects the members of all of them, as in
    /// `submods.container.image_signatures.key_id`), the baseline's key, or `session` and a fact's name.
    pub path: String,
    /// What is there.
    pub value: Shown,
}

/// A value, printable and short. `Display` joins a list with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing is there.
    Absent,
    /// One value; strings without quotes.
    One(String),
    /// A list's first [`MAX_SHOWN_VALUES`] elements, or an object's names.
    Many {
        /// The elements or names.
        values: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// The owner allows anything, for this reason.
    Waived(String),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::One(value) => f.write_str(value),
            Self::Many { values, .. } if values.is_empty() => f.write_str("none"),
            Self::Many { values, more: 0 } => f.write_str(&values.join(", ")),
            Self::Many { values, more } => write!(f, "{} and {more} more", values.join(", ")),
            Self::Waived(reason) => write!(f, "anything ({reason})"),
        }
    }
}

pub(crate) fn explain(judged: &Judged) -> Vec<Explained> {
    let checks = judged.checks.iter().map(|check| {
        let (found, wanted) = reads_of_check(judged, &check.name);
        Explained { name: check.name.clone(), outcome: check.outcome.clone(), found, wanted }
    });
    let rules = judged.rules().iter().zip(judged.policy.rules.iter()).map(|(outcome, rule)| {
        let (found, wanted) = reads_of_rule(judged, rule);
        Explained { name: outcome.name.clone(), outcome: outcome.outcome.clone(), found, wanted }
    });
    checks.chain(rules).collect()
}

fn reads_of_check(judged: &Judged, name: &str) -> (Vec<Read>, Vec<Read>) {
    let claim = |name: &str| Read { path: name.to_owned(), value: shown(lookup(&judged.input, [name])) };
    let ours = |name: &str, value: Shown| Read { path: format!("{SESSION}.{name}"), value };
    match name {
        SESSION_NONCE => {
            let nonce = lookup(&judged.input, [SESSION, "nonce"]);
            (vec![claim("eat_nonce")], vec![ours("nonce", shown(nonce))])
        }
        SESSION_AUDIENCE => {
            let audience = Shown::One(printable(&judged.audience));
            (vec![claim("aud")], vec![ours("audience", audience)])
        }
        // The claim itself is gone: in the input our facts stand in its place.
        SESSION_CLAIM => {
            let value = match judged.checks.iter().find(|check| check.name == SESSION_CLAIM) {
                Some(check) if check.outcome == Outcome::True => Shown::Absent,
                _ => Shown::One("a claim of our name".to_owned()),
            };
            let read = |value| Read { path: SESSION.to_owned(), value };
            (vec![read(value)], vec![read(Shown::Absent)])
        }
        _ => (Vec::new(), Vec::new()),
    }
}

fn reads_of_rule(judged: &Judged, rule: &Rule) -> (Vec<Read>, Vec<Read>) {
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    for path in &rule.reads {
        let Some((root, steps)) = path.split_first() else {
            continue;
        };
        let at = || steps.iter().map(String::as_str);
        let is_data = root == "data";
        let is_claim = !is_data && steps.first().is_none_or(|first| first != SESSION);
        // Of `data.allowed_aud` and `data.allowed_aud.any` the first says all; of `input.submods.container`
        // and a claim inside it, the claim does.
        let said_by_another = rule.reads.iter().any(|other| {
            if is_claim {
                other.len() > path.len() && other.starts_with(path)
            } else {
                other.len() < path.len() && path.starts_with(other)
            }
        });
        if said_by_another {
            continue;
        }
        let value = if is_data {
            let value = lookup(&judged.policy.data, at());
            waiver(value).map_or_else(|| shown_of_owner(value), Shown::Waived)
        } else {
            shown_claim(&judged.input, steps)
        };
        let path = printable(&steps.join("."));
        if is_claim { &mut found } else { &mut wanted }.push(Read { path, value });
    }
    (found, wanted)
}

fn lookup<'a, 'b>(document: &'a Rego, steps: impl IntoIterator<Item = &'b str>) -> Option<&'a Rego> {
    steps.into_iter().try_fold(document, |value, step| value.as_object().ok()?.get(&Rego::from(step)))
}

/// A claim; where a step leads into a list of objects, that member of each.
fn shown_claim(input: &Rego, steps: &[String]) -> Shown {
    let mut value = input;
    for (at, step) in steps.iter().enumerate() {
        if let Rego::Array(items) = value {
            let rest = || steps.iter().skip(at).map(String::as_str);
            return cut(items.iter().filter_map(|item| lookup(item, rest())), scalar);
        }
        match lookup(value, [step.as_str()]) {
            Some(member) => value = member,
            None => return Shown::Absent,
        }
    }
    shown(Some(value))
}

/// A value of the baseline: what nests in it is shown too, for it is the owner's own.
fn shown_of_owner(value: Option<&Rego>) -> Shown {
    let whole = |item: &Rego| match item {
        Rego::Object(_) => serde_json::to_string(item).map_or_else(|_| scalar(item), |json| printable(&json)),
        _ => scalar(item),
    };
    match value {
        Some(Rego::Array(items)) => cut(items.iter(), whole),
        _ => shown(value),
    }
}

fn shown(value: Option<&Rego>) -> Shown {
    match value {
        None | Some(Rego::Undefined) => Shown::Absent,
        Some(Rego::Array(items)) => cut(items.iter(), scalar),
        // An object's names are enough: the values of an environment can be somebody's secrets.
        Some(Rego::Object(members)) => cut(members.keys_sorted(), scalar),
        Some(single) => Shown::One(scalar(single)),
    }
}

fn waiver(value: Option<&Rego>) -> Option<String> {
    let value = value?;
    let any = lookup(value, ["any"])?;
    let reason = lookup(value, ["reason"])?.as_string().ok()?;
    (*any == Rego::Bool(true)).then(|| printable(reason))
}

fn cut<'a>(items: impl Iterator<Item = &'a Rego>, one: impl Fn(&Rego) -> String) -> Shown {
    let (mut values, mut more) = (Vec::new(), 0);
    for item in items {
        if values.len() < MAX_SHOWN_VALUES {
            values.push(one(item));
        } else {
            more += 1;
        }
    }
    Shown::Many { values, more }
}

/// A string without quotes, anything else as JSON; of what nests only its kind.
fn scalar(value: &Rego) -> String {
    match value {
        Rego::String(text) => printable(text),
        Rego::Null => "null".to_owned(),
        Rego::Bool(boolean) => boolean.to_string(),
        Rego::Number(_) => {
            value.to_json_str().map_or_else(|_| "a number".to_owned(), |text| printable(&text))
        }
        Rego::Array(_) | Rego::Set(_) => "a list".to_owned(),
        Rego::Object(_) => "an object".to_owned(),
        Rego::Undefined => "undefined".to_owned(),
    }
}
