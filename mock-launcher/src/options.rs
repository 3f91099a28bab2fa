//! The body of POST `/v1/token`, read as the launcher reads it: Go's encoding/json with
//! `DisallowUnknownFields` into `TokenOptions` (google/go-tpm-tools, `verifier/models`).

use serde_json::{Deserializer, Value};

/// What was asked for. Absent members are empty, as in Go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenOptions {
    pub(crate) audience: String,
    pub(crate) nonces: Vec<String>,
    pub(crate) token_type: String,
}

impl TokenOptions {
    /// Parses the first JSON value of `body`; like Go's decoder it does not look at what follows.
    ///
    /// # Errors
    /// What Go's decoder says, near enough.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in members(first_value(body)?, "Go value of type models.TokenOptions")? {
            // Go finds struct fields whatever their case, and leaves them alone for null.
            match name.to_ascii_lowercase().as_str() {
                "audience" => read_string(&mut options.audience, value, "audience")?,
                "token_type" => read_string(&mut options.token_type, value, "token_type")?,
                "nonces" => read_strings(&mut options.nonces, value, "nonces")?,
                "aws_principal_tag_options" => check_principal_tags(value)?,
                _ => return Err(unknown_field(&name)),
            }
        }
        Ok(options)
    }
}

fn first_value(body: &[u8]) -> Result<Value, String> {
    match Deserializer::from_slice(body).into_iter::<Value>().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err("unexpected EOF".to_owned()),
        Some(Err(_)) => Err("invalid character looking for beginning of value".to_owned()),
        None => Err("EOF".to_owned()),
    }
}

/// `{allowed_principal_tags:{container_image_signatures:{key_ids:[string]}}}`, every level optional.
fn check_principal_tags(value: Value) -> Result<(), String> {
    let mut value = value;
    for wanted in ["allowed_principal_tags", "container_image_signatures"] {
        let place = format!("Go struct field {wanted} of type models.AWSPrincipalTagsOptions");
        let mut inner = Value::Null;
        for (name, member) in members(value, &place)? {
            if !name.eq_ignore_ascii_case(wanted) {
                return Err(unknown_field(&name));
            }
            inner = member;
        }
        value = inner;
    }
    for (name, member) in members(value, "Go struct field key_ids")? {
        if !name.eq_ignore_ascii_case("key_ids") {
            return Err(unknown_field(&name));
        }
        read_strings(&mut Vec::new(), member, "key_ids")?;
    }
    Ok(())
}

fn members(value: Value, place: &str) -> Result<serde_json::Map<String, Value>, String> {
    match value {
        Value::Null => Ok(serde_json::Map::new()),
        Value::Object(members) => Ok(members),
        other => Err(format!("json: cannot unmarshal {} into {place}", kind(&other))),
    }
}

fn read_string(field: &mut String, value: Value, name: &str) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::String(text) => *field = text,
        other => return Err(wrong_kind(&other, name, "string")),
    }
    Ok(())
}

fn read_strings(field: &mut Vec<String>, value: Value, name: &str) -> Result<(), String> {
    let elements = match value {
        Value::Null => Vec::new(),
        Value::Array(elements) => elements,
        other => return Err(wrong_kind(&other, name, "[]string")),
    };
    field.clear();
    for element in elements {
        let mut text = String::new();
        read_string(&mut text, element, name)?;
        field.push(text);
    }
    Ok(())
}

fn unknown_field(name: &str) -> String {
    format!("json: unknown field {name:?}")
}

fn wrong_kind(value: &Value, name: &str, wanted: &str) -> String {
    let kind = kind(value);
    format!("json: cannot unmarshal {kind} into Go struct field TokenOptions.{name} of type {wanted}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(audience: &str, nonces: &[&str], token_type: &str) -> Result<TokenOptions, String> {
        Ok(TokenOptions {
            audience: audience.into(),
            nonces: nonces.iter().map(|&nonce| nonce.into()).collect(),
            token_type: token_type.into(),
        })
    }

    #[test]
    fn bodies_are_read_as_gos_decoder_reads_them() {
        let error = |text: &str| Err(text.to_owned());
        let rows = [
            (r#"{"audience":"a","nonces":["n"],"token_type":"PKI"}"#, parsed("a", &["n"], "PKI")),
            (r#"{"Audience":"a","NONCES":["n"],"Token_Type":"PKI"}"#, parsed("a", &["n"], "PKI")),
            (r#"{"audience":"a","audience":"b"}"#, parsed("b", &[], "")),
            (r#"{"audience":"a"} trailing"#, parsed("a", &[], "")),
            (r#"{"audience":null,"nonces":null}"#, parsed("", &[], "")),
            (r#"{"nonces":["n",null]}"#, parsed("", &["n", ""], "")),
            ("null", parsed("", &[], "")),
            ("{}", parsed("", &[], "")),
            (
                r#"{"aws_principal_tag_options":{"allowed_principal_tags":{"container_image_signatures":{"key_ids":["k"]}}}}"#,
                parsed("", &[], ""),
            ),
            ("", error("EOF")),
            (r#"{"audience":"#, error("unexpected EOF")),
            ("audience=a", error("invalid character looking for beginning of value")),
            (r#"{"eat_nonce":"n"}"#, error(r#"json: unknown field "eat_nonce""#)),
            (r#"{"aws_principal_tag_options":{"tags":{}}}"#, error(r#"json: unknown field "tags""#)),
            (
                r#"{"aws_principal_tag_options":{"allowed_principal_tags":{"container_image_signatures":{"ids":[]}}}}"#,
                error(r#"json: unknown field "ids""#),
            ),
            (
                r#"{"audience":["a"]}"#,
                error(
                    "json: cannot unmarshal array into Go struct field TokenOptions.audience of type string",
                ),
            ),
            (
                r#"{"nonces":"n"}"#,
                error(
                    "json: cannot unmarshal string into Go struct field TokenOptions.nonces of type []string",
                ),
            ),
            ("[]", error("json: cannot unmarshal array into Go value of type models.TokenOptions")),
        ];
        for (body, wanted) in rows {
            assert_eq!(TokenOptions::parse(body.as_bytes()), wanted, "{body}");
        }
    }
}
