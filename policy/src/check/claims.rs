//! The claims that Confidential Space tokens have, and the values that they can take.
//!
//! Sources: Google's pages "Attestation token claims"
//! (<https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims>) and, where page
//! and tokens disagree, real tokens: `dbgstat` of a debug image is `enabled`, `tdx` is an object, `swversion` has six
//! digits. Container claims are written by google/go-tpm-tools, `launcher/`.

use serde_json::Value;

/// What a claim's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An object whose members are listed on their own.
    Members,
    /// An object or array whose inside is the operator's or another service's matter.
    Free,
    Boolean,
    Integer,
    /// Any string that is not empty.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// `sha256:` and 64 lower-case hexadecimal digits.
    Digest,
    /// Six decimal digits, for example `250800`.
    Version,
    /// An account's e-mail address.
    Account,
    /// 64 lower-case hexadecimal digits.
    KeyId,
}

impl Form {
    /// Whether there is something to compare, and not only something inside.
    pub(super) fn has_values(self) -> bool {
        !matches!(self, Self::Members | Self::Free)
    }
}

use Form::{Account, Boolean, Digest, Free, Integer, KeyId, Members, OneOf, Text, Version};

const TOP: &[(&str, Form)] = &[
    ("aud", Text),
    ("exp", Integer),
    ("iat", Integer),
    ("nbf", Integer),
    ("iss", OneOf(&["https://confidentialcomputing.googleapis.com"])),
    ("sub", Text),
    // Advertised by the service's discovery document, seen in no token.
    ("jti", Text),
    ("eat_nonce", Text),
    ("eat_profile", Text),
    ("secboot", Boolean),
    ("oemid", Integer),
    // SEV-SNP is known to Google's client libraries and refused by its service so far.
    (
        "hwmodel",
        OneOf(&["GCP_AMD_SEV", "GCP_AMD_SEV_ES", "GCP_AMD_SEV_SNP", "GCP_INTEL_TDX", "GCP_SHIELDED_VM"]),
    ),
    ("swname", OneOf(&["CONFIDENTIAL_SPACE", "GCE"])),
    ("swversion", Version),
    ("attester_tcb", Text),
    ("dbgstat", OneOf(&["disabled-since-boot", "enabled"])),
    ("google_service_accounts", Account),
    ("https://aws.amazon.com/tags", Free),
    ("tdx", Members),
    ("tdx.gcp_attester_tcb_status", Text),
    ("tdx.gcp_attester_tcb_date", Text),
    ("submods", Members),
];

const SUBMODS: &[(&str, Form)] = &[
    ("submods.confidential_space", Members),
    ("submods.confidential_space.support_attributes", OneOf(&["LATEST", "STABLE", "USABLE", "EXPERIMENTAL"])),
    ("submods.confidential_space.monitoring_enabled", Members),
    ("submods.confidential_space.monitoring_enabled.memory", Boolean),
    ("submods.container", Members),
    ("submods.container.image_reference", Text),
    ("submods.container.image_digest", Digest),
    ("submods.container.image_id", Digest),
    ("submods.container.restart_policy", OneOf(&["Always", "OnFailure", "Never"])),
    ("submods.container.args", Text),
    ("submods.container.env", Free),
    ("submods.container.env_override", Free),
    ("submods.container.cmd_override", Text),
    ("submods.container.image_signatures", Members),
    ("submods.container.image_signatures.key_id", KeyId),
    ("submods.container.image_signatures.signature", Text),
    (
        "submods.container.image_signatures.signature_algorithm",
        OneOf(&["ECDSA_P256_SHA256", "RSASSA_PKCS1V15_SHA256", "RSASSA_PSS_SHA256"]),
    ),
    ("submods.gce", Members),
    ("submods.gce.zone", Text),
    ("submods.gce.project_id", Text),
    ("submods.gce.project_number", Text),
    ("submods.gce.instance_name", Text),
    ("submods.gce.instance_id", Text),
    ("submods.nvidia_gpu", Members),
    ("submods.nvidia_gpu.cc_mode", OneOf(&["OFF", "ON", "DEVTOOLS"])),
    ("submods.nvidia_gpu.gpus", Free),
];

/// Not claims: the session's facts, which the relying party adds to the input.
const SESSION: &[(&str, Form)] = &[
    ("session", Members),
    ("session.nonce", Text),
    ("session.wire", Integer),
    ("session.role", OneOf(&["server", "client"])),
    ("session.now", Integer),
];

/// Claims that are arrays; what is said of their values is said of the elements.
pub(super) const LISTS: &[&str] = &[
    "swversion",
    "attester_tcb",
    "google_service_accounts",
    "submods.confidential_space.support_attributes",
    "submods.container.args",
    "submods.container.cmd_override",
];

/// Claims that are lists of objects; the members listed above are those of the objects.
pub(super) const LISTS_OF_OBJECTS: &[&str] = &["submods.container.image_signatures"];

fn table() -> impl Iterator<Item = &'static (&'static str, Form)> {
    [TOP, SUBMODS, SESSION].into_iter().flatten()
}

/// The form of the claim at this path, steps joined by dots.
pub(super) fn form(path: &str) -> Option<Form> {
    table().find(|(known, _)| *known == path).map(|(_, form)| *form)
}

/// Whether a token can have something at this path.
pub(super) fn exists(path: &str) -> bool {
    let inside = |outer: &str| path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    path.is_empty() || table().any(|(known, form)| *known == path || *form == Free && inside(known))
}

/// The path most like this one, as a whole or in its last step.
pub(super) fn nearest(path: &str) -> &'static str {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let whole = strsim::osa_distance(path, known);
        whole.min(1 + 2 * strsim::osa_distance(&last(path), &last(known)))
    };
    table().map(|(known, _)| *known).min_by_key(|known| distance(known)).unwrap_or_default()
}

/// Why the claim can never have this value, and what would be possible; `None` if it can.
pub(super) fn impossible(path: &str, value: &Value) -> Option<String> {
    let form = form(path)?;
    let text = value.as_str();
    match form {
        Members | Free => None,
        Boolean => (!value.is_boolean()).then(|| "it is true or false, without quotes".to_owned()),
        Integer => (!value.is_u64()).then(|| "it is a whole number, without quotes".to_owned()),
        Text => text.is_none_or(str::is_empty).then(|| "it is a string".to_owned()),
        OneOf(values) => match text {
            Some(text) if values.contains(&text) => None,
            Some(text) => Some(match values {
                [only] => format!("it is always {only}"),
                _ => format!("the nearest value is {}", nearest_value(text, values)),
            }),
            None => Some("it is a string".to_owned()),
        },
        Digest => (!text.is_some_and(crate::baseline::is_digest))
            .then(|| "it is \"sha256:\" and 64 lower-case hexadecimal digits".to_owned()),
        Version => {
            let version = |text: &str| text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_digit());
            (!text.is_some_and(version)).then(|| "it has six digits, such as 250800".to_owned())
        }
        Account => {
            let account = |text: &str| {
                text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'))
            };
            (!text.is_some_and(account)).then(|| "it is an e-mail address".to_owned())
        }
        KeyId => (!text.is_some_and(crate::baseline::is_sha256))
            .then(|| "it is 64 lower-case hexadecimal digits".to_owned()),
    }
}

/// Most like it whatever its case; one that it is a part of, or that is a part of it, before all others.
fn nearest_value(text: &str, values: &[&'static str]) -> &'static str {
    let text = text.to_lowercase();
    let unlike = |known: &&&str| {
        let known = known.to_lowercase();
        let part = !text.is_empty() && (known.contains(&text) || text.contains(&known));
        (!part, strsim::osa_distance(&text, &known))
    };
    values.iter().min_by_key(unlike).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_that_no_token_has_is_told_from_one_inside_a_free_object() {
        let rows = [
            ("", true),
            ("dbgstat", true),
            ("submods.container", true),
            ("submods.container.env.HOSTNAME", true),
            ("submods.container.env_override.A.B", true),
            ("submods.container.image_signatures.key_id", true),
            ("submods.container.image_signatures.keyid", false),
            ("https://aws.amazon.com/tags.principal_tags", true),
            ("session.now", true),
            ("dbgstatus", false),
            ("dbgstat.x", false),
            ("submods.container.envs", false),
            ("submods.container.environment.A", false),
            ("session.time", false),
            ("Hwmodel", false),
        ];
        for (path, wanted) in rows {
            assert_eq!(exists(path), wanted, "{path}");
        }
    }

    #[test]
    fn the_nearest_path_is_the_one_meant() {
        let rows = [
            ("dbgstatus", "dbgstat"),
            ("hw_model", "hwmodel"),
            ("image_digest", "submods.container.image_digest"),
            ("submods.image_digest", "submods.container.image_digest"),
            ("submods.container.env_overide", "submods.container.env_override"),
            ("submods.gce.projectid", "submods.gce.project_id"),
            ("service_accounts", "google_service_accounts"),
            ("submods.confidential_space.suport_attributes", "submods.confidential_space.support_attributes"),
            ("session.time", "session.wire"),
        ];
        for (path, wanted) in rows {
            assert_eq!(nearest(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_value_that_can_never_occur_is_told_with_what_can() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let rows = [
            ("hwmodel", json!("GCP_AMD_SEV"), None),
            ("hwmodel", json!("AMD_SEV"), Some("the nearest value is GCP_AMD_SEV")),
            ("hwmodel", json!("INTEL_TDX"), Some("the nearest value is GCP_INTEL_TDX")),
            ("dbgstat", json!("disabled"), Some("the nearest value is disabled-since-boot")),
            ("dbgstat", json!("disabled-since-boot"), None),
            ("swname", json!("confidential_space"), Some("the nearest value is CONFIDENTIAL_SPACE")),
            ("secboot", json!("true"), Some("it is true or false, without quotes")),
            ("secboot", json!(false), None),
            ("iss", json!("https://accounts.google.com"), Some("it is always https://confidential")),
            ("submods.container.image_digest", json!(digest), None),
            ("submods.container.image_digest", json!(digest.to_uppercase()), Some("it is \"sha256:\"")),
            ("swversion", json!("202508"), None),
            ("swversion", json!("2508"), Some("it has six digits")),
            ("google_service_accounts", json!("a@p.iam.gserviceaccount.com"), None),
            ("google_service_accounts", json!("a"), Some("it is an e-mail address")),
            ("oemid", json!("11129"), Some("it is a whole number")),
            ("submods.container.image_signatures.key_id", json!("0a".repeat(32)), None),
            (
                "submods.container.image_signatures.key_id",
                json!("0A".repeat(32)),
                Some("it is 64 lower-case hexadecimal digits"),
            ),
            (
                "submods.container.image_signatures.signature_algorithm",
                json!("ES256"),
                Some("the nearest value is "),
            ),
            ("submods.container.env.A", json!(1), None),
        ];
        for (path, value, wanted) in rows {
            let got = impossible(path, &value);
            match wanted {
                None => assert_eq!(got, None, "{path} {value}"),
                Some(wanted) => assert!(
                    got.as_ref().is_some_and(|got| got.starts_with(wanted)),
                    "{path} {value}: {got:?}"
                ),
            }
        }
    }
}
