//! The data owner's baseline: the values that a policy allows, `data` in Rego.
//!
//! An allow-list that is empty, missing or misspelt must never come to mean "anything" or go unnoticed, so
//! every key that the policy reads has to be there, with a non-empty list. Allowing anything takes the
//! explicit `{"any": true, "reason": "…"}`, which every report shows.

use std::collections::BTreeSet;

use attestation::json::{kind, object_with_unique_names};
use attestation::printable;
use serde_json::{Map, Value};

use crate::merge::merged;
use crate::{BaselineError, PACKAGE, PolicySource};

/// Longest baseline text, in bytes.
pub const MAX_BASELINE_BYTES: usize = 1024 * 1024;

const DIGESTS: &str = "allowed_submods_container_image_digest";
pub(crate) const CLIENTS: &str = "allowed_client";
/// The members of a client in that list.
pub(crate) const KEY_ID_OF: &str = "image_signature_key_id";
pub(crate) const PROJECT_OF: &str = "project_id";
pub(crate) const ACCOUNT_OF: &str = "service_account";
pub(crate) const NOTES: &str = "image_digest_notes";
const SECBOOT: &str = "allowed_secboot";
const ENV_OVERRIDE: &str = "allowed_env_override";
pub(crate) const CMD_OVERRIDE: &str = "allow_cmd_override";

const LIST: &str = "a non-empty list, or {\"any\": true, \"reason\": \"…\"} to allow anything on purpose";
const LIST_OF_NAMES: &str = "a list of names, empty for none, or {\"any\": true, \"reason\": \"…\"}";
const LIST_OF_CLIENTS: &str =
    "a non-empty list of clients, or {\"any\": true, \"reason\": \"…\"} to allow any on purpose";
const CLIENT: &str = "{\"image_signature_key_id\": \"…\"} or {\"project_id\": \"…\", \"service_account\": \"…\"}, \
                      and a label if you like";
const KEY_ID: &str = "64 lower-case hexadecimal digits, the SHA-256 of the public key";
const CODELAB_LIST: &str = "a non-empty list";
const BOOLEAN: &str = "true or false";
const DIGEST: &str = "\"sha256:\" and 64 lower-case hexadecimal digits";
const NOTE: &str = "an object of label, date and notAfter, each a string";

/// A baseline that is well-formed JSON. Whether it fits a policy is decided when both are put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    members: Map<String, Value>,
    sha256: String,
}

/// An allow-list that the owner has opened on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The baseline's key.
    pub key: String,
    /// Why, in the owner's words, made printable.
    pub reason: String,
}

/// What the owner has noted beside an approved image digest. Only shown, never decisive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestNote {
    /// What it is, for example `usleep 0.3.1`.
    pub label: Option<String>,
    /// When it was pinned.
    pub date: Option<String>,
    /// Until when it should be used.
    pub not_after: Option<String>,
}

impl Baseline {
    /// Parses the text of a baseline.
    ///
    /// # Errors
    /// [`BaselineError::TooLarge`] above [`MAX_BASELINE_BYTES`]; [`BaselineError::Json`] if it is no JSON object
    /// or has a name twice, at any level.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        if text.len() > MAX_BASELINE_BYTES {
            return Err(BaselineError::TooLarge { got: text.len() });
        }
        let members = object_with_unique_names(text.as_bytes())
            .map_err(|error| BaselineError::Json { message: printable(&error.to_string()) })?;
        let sha256 = crate::compile::sha256_hex(text.as_bytes());
        Ok(Self { members, sha256 })
    }

    /// SHA-256 of the exact text, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Everything that the policy needs and that is not there in the form it needs, in the order of the keys.
    pub(crate) fn faults(&self, source: &PolicySource, keys: &BTreeSet<String>) -> Vec<BaselineError> {
        let mut faults = Vec::new();
        if let Some(value) = self.members.get(PACKAGE) {
            faults.push(wrong(PACKAGE, "another name, this is the policy's own", kind(value)));
        }
        for key in keys.iter().filter(|key| *key != PACKAGE && *key != NOTES) {
            let fits = match (self.members.get(key), source) {
                (None, _) => Err(BaselineError::Missing { key: printable(key), wanted: wanted(source, key) }),
                (Some(value), PolicySource::Codelab) => non_empty_list(key, value, CODELAB_LIST),
                (Some(value), _) => approved(key, value),
            };
            faults.extend(fits.err());
        }
        if matches!(source, PolicySource::Default | PolicySource::Client) {
            let unknown = self.unread(keys).map(|key| BaselineError::Unknown { key: printable(key) });
            faults.extend(unknown);
        }
        if let Some(notes) = self.members.get(NOTES)
            && *source != PolicySource::Codelab
        {
            faults.extend(well_noted(notes).err());
        }
        faults
    }

    /// Keys that no rule reads.
    pub(crate) fn unread(&self, keys: &BTreeSet<String>) -> impl Iterator<Item = &str> {
        let unread = |key: &&str| !keys.contains(*key) && *key != NOTES && *key != PACKAGE;
        self.members.keys().map(String::as_str).filter(unread)
    }

    /// The baseline changed by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// As [`Baseline::parse`], also if the patch is no object.
    pub fn patched(&self, patch: &Value) -> Result<Self, BaselineError> {
        Self::parse(&merged(&Value::Object(self.members.clone()), patch).to_string())
    }

    /// Lists that are open on purpose, among the keys that a policy reads.
    pub(crate) fn waivers(&self, keys: &BTreeSet<String>) -> Vec<Waiver> {
        let waiver = |(key, value): (&String, &Value)| {
            waiver_reason(value).map(|reason| Waiver { key: printable(key), reason: printable(reason) })
        };
        self.members.iter().filter(|(key, _)| keys.contains(*key)).filter_map(waiver).collect()
    }

    /// The owner's note on an image digest.
    pub fn digest_note(&self, digest: &str) -> Option<DigestNote> {
        let note = self.members.get(NOTES)?.as_object()?.get(digest)?;
        let part = |name| note.get(name).and_then(Value::as_str).map(printable);
        Some(DigestNote { label: part("label"), date: part("date"), not_after: part("notAfter") })
    }
}

/// What belongs under a key, for an owner who has to add it.
fn wanted(source: &PolicySource, key: &str) -> &'static str {
    match (source, key) {
        (PolicySource::Codelab, _) => CODELAB_LIST,
        (_, CMD_OVERRIDE) => BOOLEAN,
        (_, ENV_OVERRIDE) => LIST_OF_NAMES,
        (_, CLIENTS) => LIST_OF_CLIENTS,
        _ => LIST,
    }
}

/// The forms of the keys of the project's own policies. A policy of the owner's own may have keys of its own: what is a
/// list there must not be empty, and what is named like an allow-list must be one.
fn approved(key: &str, value: &Value) -> Result<(), BaselineError> {
    if key == CMD_OVERRIDE {
        return match value {
            Value::Bool(_) => Ok(()),
            other => Err(wrong(key, BOOLEAN, kind(other))),
        };
    }
    let wanted = match key {
        ENV_OVERRIDE => LIST_OF_NAMES,
        CLIENTS => LIST_OF_CLIENTS,
        _ => LIST,
    };
    match value {
        Value::Object(members) if members.contains_key("any") => match waiver_reason(value) {
            Some(_) => Ok(()),
            None => Err(wrong(
                key,
                "exactly {\"any\": true, \"reason\": \"…\"}, with a reason",
                "something else beside `any`",
            )),
        },
        Value::Array(items) => {
            if key != ENV_OVERRIDE {
                non_empty_list(key, value, wanted)?;
            }
            items.iter().enumerate().try_for_each(|(at, item)| well_formed(key, at, item))
        }
        other if key.starts_with("allowed_") || key.starts_with("required_") => {
            Err(wrong(key, wanted, kind(other)))
        }
        _ => Ok(()),
    }
}

fn non_empty_list(key: &str, value: &Value, wanted: &'static str) -> Result<(), BaselineError> {
    match value {
        Value::Array(items) if items.is_empty() => Err(BaselineError::Empty { key: printable(key), wanted }),
        Value::Array(_) => Ok(()),
        other => Err(wrong(key, wanted, kind(other))),
    }
}

fn well_formed(key: &str, at: usize, item: &Value) -> Result<(), BaselineError> {
    let place = format!("{key}[{at}]");
    match (key, item) {
        (SECBOOT, Value::Bool(_)) => Ok(()),
        (SECBOOT, other) => Err(wrong(&place, BOOLEAN, kind(other))),
        (DIGESTS, Value::String(digest)) if is_digest(digest) => Ok(()),
        (DIGESTS, Value::String(other)) => Err(wrong(&place, DIGEST, &printable(other))),
        (DIGESTS, other) => Err(wrong(&place, DIGEST, kind(other))),
        (CLIENTS, Value::Object(client)) => well_pinned(&place, client),
        (CLIENTS, other) => Err(wrong(&place, CLIENT, kind(other))),
        (_, Value::String(text)) if text.is_empty() => Err(wrong(&place, "a value", "an empty string")),
        (_, Value::Null) => Err(wrong(&place, "a value", "null")),
        _ => Ok(()),
    }
}

/// One client, by the key that signed its image or by whose it is. Never by half of either.
fn well_pinned(place: &str, client: &Map<String, Value>) -> Result<(), BaselineError> {
    for (name, part) in client {
        let wanted = if name == KEY_ID_OF { KEY_ID } else { "a text that is not empty" };
        let fits = match part {
            Value::String(text) if name == KEY_ID_OF => is_sha256(text),
            Value::String(text) => !text.trim().is_empty(),
            _ => false,
        };
        if !fits {
            let got = part.as_str().map_or_else(|| kind(part).to_owned(), printable);
            return Err(wrong(&format!("{place}.{}", printable(name)), wanted, &got));
        }
    }
    let names: Vec<&str> = client.keys().map(String::as_str).filter(|name| *name != "label").collect();
    match names.as_slice() {
        [KEY_ID_OF] | [PROJECT_OF, ACCOUNT_OF] | [ACCOUNT_OF, PROJECT_OF] => Ok(()),
        [] => Err(wrong(place, CLIENT, "neither")),
        names => Err(wrong(place, CLIENT, &printable(&names.join(", ")))),
    }
}

fn well_noted(notes: &Value) -> Result<(), BaselineError> {
    let Value::Object(notes) = notes else {
        return Err(wrong(NOTES, "an object of notes by digest", kind(notes)));
    };
    for (digest, note) in notes {
        if !is_digest(digest) {
            return Err(wrong(NOTES, DIGEST, &printable(digest)));
        }
        let place = format!("{NOTES}.{digest}");
        let Value::Object(parts) = note else {
            return Err(wrong(&place, NOTE, kind(note)));
        };
        for (name, part) in parts {
            match (name.as_str(), part) {
                ("label" | "date" | "notAfter", Value::String(_)) => {}
                (_, part) => return Err(wrong(&format!("{place}.{}", printable(name)), NOTE, kind(part))),
            }
        }
    }
    Ok(())
}

/// The reason of an explicit waiver: `any` true, a reason, nothing else.
pub(crate) fn waiver_reason(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    let reason = members.get("reason")?.as_str()?;
    (members.get("any") == Some(&Value::Bool(true)) && !reason.trim().is_empty()).then_some(reason)
}

/// An OCI digest of the one algorithm that Confidential Space uses.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_sha256)
}

/// A SHA-256 as tokens write it: lower-case hexadecimal.
pub(crate) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

fn wrong(key: &str, wanted: &'static str, got: &str) -> BaselineError {
    BaselineError::Value { key: printable(key), wanted, got: got.to_owned() }
}
