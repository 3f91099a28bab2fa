//! The claims of a verified token, typed once.
//!
//! Source of every claim: Google's "Attestation token claims"
//! (<https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims>)
//! and real tokens, where the two differ (`swversion` is YYMM##, `dbgstat` of a debug image is `enabled`).
//! Claims that are not listed here reach the policy as they came.

use serde_json::{Map, Value};

use crate::error::VerifyError;
use crate::json::kind;

/// What a token says, after its signature has been verified. Whether that is acceptable is not decided here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`: who issued the token.
    pub issuer: String,
    /// `aud`: whom it was issued for, at least one. Google writes one string; RFC 7519 §4.1.3 allows an array.
    pub audience: Vec<String>,
    /// `eat_nonce` (RFC 9711 §4.1): a string, an array when several were asked for, absent when none was.
    pub nonces: Vec<String>,
    /// `iat`, seconds since 1970.
    pub issued_at: u64,
    /// `nbf`, seconds since 1970.
    pub not_before: u64,
    /// `exp`, seconds since 1970.
    pub expires_at: u64,
    /// `swname`: `CONFIDENTIAL_SPACE` for both its images, `GCE` for a plain Confidential VM.
    pub software_name: Option<String>,
    /// `swversion`: version of the Confidential Space image, one element.
    pub software_version: Vec<String>,
    /// `hwmodel`: `GCP_AMD_SEV`, `GCP_INTEL_TDX`, …
    pub hardware_model: Option<String>,
    /// `dbgstat`: `disabled-since-boot` in production, `enabled` on a debug image.
    pub debug_status: Option<String>,
    /// `submods.confidential_space.support_attributes`; absent on debug images.
    pub support_attributes: Vec<String>,
    /// `submods.container.image_digest`: the workload's identity.
    pub image_digest: Option<String>,
    /// `submods.container.image_reference`: what the operator asked for.
    pub image_reference: Option<String>,
    /// `submods.gce.project_id`: who pays for the VM.
    pub project_id: Option<String>,
    /// `submods.gce.zone`.
    pub zone: Option<String>,
    /// `google_service_accounts`: as whom the workload acts.
    pub service_accounts: Vec<String>,
}

impl Claims {
    /// Types the claims of a verified token.
    pub(crate) fn from_json(claims: &Map<String, Value>) -> Result<Self, VerifyError> {
        let top = Reader { prefix: "", members: Some(claims) };
        let submods = top.object("submods")?;
        let container = submods.object("container")?;
        let space = submods.object("confidential_space")?;
        let gce = submods.object("gce")?;
        let audience = top.strings("aud")?;
        if audience.is_empty() {
            return Err(VerifyError::MissingClaim { claim: "aud".to_owned() });
        }
        Ok(Self {
            issuer: top.required("iss", top.string("iss")?)?,
            audience,
            nonces: top.strings("eat_nonce")?,
            issued_at: top.required("iat", top.seconds("iat")?)?,
            not_before: top.required("nbf", top.seconds("nbf")?)?,
            expires_at: top.required("exp", top.seconds("exp")?)?,
            software_name: top.string("swname")?,
            software_version: top.strings("swversion")?,
            hardware_model: top.string("hwmodel")?,
            debug_status: top.string("dbgstat")?,
            support_attributes: space.strings("support_attributes")?,
            image_digest: container.string("image_digest")?,
            image_reference: container.string("image_reference")?,
            project_id: gce.string("project_id")?,
            zone: gce.string("zone")?,
            service_accounts: top.strings("google_service_accounts")?,
        })
    }
}

/// Reads members of one object of the claims; absent and null are the same, a wrong type is an error.
struct Reader<'a> {
    prefix: &'static str,
    members: Option<&'a Map<String, Value>>,
}

impl<'a> Reader<'a> {
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name).filter(|value| !value.is_null())
    }

    fn wrong_type(&self, name: &str, wanted: &'static str, got: &Value) -> VerifyError {
        VerifyError::ClaimType { claim: format!("{}{name}", self.prefix), wanted, got: kind(got) }
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, VerifyError> {
        value.ok_or_else(|| VerifyError::MissingClaim { claim: format!("{}{name}", self.prefix) })
    }

    fn object(&self, name: &str) -> Result<Reader<'a>, VerifyError> {
        let prefix = match name {
            "submods" => "submods.",
            "container" => "submods.container.",
            "confidential_space" => "submods.confidential_space.",
            _ => "submods.gce.",
        };
        match self.value(name) {
            None => Ok(Reader { prefix, members: None }),
            Some(Value::Object(members)) => Ok(Reader { prefix, members: Some(members) }),
            Some(other) => Err(self.wrong_type(name, "an object", other)),
        }
    }

    fn string(&self, name: &str) -> Result<Option<String>, VerifyError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong_type(name, "a string", other)),
        }
    }

    /// A string or an array of strings, as `aud` and `eat_nonce` may be.
    fn strings(&self, name: &str) -> Result<Vec<String>, VerifyError> {
        const WANTED: &str = "a string or an array of strings";
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text.clone()),
                    other => Err(self.wrong_type(name, WANTED, other)),
                })
                .collect(),
            Some(other) => Err(self.wrong_type(name, WANTED, other)),
        }
    }

    /// A NumericDate (RFC 7519 §2) without a fraction and not before 1970.
    fn seconds(&self, name: &str) -> Result<Option<u64>, VerifyError> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_u64();
                seconds.map(Some).ok_or_else(|| self.wrong_type(name, "whole seconds since 1970", value))
            }
        }
    }
}
