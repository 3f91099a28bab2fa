//! The baseline that `uwear baseline init` writes, for the default policy: from an authentic token, or for an image.
//!
//! What must hold of every token (a production image, supported, booted securely, no other command) is written as
//! required, not as found.

use std::collections::BTreeMap;

use attestation::{Expectation, VerifiedToken, printable};
use serde::Serialize;
use serde_json::Value;

use super::image::Image;
use crate::clock::date;

/// The default policy's keys in the order of the baseline that ships.
#[derive(Serialize)]
pub(super) struct Draft {
    allowed_submods_container_image_digest: Vec<String>,
    image_digest_notes: BTreeMap<String, Note>,
    allowed_hwmodel: Vec<String>,
    allowed_aud: Vec<String>,
    allowed_issuer: Vec<String>,
    allowed_secboot: [bool; 1],
    allowed_sw_name: [&'static str; 1],
    allowed_dbgstat: [&'static str; 1],
    required_support_attributes: [&'static str; 1],
    allowed_project_id: Vec<String>,
    allowed_service_account: Vec<String>,
    pub(super) allowed_env_override: Vec<String>,
    allow_cmd_override: bool,
}

#[derive(Serialize)]
struct Note {
    label: String,
    date: String,
}

/// What an image cannot say of the tokens that it will have.
pub(super) struct Given {
    pub(super) audience: String,
    pub(super) projects: Vec<String>,
    pub(super) service_accounts: Vec<String>,
}

impl Draft {
    /// Nothing is noted or allowed yet.
    fn empty() -> Self {
        Self {
            allowed_submods_container_image_digest: Vec::new(),
            image_digest_notes: BTreeMap::new(),
            allowed_hwmodel: Vec::new(),
            allowed_aud: Vec::new(),
            allowed_issuer: Vec::new(),
            allowed_secboot: [true],
            allowed_sw_name: ["CONFIDENTIAL_SPACE"],
            allowed_dbgstat: ["disabled-since-boot"],
            required_support_attributes: ["STABLE"],
            allowed_project_id: Vec::new(),
            allowed_service_account: Vec::new(),
            allowed_env_override: Vec::new(),
            allow_cmd_override: false,
        }
    }

    /// Allows what the token says. The note's label is the operator's name for the image unless one is given.
    pub(super) fn of_token(token: &VerifiedToken, label: Option<&str>, now: u64) -> Self {
        let claims = token.claims();
        let list = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let label = label.or(claims.image_reference.as_deref()).map_or_else(String::new, printable);
        let note = |digest: &String| (digest.clone(), Note { label: label.clone(), date: date(now) });
        let overridden = token
            .claims_json()
            .get("submods")
            .and_then(|submods| submods.get("container")?.get("env_override").and_then(Value::as_object));
        Self {
            allowed_submods_container_image_digest: list(&claims.image_digest),
            image_digest_notes: claims.image_digest.iter().map(note).collect(),
            allowed_hwmodel: list(&claims.hardware_model),
            allowed_aud: claims.audience.clone(),
            allowed_issuer: vec![claims.issuer.clone()],
            allowed_project_id: list(&claims.project_id),
            allowed_service_account: claims.service_accounts.clone(),
            allowed_env_override: overridden.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            ..Self::empty()
        }
    }

    /// Allows the image on hardware that encrypts memory, run by those who are given, and nothing overridden.
    pub(super) fn of_image(image: &Image, label: &str, given: Given, now: u64) -> Self {
        let note = Note { label: printable(label), date: date(now) };
        Self {
            allowed_submods_container_image_digest: vec![image.digest.clone()],
            image_digest_notes: BTreeMap::from([(image.digest.clone(), note)]),
            allowed_hwmodel: ["GCP_INTEL_TDX", "GCP_AMD_SEV"].map(str::to_owned).to_vec(),
            allowed_aud: vec![given.audience],
            allowed_issuer: vec![Expectation::default().issuer],
            allowed_project_id: given.projects,
            allowed_service_account: given.service_accounts,
            ..Self::empty()
        }
    }

    /// What comes from a token, an image or the command line, and not from the default policy.
    pub(super) fn found(&self) -> impl Iterator<Item = &String> {
        [
            &self.allowed_submods_container_image_digest,
            &self.allowed_hwmodel,
            &self.allowed_aud,
            &self.allowed_project_id,
            &self.allowed_service_account,
            &self.allowed_env_override,
        ]
        .into_iter()
        .flatten()
    }
}
