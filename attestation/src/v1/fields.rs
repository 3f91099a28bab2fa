//! The strict reading of one message: exactly the named keys, each once, each of its type.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::error::MessageError;
use crate::json::{Name, Outline};
use crate::printable;

/// The members of a message. Each reader takes its own out; what is left at [`Fields::finish`] is unknown.
pub(super) struct Fields<'a> {
    message: &'static str,
    members: BTreeMap<Cow<'a, str>, Outline<'a>>,
}

impl<'a> Fields<'a> {
    /// Parses `text` if it is at most `limit` bytes long.
    pub(super) fn parse(message: &'static str, limit: usize, text: &'a str) -> Result<Self, MessageError> {
        if text.len() > limit {
            return Err(MessageError::TooLarge { message, limit, got: text.len() });
        }
        let Object { members, duplicate } = serde_json::from_str(text).map_err(|error| {
            // serde's own words may quote the message, a token for example.
            MessageError::Json { message, line: error.line(), column: error.column() }
        })?;
        match duplicate {
            Some(key) => Err(MessageError::DuplicateKey { message, key }),
            None => Ok(Self { message, members }),
        }
    }

    pub(super) fn message(&self) -> &'static str {
        self.message
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Cow<'a, str>, MessageError> {
        match self.take(key)? {
            Outline::Text(text) => Ok(text),
            other => Err(self.wrong_type(key, "a string", &other)),
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Result<bool, MessageError> {
        match self.take(key)? {
            Outline::Boolean(boolean) => Ok(boolean),
            other => Err(self.wrong_type(key, "a boolean", &other)),
        }
    }

    /// A number without sign, fraction and exponent that fits into 64 bits.
    pub(super) fn whole(&mut self, key: &'static str) -> Result<u64, MessageError> {
        match self.take(key)? {
            Outline::Whole(number) => Ok(number),
            other => Err(self.wrong_type(key, "a whole number of 0 or more", &other)),
        }
    }

    /// The member `v`, which comes first: what belongs to another version need not have the keys of this one.
    pub(super) fn version(&mut self, wanted: u64) -> Result<(), MessageError> {
        match self.whole("v")? {
            got if got == wanted => Ok(()),
            got => Err(MessageError::Version { message: self.message, got }),
        }
    }

    pub(super) fn bytes(&mut self, key: &'static str) -> Result<Vec<u8>, MessageError> {
        let text = self.text(key)?;
        STANDARD.decode(text.as_bytes()).map_err(|_| MessageError::Encoding { message: self.message, key })
    }

    pub(super) fn hash(&mut self, key: &'static str) -> Result<[u8; 32], MessageError> {
        let text = self.text(key)?;
        self.decode_hash(key, &text)
    }

    /// An array of base64 of 32 bytes each, of which `admit` must take the length before one is decoded.
    pub(super) fn hashes<E>(
        &mut self,
        key: &'static str,
        admit: impl FnOnce(usize) -> Result<(), E>,
    ) -> Result<Result<Vec<[u8; 32]>, E>, MessageError> {
        let items = match self.take(key)? {
            Outline::Array(items) => items,
            other => return Err(self.wrong_type(key, "an array", &other)),
        };
        if let Err(error) = admit(items.len()) {
            return Ok(Err(error));
        }
        let hashes = items.iter().map(|item| match item {
            Outline::Text(text) => self.decode_hash(key, text),
            other => Err(self.wrong_type(key, "an array of strings", other)),
        });
        hashes.collect::<Result<_, _>>().map(Ok)
    }

    /// All keys have been taken, or there is one that this message does not have.
    pub(super) fn finish(self) -> Result<(), MessageError> {
        match self.members.keys().next() {
            Some(key) => Err(MessageError::UnknownKey { message: self.message, key: printable(key) }),
            None => Ok(()),
        }
    }

    fn take(&mut self, key: &'static str) -> Result<Outline<'a>, MessageError> {
        self.members.remove(key).ok_or(MessageError::MissingKey { message: self.message, key })
    }

    fn wrong_type(&self, key: &'static str, wanted: &'static str, got: &Outline<'_>) -> MessageError {
        MessageError::WrongType { message: self.message, key, wanted, got: got.kind() }
    }

    fn decode_hash(&self, key: &'static str, text: &str) -> Result<[u8; 32], MessageError> {
        const CHARACTERS: usize = 44;
        let message = self.message;
        if text.len() != CHARACTERS {
            return Err(MessageError::Length { message, key, wanted: 32, got: text.len() });
        }
        let bytes = STANDARD.decode(text).map_err(|_| MessageError::Encoding { message, key })?;
        // 44 characters with one sign of padding more are 31 bytes.
        bytes.try_into().map_err(|_| MessageError::Length { message, key, wanted: 32, got: text.len() })
    }
}

/// Base64 as [`Fields`] reads it.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

struct Object<'a> {
    members: BTreeMap<Cow<'a, str>, Outline<'a>>,
    duplicate: Option<String>,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Object { members: BTreeMap::new(), duplicate: None };
        while let Some(Name(name)) = entries.next_key()? {
            let value = entries.next_value()?;
            match object.members.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(taken) => {
                    object.duplicate.get_or_insert_with(|| printable(taken.key()));
                }
            }
        }
        Ok(object)
    }
}
