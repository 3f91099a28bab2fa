//! One line of the log: a JSON object that names the line before by its digest, and what happened.
//!
//! Nothing of the health data is in a line: no value, no result, no length, and no digest but the commitment, which
//! nobody can guess back without its key. No whole token either, though all that it claims.

use attestation::printable;
use policy::Role;
use rustls_pki_types::UnixTime;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::hex::{Digest, SessionId};
use crate::clock;
use crate::report::Source;

/// Version of the form of a line.
const VERSION: u8 = 1;

/// Longest line, in bytes, its line feed included: many times what the largest token claims.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What the first line of every log begins with, and so what a log is known by.
pub(super) const BEGINNING: &str = concat!(
    r#"{"v":1,"number":1,"previous":""#,
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    r#"","#
);

/// A line. Its members stand in this order: [`BEGINNING`] rests on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    v: u8,
    /// Its place among the lines, from 1.
    pub(crate) number: u64,
    /// SHA-256 of the line before, its line feed included; zeros in the first line.
    pub(crate) previous: Digest,
    /// When it was written.
    pub(crate) time: Time,
    pub(crate) event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Event {
    /// A token was judged. Where it allows, this line is on disk before the first byte of health data leaves.
    Decided(Box<Decided>),
    /// The session of a decision has ended.
    Ended(Ended),
    /// The bytes before this line are what a crash left of lines that were being written.
    Recovered(Recovered),
}

/// All that a decision rests on, so that it can be made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decided {
    pub(crate) session: SessionId,
    /// Whether the health data may be released.
    pub(crate) allowed: bool,
    /// The time of the judgement, seconds since 1970.
    pub(crate) now: u64,
    /// The address that was dialled.
    pub(crate) endpoint: String,
    /// Who answered.
    pub(crate) peer: String,
    /// The TLS key exchange.
    pub(crate) key_exchange: String,
    pub(crate) facts: Facts,
    /// SHA-256 of the token's text.
    pub(crate) token_sha256: String,
    /// SHA-256 of the root certificates that were trusted.
    pub(crate) roots: Vec<String>,
    pub(crate) policy: Source,
    pub(crate) baseline: Source,
    /// Every check of token and session, and what it came to.
    pub(crate) checks: Vec<Outcome>,
    /// Every rule of the policy, `allow` first.
    pub(crate) rules: Vec<Outcome>,
    /// What the token claims; nothing if it is not authentic, for then anybody can have written it.
    pub(crate) claims: Option<Map<String, Value>>,
    /// Wire version 1: the commitment to the health data, HMAC-SHA-256, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commitment: Option<Digest>,
}

/// What the decision knew of the session besides the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// The nonce that a token for this session carries.
    pub(crate) nonce: String,
    pub(crate) audience: String,
    pub(crate) wire: u8,
    /// Which end attests.
    #[serde(with = "role")]
    pub(crate) role: Role,
}

/// What a check or rule came to; where it failed, with what it wanted and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// `null`: not run.
    pub(crate) ok: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) got: Option<String>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    pub(crate) session: SessionId,
    pub(crate) outcome: End,
    /// Whether any byte of health data was handed to TLS.
    pub(crate) sent: bool,
    /// The exit code that stands for it.
    pub(crate) exit_code: u8,
    /// Why not, where nothing was sent. Of what the other end says once it has the data nothing is written but the
    /// receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Wire version 1: the text that the receipt signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<String>,
}

/// What became of the health data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// All of it was sent, and the session ended as it should.
    Released,
    /// This end or the other one refused.
    Refused,
    /// Anything else: the session broke, or what came was no valid result.
    Lost,
}

/// The note on a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovered {
    /// SHA-256 of all bytes between the line that `previous` names and this one.
    pub(crate) torn: Digest,
}

/// Why a text is no line of a log. Printable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

impl Line {
    pub(super) fn new(number: u64, previous: Digest, now: UnixTime, event: Event) -> Self {
        Self { v: VERSION, number, previous, time: Time(now.as_secs()), event }
    }

    /// Parses a line with its line feed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = bytes.strip_suffix(b"\n").ok_or_else(|| Malformed("it does not end".to_owned()))?;
        let line: Self =
            serde_json::from_slice(text).map_err(|error| Malformed(printable(&error.to_string())))?;
        if line.v != VERSION {
            return Err(Malformed(format!("wanted version {VERSION}, got {}", line.v)));
        }
        Ok(line)
    }

    /// The exact bytes, line feed included.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Seconds since 1970, in JSON as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(super) u64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&clock::rfc3339(self.0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        clock::parse(&text).map(|time| Self(time.as_secs())).map_err(D::Error::custom)
    }
}

/// [`Role`] by the name that rules see.
mod role {
    use super::*;

    pub(super) fn serialize<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(role.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "server" => Ok(Role::Server),
            "client" => Ok(Role::Client),
            _ => Err(D::Error::custom("wanted the role server or client")),
        }
    }
}
