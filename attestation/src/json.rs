//! JSON from strangers: every object's member names are unique, nesting is bounded (by serde_json, at
//! 128 levels), nothing follows the value.
//!
//! Parsers disagree on which of two equal names counts; a verifier that reads one and a policy that
//! reads the other can be played against each other. RFC 7515 §4 and RFC 7519 §4 ask for unique names.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses an object whose member names are unique at every level.
///
/// # Errors
/// serde_json's, with a text that may quote the input: it is for tokens and baselines, not for PHI.
pub fn object_with_unique_names(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = UniqueNames.deserialize(&mut deserializer)?;
    deserializer.end()?;
    match value {
        Value::Object(members) => Ok(members),
        other => Err(serde_json::Error::custom(format_args!("wanted an object, got {}", kind(&other)))),
    }
}

/// Whether an object, read as strictly as by [`object_with_unique_names`], has a member of this name that is not null.
/// Nothing of it is kept.
///
/// # Errors
/// serde_json's, with a text that may quote the input.
pub fn has_member(bytes: &[u8], name: &str) -> Result<bool, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let has = deserializer.deserialize_map(HasMember(name))?;
    deserializer.end()?;
    Ok(has)
}

struct HasMember<'a>(&'a str);

impl<'de> Visitor<'de> for HasMember<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let (mut seen, mut has) = (BTreeSet::new(), false);
        while let Some((Name(name), value)) = members.next_entry::<Name<'de>, Outline<'de>>()? {
            has |= name == self.0 && value != Outline::Other("null");
            if !seen.insert(name) {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(has)
    }
}

/// What a JSON value is, in a word.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_u64() => "a whole number",
        Value::Number(_) => "a negative or fractional number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

struct UniqueNames;

impl<'de> DeserializeSeed<'de> for UniqueNames {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique member names")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueNames)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate name {}", crate::printable(&name))));
            }
            let value = members.next_value_seed(UniqueNames)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A member's name, borrowed unless it was written with escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The outline of a JSON value that may be of the wrong type, borrowed from the input: enough to tell
/// "x5c is a string" from "x5c has four entries" without building a tree.
///
/// What it leaves out is read as strictly as the rest: names are unique, strings are UTF-8, nesting is
/// bounded. serde's `IgnoredAny` looks at none of these.
#[derive(Debug, PartialEq)]
pub(crate) enum Outline<'a> {
    Text(Cow<'a, str>),
    Array(Vec<Outline<'a>>),
    Boolean(bool),
    /// Written without sign, fraction and exponent, and fits into 64 bits.
    Whole(u64),
    Other(&'static str),
}

impl Outline<'_> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Boolean(_) => "a boolean",
            Self::Whole(_) => "a number",
            Self::Other(kind) => kind,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Outline<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Outline::Boolean(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Outline::Other("a negative number"))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Outline::Whole(value))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Outline::Other("a number with a fraction or an exponent"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Outline::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Outline::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Outline::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Outline::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut seen: BTreeSet<Cow<'de, str>> = BTreeSet::new();
        while let Some((Name(name), _)) = members.next_entry::<Name<'de>, Outline<'de>>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Outline::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_occur_twice_are_refused_at_every_level_and_however_they_are_written() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[{"a":1},{"a":1,"a":2}]}"#,
        ] {
            let error = object_with_unique_names(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("duplicate name a"), "{text}: {error}");
        }
        assert!(object_with_unique_names(br#"{"a":{"b":1},"c":{"b":1}}"#).is_ok());
    }

    #[test]
    fn a_member_is_there_only_in_an_object_that_is_read_to_its_end_as_strictly() {
        let rows = [
            (r#"{"x5c":[]}"#, true),
            (r#"{"a":{"b":[1,null]},"\u0078\u0035c":"y"}"#, true),
            (r#"{"x5c":{}}"#, true),
            (r#"{"x5c":null}"#, false),
            (r#"{"a":{"x5c":1},"X5C":1}"#, false),
            ("{}", false),
        ];
        for (text, has) in rows {
            assert_eq!(has_member(text.as_bytes(), "x5c").unwrap(), has, "{text}");
            assert!(object_with_unique_names(text.as_bytes()).is_ok(), "{text}");
        }
        let refused =
            ["", "1", "[]", "null", "{} {}", r#"{"x5c":1,"x5c":1}"#, r#"{"x5c":1,"a":{"b":1,"b":1}}"#];
        for text in refused {
            assert!(has_member(text.as_bytes(), "x5c").is_err(), "{text}");
        }
        assert!(has_member(b"{\"x5c\":\"\xff\"}", "x5c").is_err());
    }

    #[test]
    fn what_is_no_object_or_goes_on_after_it_is_refused() {
        for text in ["", "1", "[]", "null", "{} {}", "{}x", "{\"a\":}", "\u{feff}{}"] {
            assert!(object_with_unique_names(text.as_bytes()).is_err(), "{text}");
        }
        assert!(object_with_unique_names(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_without_overflowing_the_stack() {
        let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
        assert!(object_with_unique_names(format!("{{\"a\":{deep}}}").as_bytes()).is_err());
        assert!(serde_json::from_str::<Outline<'_>>(&deep).is_err());
    }

    #[test]
    fn values_keep_their_json_types() {
        let text = r#"{"n":null,"b":true,"u":1,"i":-1,"f":1.5,"s":"é\n","a":[1,[2]],"o":{}}"#;
        let parsed = object_with_unique_names(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(parsed), serde_json::from_str::<Value>(text).unwrap());
    }
}
