//! What a change of the baseline lets in and shuts out, key by key.
//!
//! It goes by the form of each key's name, as the policies that ship use them: in a list `allowed_…` a value more
//! lets something in, in a list `required_…` it shuts something out, `allow_…` is a boolean that lets in when true.
//! Of other keys it says only that they changed.

use std::collections::BTreeSet;

use attestation::printable;
use serde_json::Value;

use crate::Baseline;
use crate::baseline::{NOTES, waiver_reason};

/// What a change does to what the baseline allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Tokens pass that did not.
    LetsIn,
    /// Tokens that passed do not any more.
    ShutsOut,
    /// Neither, or it depends on the policy.
    Other,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, printable.
    pub key: String,
    /// What it does.
    pub effect: Effect,
    /// The value or values that it is about, printable.
    pub what: String,
}

impl Baseline {
    /// What is different in `new`, in the order of the keys' names. The order of values in a list means nothing.
    pub fn changes_to(&self, new: &Self) -> Vec<Change> {
        let keys: BTreeSet<&String> = self.members().keys().chain(new.members().keys()).collect();
        let mut changes = Vec::new();
        for key in keys {
            let change = |(effect, what)| Change { key: printable(key), effect, what };
            let (old, new) = (self.members().get(key), new.members().get(key));
            changes.extend(of_key(key, old, new).into_iter().map(change));
        }
        changes
    }
}

fn of_key(key: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<(Effect, String)> {
    use Effect::{LetsIn, Other, ShutsOut};
    if key == NOTES {
        return notes(old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
    }
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (Some(old), Some(new)) if old == new => return Vec::new(),
        (None, Some(new)) => return vec![(Other, format!("new: {}", shown(new)))],
        (Some(old), None) => {
            return vec![(
                Other,
                format!("gone: {}; a policy that reads it refuses the baseline", shown(old)),
            )];
        }
        (Some(old), Some(new)) => (old, new),
    };
    // What a value more and a value less do.
    let (more, less, prefix) = match key {
        _ if key.starts_with("allowed_") => (LetsIn, ShutsOut, ""),
        _ if key.starts_with("required_") => (ShutsOut, LetsIn, "tokens without "),
        _ => (Other, Other, ""),
    };
    match (waiver_reason(old), waiver_reason(new), old, new) {
        (Some(old), Some(new), ..) => {
            vec![(Other, format!("its reason was {}, is {}", printable(old), printable(new)))]
        }
        (None, Some(reason), ..) => vec![(LetsIn, format!("anything: {}", printable(reason)))],
        (Some(_), None, ..) => vec![(ShutsOut, format!("everything but {}", shown(new)))],
        (None, None, Value::Array(old), Value::Array(new)) => {
            let without = |all: &[Value], others: &[Value], effect, verb: &str| -> Vec<(Effect, String)> {
                let only = all.iter().filter(|value| !others.contains(value));
                let verb = if effect == Other { verb } else { "" };
                only.map(|value| (effect, format!("{verb}{prefix}{}", shown(value)))).collect()
            };
            [without(new, old, more, "added: "), without(old, new, less, "removed: ")].concat()
        }
        (None, None, Value::Bool(old), Value::Bool(new)) if key.starts_with("allow_") => {
            vec![(if *new { LetsIn } else { ShutsOut }, format!("{new}, was {old}"))]
        }
        _ => vec![(Other, format!("was {}, is {}", shown(old), shown(new)))],
    }
}

fn notes(old: &Value, new: &Value) -> Vec<(Effect, String)> {
    let none = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let digests: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = digests.into_iter().filter(|digest| old.get(*digest) != new.get(*digest));
    let what = |digest: &String| {
        let note = new.get(digest).map_or_else(|| "gone".to_owned(), shown);
        (Effect::Other, format!("{}: {note}", printable(digest)))
    };
    changed.map(what).collect()
}

/// A string without quotes, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            items.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        other => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(old: Value, new: Value) -> Vec<(Effect, String)> {
        let parsed = |value: Value| Baseline::parse(&value.to_string()).unwrap();
        parsed(old)
            .changes_to(&parsed(new))
            .into_iter()
            .map(|change| (change.effect, format!("{} {}", change.key, change.what)))
            .collect()
    }

    #[test]
    fn each_change_says_what_it_lets_in_and_shuts_out() {
        use Effect::{LetsIn, Other, ShutsOut};
        let open = json!({"any": true, "reason": "mine"});
        let rows = [
            (json!({"allowed_aud": ["a", "b"]}), json!({"allowed_aud": ["b", "a"]}), vec![]),
            (
                json!({"allowed_aud": ["a", "b"]}),
                json!({"allowed_aud": ["b", "c"]}),
                vec![(LetsIn, "allowed_aud c"), (ShutsOut, "allowed_aud a")],
            ),
            (
                json!({"required_support_attributes": ["STABLE"]}),
                json!({"required_support_attributes": ["USABLE"]}),
                vec![
                    (ShutsOut, "required_support_attributes tokens without USABLE"),
                    (LetsIn, "required_support_attributes tokens without STABLE"),
                ],
            ),
            (
                json!({"allowed_project_id": ["p"]}),
                json!({"allowed_project_id": open}),
                vec![(LetsIn, "allowed_project_id anything: mine")],
            ),
            (
                json!({"allowed_project_id": open}),
                json!({"allowed_project_id": ["p", "q"]}),
                vec![(ShutsOut, "allowed_project_id everything but p, q")],
            ),
            (
                json!({"allowed_project_id": open}),
                json!({"allowed_project_id": {"any": true, "reason": "x"}}),
                vec![(Other, "allowed_project_id its reason was mine, is x")],
            ),
            (
                json!({"required_support_attributes": ["STABLE"]}),
                json!({"required_support_attributes": open}),
                vec![(LetsIn, "required_support_attributes anything: mine")],
            ),
            (
                json!({"allow_cmd_override": false}),
                json!({"allow_cmd_override": true}),
                vec![(LetsIn, "allow_cmd_override true, was false")],
            ),
            (
                json!({"allow_cmd_override": true}),
                json!({"allow_cmd_override": false}),
                vec![(ShutsOut, "allow_cmd_override false, was true")],
            ),
            (
                json!({"allowed_secboot": [true]}),
                json!({"allowed_secboot": [true, false]}),
                vec![(LetsIn, "allowed_secboot false")],
            ),
            (json!({}), json!({"allowed_aud": ["a"]}), vec![(Other, "allowed_aud new: a")]),
            (
                json!({"allowed_aud": ["a"]}),
                json!({}),
                vec![(Other, "allowed_aud gone: a; a policy that reads it refuses the baseline")],
            ),
            (
                json!({"image_digest_notes": {"sha256:1": {"label": "a"}, "sha256:2": {}}}),
                json!({"image_digest_notes": {"sha256:1": {"label": "b"}}}),
                vec![
                    (Other, "image_digest_notes sha256:1: {\"label\":\"b\"}"),
                    (Other, "image_digest_notes sha256:2: gone"),
                ],
            ),
            (
                json!({"image_digest_notes": {"sha256:1": {}}}),
                json!({}),
                vec![(Other, "image_digest_notes sha256:1: gone")],
            ),
            (
                json!({"mine": ["a"]}),
                json!({"mine": ["b"]}),
                vec![(Other, "mine added: b"), (Other, "mine removed: a")],
            ),
            (json!({"mine": 1}), json!({"mine": "\u{202e}x"}), vec![(Other, "mine was 1, is \\u{202e}x")]),
        ];
        for (old, new, wanted) in rows {
            let wanted: Vec<(Effect, String)> =
                wanted.into_iter().map(|(effect, what)| (effect, what.to_owned())).collect();
            assert_eq!(changes(old.clone(), new.clone()), wanted, "{old} {new}");
        }
    }
}
