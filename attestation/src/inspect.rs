//! A look at a token that nobody verified. For people's eyes; nothing may be decided on it.

use serde_json::{Map, Value};

use crate::error::VerifyError;
use crate::json::object_with_unique_names;
use crate::message::Token;
use crate::printable;
use crate::token::{Compact, decode_segment};

/// Header and claims of a token, UNVERIFIED: anybody can have written them.
#[derive(Debug)]
pub struct Unverified {
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Decodes a token of any type without verifying anything.
///
/// # Errors
/// Where it cannot be decoded at all.
pub fn decode_unverified(token: &Token) -> Result<Unverified, VerifyError> {
    let compact = Compact::split(token.as_str())?;
    compact.require_no_empty_segment()?;
    let header = decode_segment("header", compact.header)?;
    let header = object_with_unique_names(&header)
        .map_err(|error| VerifyError::HeaderJson { line: error.line(), column: error.column() })?;
    let claims = decode_segment("payload", compact.payload)?;
    let claims = object_with_unique_names(&claims)
        .map_err(|error| VerifyError::ClaimsJson(printable(&error.to_string())))?;
    Ok(Unverified { header, claims })
}
