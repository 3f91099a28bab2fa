//! What the relying party knows of its session, and the input that rules see: claims and `input.session`.

use attestation::{Nonce, Role};
use regorus::Value as Rego;
use rustls_pki_types::UnixTime;
use serde_json::{Map, Value};

/// The key under which the session's facts stand in the input. A token that has a claim of this name is refused.
pub(crate) const SESSION: &str = "session";

/// What a decision rests on besides the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The nonce that a token for this session carries, worked out from our own end of it.
    pub nonce: Nonce,
    /// Our name: the only audience that a token may have.
    pub audience: String,
    /// Version of the wire, `input.session.wire`.
    pub wire: u8,
    /// Which end the attester is, `input.session.role`.
    pub role: Role,
    /// The present time, whole seconds since 1970 in `input.session.now`.
    pub now: UnixTime,
}

/// The same for looking at a token offline, where the session's nonce may not be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsForReading {
    /// The nonce to look for; `None` feeds the rules the token's own and reports nonces as not checked.
    pub nonce: Option<Nonce>,
    /// The audience to look for.
    pub audience: String,
    /// Version of the wire, `input.session.wire`.
    pub wire: u8,
    /// Which end the attester is, `input.session.role`.
    pub role: Role,
    /// The time to judge at, whole seconds since 1970 in `input.session.now`.
    pub now: UnixTime,
}

impl From<SessionFacts> for FactsForReading {
    fn from(facts: SessionFacts) -> Self {
        Self {
            nonce: Some(facts.nonce),
            audience: facts.audience,
            wire: facts.wire,
            role: facts.role,
            now: facts.now,
        }
    }
}

/// The one string of a claim that may be a string or an array of strings (RFC 7519 §4.1.3, RFC 9711 §4.1).
pub(crate) fn only_string<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    match claims.get(name)? {
        Value::String(text) => Some(text),
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The input: every claim as it came, except that one-element arrays of nonce and audience become the string,
/// and `session`, which is ours alone.
pub(crate) fn input(claims: &Map<String, Value>, facts: &FactsForReading) -> Rego {
    let claims_as_rules_see_them = claims.iter().filter(|(name, _)| *name != SESSION).map(|(name, value)| {
        let only = match name.as_str() {
            "aud" | "eat_nonce" => only_string(claims, name),
            _ => None,
        };
        (name.as_str(), only.map_or_else(|| to_rego(value), Rego::from))
    });
    object(claims_as_rules_see_them.chain([(SESSION, session(claims, facts))]))
}

fn session(claims: &Map<String, Value>, facts: &FactsForReading) -> Rego {
    let nonce = match &facts.nonce {
        Some(nonce) => Some(nonce.as_str()),
        None => only_string(claims, "eat_nonce"),
    };
    let always = [
        ("now", Rego::from(facts.now.as_secs())),
        ("role", Rego::from(facts.role.as_str())),
        ("wire", Rego::from(u64::from(facts.wire))),
    ];
    object(always.into_iter().chain(nonce.map(|nonce| ("nonce", Rego::from(nonce)))))
}

/// The same value in regorus' terms. Nesting is bounded by the JSON parser, at 128.
pub(crate) fn to_rego(value: &Value) -> Rego {
    match value {
        Value::Null => Rego::Null,
        Value::Bool(boolean) => Rego::Bool(*boolean),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(natural), _, _) => Rego::from(natural),
            (None, Some(whole), _) => Rego::from(whole),
            (None, None, Some(fraction)) => Rego::from(fraction),
            (None, None, None) => Rego::Undefined,
        },
        Value::String(text) => Rego::from(text.as_str()),
        Value::Array(items) => Rego::from(items.iter().map(to_rego).collect::<Vec<_>>()),
        Value::Object(members) => object(members.iter().map(|(name, value)| (name.as_str(), to_rego(value)))),
    }
}

/// Inserting one by one is faster than [`Rego`]'s conversion from a map, which sorts and copies.
fn object<'a>(members: impl Iterator<Item = (&'a str, Rego)>) -> Rego {
    let mut object = Rego::new_object();
    if let Ok(inside) = object.as_object_mut() {
        for (name, value) in members {
            inside.insert(Rego::from(name), value);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_json_value_becomes_the_same_value_in_rego() {
        for value in [
            json!(null),
            json!(true),
            json!(0),
            json!(-7),
            json!(1.5),
            json!(u64::MAX),
            json!("é\n"),
            json!([1, [], {"a": {}}]),
            json!({"b": [null], "a": "x"}),
        ] {
            let by_text = Rego::from_json_str(&value.to_string()).unwrap();
            assert_eq!(to_rego(&value), by_text, "{value}");
        }
    }

    #[test]
    fn only_one_string_counts_as_one_string() {
        let rows = [
            (json!("a"), Some("a")),
            (json!(["a"]), Some("a")),
            (json!([]), None),
            (json!(["a", "a"]), None),
            (json!(["a", 1]), None),
            (json!([["a"]]), None),
            (json!([1]), None),
            (json!(null), None),
            (json!({"0": "a"}), None),
        ];
        for (value, wanted) in rows {
            let claims = Map::from_iter([("aud".to_owned(), value.clone())]);
            assert_eq!(only_string(&claims, "aud"), wanted, "{value}");
        }
        assert_eq!(only_string(&Map::new(), "aud"), None);
    }
}
