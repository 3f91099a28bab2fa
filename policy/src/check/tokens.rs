//! The made-up tokens: a sound one, and what can be wrong with it, one thing at a time.

use serde_json::{Value, json};

use super::{Severity, claims};
use crate::Role;
use crate::baseline::{ACCOUNT_OF, KEY_ID_OF, PROJECT_OF};
use crate::merge::merged;

/// When the made-up token was issued, in seconds since 1970, and its nonce: any would do.
pub(super) const IAT: u64 = 1_757_060_250;
pub(super) const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// One thing that can be wrong with a token.
pub(super) struct Probe {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// Which end the policy has to judge, where the probe is not for both.
    pub(super) role: Option<Role>,
    /// The claims that could tell.
    pub(super) claims: &'static [&'static str],
    /// What it means if no rule reads them.
    pub(super) consequence: &'static str,
    /// The wrong value, if an allow-list could hold it, and what it lacks.
    pub(super) value: Option<(&'static str, &'static str)>,
    /// The token described, and the merge patch that makes it.
    pub(super) tokens: fn() -> Vec<(&'static str, Value)>,
}

pub(super) const PROBES: &[Probe] = &[
    Probe {
        code: "debug-image-allowed",
        severity: Severity::Error,
        role: None,
        claims: &["dbgstat"],
        consequence: ": an operator with root on a debug VM would pass",
        value: Some(("enabled", "which is a debug image: its operator has root")),
        tokens: || {
            vec![
                ("a debug image (dbgstat enabled)", json!({"dbgstat": "enabled"})),
                ("a token without dbgstat", json!({"dbgstat": null})),
            ]
        },
    },
    Probe {
        code: "no-memory-encryption",
        severity: Severity::Error,
        role: None,
        claims: &["hwmodel"],
        consequence: ": hardware that does not encrypt its memory would pass",
        value: Some(("GCP_SHIELDED_VM", "which has none")),
        tokens: || {
            vec![
                (
                    "hardware without memory encryption (GCP_SHIELDED_VM)",
                    json!({"hwmodel": "GCP_SHIELDED_VM"}),
                ),
                ("a token without hwmodel", json!({"hwmodel": null})),
            ]
        },
    },
    Probe {
        code: "overrides-allowed",
        severity: Severity::Error,
        role: None,
        claims: &["submods.container.env_override", "submods.container.cmd_override"],
        consequence: "",
        value: None,
        tokens: || {
            vec![
                (
                    "an overridden environment variable (LD_PRELOAD)",
                    json!({"submods": {"container": {
                        "env": {"LD_PRELOAD": "/tmp/other.so"},
                        "env_override": {"LD_PRELOAD": "/tmp/other.so"},
                    }}}),
                ),
                (
                    "an overridden command",
                    json!({"submods": {"container": {"args": ["/bin/sh"], "cmd_override": ["/bin/sh"]}}}),
                ),
            ]
        },
    },
    Probe {
        code: "operator-not-pinned",
        severity: Severity::Error,
        role: Some(Role::Server),
        claims: &["submods.gce.project_id", "google_service_accounts"],
        consequence: ": anybody's copy of the image passes",
        value: None,
        tokens: || {
            vec![
                (
                    "another operator's project and service account",
                    json!({
                        "sub": "https://www.googleapis.com/compute/v1/projects/somebody-else/zones/us-west1-b/instances/x",
                        "google_service_accounts": ["x@somebody-else.iam.gserviceaccount.com"],
                        "submods": {"gce": {"project_id": "somebody-else", "project_number": "2"}},
                    }),
                ),
                (
                    "a token without project and service account",
                    json!({"sub": null, "google_service_accounts": null, "submods": {"gce": null}}),
                ),
            ]
        },
    },
    Probe {
        code: "image-not-pinned",
        severity: Severity::Error,
        role: Some(Role::Server),
        claims: &["submods.container.image_digest"],
        consequence: ": any workload passes",
        value: None,
        tokens: || {
            vec![
                (
                    "another image",
                    json!({"submods": {"container": {
                        "image_digest": format!("sha256:{}", "01".repeat(32)),
                        "image_id": format!("sha256:{}", "02".repeat(32)),
                        "image_signatures": null,
                    }}}),
                ),
                (
                    "a token without image digest",
                    json!({"submods": {"container": {
                        "image_digest": null, "image_id": null, "image_signatures": null,
                    }}}),
                ),
            ]
        },
    },
    Probe {
        code: "client-not-pinned",
        severity: Severity::Error,
        role: Some(Role::Client),
        claims: &["submods.container.image_signatures", "submods.gce.project_id", "google_service_accounts"],
        consequence: ": anybody's program passes for a client",
        value: None,
        tokens: || {
            vec![
                (
                    "another image, signed and run by somebody else,",
                    json!({
                        "sub": "https://www.googleapis.com/compute/v1/projects/somebody-else/zones/us-west1-b/instances/x",
                        "google_service_accounts": ["x@somebody-else.iam.gserviceaccount.com"],
                        "submods": {
                            "gce": {"project_id": "somebody-else", "project_number": "2"},
                            "container": {
                                "image_digest": format!("sha256:{}", "01".repeat(32)),
                                "image_id": format!("sha256:{}", "02".repeat(32)),
                                "image_signatures": [signature(&"03".repeat(32))],
                            },
                        },
                    }),
                ),
                (
                    "a token without image digest, signatures, project and service account",
                    json!({
                        "sub": null,
                        "google_service_accounts": null,
                        "submods": {
                            "gce": null,
                            "container": {"image_digest": null, "image_id": null, "image_signatures": null},
                        },
                    }),
                ),
            ]
        },
    },
    Probe {
        code: "plain-vm-allowed",
        severity: Severity::Error,
        role: None,
        claims: &["swname"],
        consequence: ": what a plain Confidential VM says of its container would pass",
        value: Some(("GCE", "which is no Confidential Space")),
        tokens: || {
            vec![
                ("a plain Confidential VM (swname GCE)", json!({"swname": "GCE"})),
                ("a token without swname", json!({"swname": null})),
            ]
        },
    },
    Probe {
        code: "secure-boot-not-required",
        severity: Severity::Error,
        role: None,
        claims: &["secboot"],
        consequence: ": a VM that booted anything would pass",
        value: None,
        tokens: || {
            vec![
                ("a VM without Secure Boot", json!({"secboot": false})),
                ("a token without secboot", json!({"secboot": null})),
            ]
        },
    },
    Probe {
        code: "support-not-required",
        severity: Severity::Warning,
        role: None,
        claims: &["submods.confidential_space.support_attributes"],
        consequence: "",
        value: None,
        tokens: || {
            vec![(
                "a Confidential Space image without support",
                json!({"submods": {"confidential_space": {"support_attributes": null}}}),
            )]
        },
    },
    Probe {
        code: "nonce-not-checked",
        severity: Severity::Warning,
        role: None,
        claims: &["eat_nonce"],
        consequence: "; that the token is for this session is required all the same",
        value: None,
        tokens: || vec![("a token for another session", json!({"eat_nonce": "another session's nonce"}))],
    },
    Probe {
        code: "audience-not-checked",
        severity: Severity::Warning,
        role: None,
        claims: &["aud"],
        consequence: "; that the token is for us is required all the same",
        value: None,
        tokens: || vec![("a token for somebody else", json!({"aud": "anotherCompany.com"}))],
    },
];

/// A token of a production image, as Google's service makes them.
pub(super) fn sound_claims() -> Value {
    json!({
        "aud": "uwear",
        "exp": IAT + 3600,
        "iat": IAT,
        "nbf": IAT,
        "iss": "https://confidentialcomputing.googleapis.com",
        "sub": "https://www.googleapis.com/compute/v1/projects/the-operator/zones/us-west1-b/instances/workload",
        "eat_nonce": NONCE,
        "eat_profile":
            "https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims",
        "secboot": true,
        "oemid": 11129,
        "hwmodel": "GCP_INTEL_TDX",
        "swname": "CONFIDENTIAL_SPACE",
        "swversion": ["250800"],
        "attester_tcb": ["INTEL"],
        "dbgstat": "disabled-since-boot",
        "tdx": {
            "gcp_attester_tcb_status": "UpToDate",
            "gcp_attester_tcb_date": "2024-03-13T00:00:00Z",
        },
        "google_service_accounts": ["workload@the-operator.iam.gserviceaccount.com"],
        "submods": {
            "confidential_space": {
                "support_attributes": ["LATEST", "STABLE", "USABLE"],
                "monitoring_enabled": {"memory": false},
            },
            "container": {
                "image_reference": "us-docker.pkg.dev/the-operator/workload/workload:latest",
                "image_digest": format!("sha256:{}", "00".repeat(32)),
                "image_id": format!("sha256:{}", "11".repeat(32)),
                "restart_policy": "Never",
                "args": ["/workload"],
                "env": {"HOSTNAME": "workload", "PATH": "/usr/bin:/bin"},
            },
            "gce": {
                "zone": "us-west1-b",
                "project_id": "the-operator",
                "project_number": "1",
                "instance_name": "workload",
                "instance_id": "42",
            },
        },
    })
}

/// Makes the token that of this client of the baseline.
pub(super) fn put_client(claims: &mut Value, client: &Value) {
    if let Some(key_id) = client.get(KEY_ID_OF) {
        put(claims, "submods.container.image_signatures.key_id", key_id.clone());
    }
    if let (Some(project), Some(account)) = (client.get(PROJECT_OF), client.get(ACCOUNT_OF)) {
        put(claims, "submods.gce.project_id", project.clone());
        put(claims, "google_service_accounts", json!([account]));
    }
}

/// One signature over an image, as the service lists those that it has verified.
fn signature(key_id: &str) -> Value {
    json!({"key_id": key_id, "signature": "MEUCIQ==", "signature_algorithm": "ECDSA_P256_SHA256"})
}

/// Sets the claim at a path of steps joined by dots; of a list of objects to one object that has it.
pub(super) fn put(claims: &mut Value, path: &str, value: Value) {
    let (path, value) = match claims::LISTS_OF_OBJECTS.iter().find_map(|list| {
        let member = path.strip_prefix(list)?.strip_prefix('.')?;
        Some((*list, member))
    }) {
        Some((list, member)) => (list, json!([merged(&signature(""), &json!({ member: value }))])),
        None => (path, value),
    };
    let patch = path.rsplit('.').fold(value, |inner, step| json!({ step: inner }));
    *claims = merged(claims, &patch);
}
