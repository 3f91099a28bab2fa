//! Tokens that a policy must not accept, made from one that it accepts, each with one thing wrong in it.
//!
//! That a rule reads a claim does not mean that it refuses anything: only trying shows it. A rule that refuses a
//! value but not the claim's absence is found too.

use std::time::Duration;

use attestation::Nonce;
use rustls_pki_types::UnixTime;
use serde_json::{Map, Value, json};

use super::reading::{Link, list};
use super::{Finding, Severity, claims, error, warning};
use crate::baseline::CMD_OVERRIDE;
use crate::merge::merged;
use crate::{FactsForReading, Policy, Role};

/// When the made-up token was issued, in seconds since 1970, and its nonce: any would do.
const IAT: u64 = 1_757_060_250;
const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// Most values of one list that are tried.
const MAX_TRIED_VALUES: usize = 64;

const MEMORY_ENCRYPTING: &[&str] = &["GCP_AMD_SEV", "GCP_AMD_SEV_ES", "GCP_AMD_SEV_SNP", "GCP_INTEL_TDX"];

/// One thing that can be wrong with a token.
struct Probe {
    code: &'static str,
    severity: Severity,
    /// The claims that could tell.
    claims: &'static [&'static str],
    /// What it means if no rule reads them.
    consequence: &'static str,
    /// The wrong value, if an allow-list could hold it, and what it lacks.
    value: Option<(&'static str, &'static str)>,
    /// The token described, and the merge patch that makes it.
    tokens: fn() -> Vec<(&'static str, Value)>,
}

const PROBES: &[Probe] = &[
    Probe {
        code: "debug-image-allowed",
        severity: Severity::Error,
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
        code: "plain-vm-allowed",
        severity: Severity::Error,
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
        claims: &["eat_nonce"],
        consequence: "; that the token is for this session is required all the same",
        value: None,
        tokens: || vec![("a token for another session", json!({"eat_nonce": "another session's nonce"}))],
    },
    Probe {
        code: "audience-not-checked",
        severity: Severity::Warning,
        claims: &["aud"],
        consequence: "; that the token is for us is required all the same",
        value: None,
        tokens: || vec![("a token for somebody else", json!({"aud": "anotherCompany.com"}))],
    },
];

/// What gets through, and how many tokens were tried.
pub(super) fn findings(policy: &Policy, links: &[Link]) -> (Vec<Finding>, usize) {
    let mut trial = Trial { policy, links, wire: 0, role: Role::Server, tried: 0 };
    let mut findings = Vec::new();
    if trial.allows(&json!({})) {
        let what = "a token without any claim is allowed".to_owned();
        findings.push(error("allows-without-claims", what));
    }
    let good = trial.good();
    for probe in PROBES {
        findings.extend(trial.probe(probe, good.as_ref()));
    }
    match good {
        Some(good) => findings.extend(trial.useless_values(&good)),
        None => findings.push(warning(
            "not-tried",
            "no token made up from the baseline is allowed: what else the policy lets through was not tried"
                .to_owned(),
        )),
    }
    (findings, trial.tried)
}

struct Trial<'a> {
    policy: &'a Policy,
    links: &'a [Link],
    wire: u8,
    role: Role,
    tried: usize,
}

impl Trial<'_> {
    /// What `allow` comes to; that nonce and audience are checked besides is left out.
    fn allows(&mut self, claims: &Value) -> bool {
        self.tried += 1;
        let facts = FactsForReading {
            nonce: Some(Nonce::from_text(NONCE)),
            audience: "uwear".to_owned(),
            wire: self.wire,
            role: self.role,
            now: UnixTime::since_unix_epoch(Duration::from_secs(IAT + 10)),
        };
        let none = Map::new();
        self.policy.evaluate(claims.as_object().unwrap_or(&none), &facts).allow_holds()
    }

    /// A token as the baseline wants it that the policy allows, in one of the sessions there are.
    fn good(&mut self) -> Option<Value> {
        let mut claims = sound_claims();
        for link in self.links {
            if let Some(value) = self.approved(link) {
                put(&mut claims, &link.claim, value);
            }
        }
        [(0, Role::Server), (1, Role::Server), (1, Role::Client)].into_iter().find_map(|(wire, role)| {
            (self.wire, self.role) = (wire, role);
            self.allows(&claims).then(|| claims.clone())
        })
    }

    /// What the baseline wants in this claim. Of hardware the first that encrypts memory, to be able to tell.
    fn approved(&self, link: &Link) -> Option<Value> {
        let values = list(self.policy, &link.key);
        if claims::LISTS.contains(&link.claim.as_str()) {
            return (!values.is_empty()).then(|| Value::from(values.to_vec()));
        }
        let encrypting =
            |value: &&Value| value.as_str().is_some_and(|text| MEMORY_ENCRYPTING.contains(&text));
        let wanted = values.iter().find(|value| link.claim == "hwmodel" && encrypting(value));
        wanted.or(values.first()).cloned()
    }

    /// A finding if one of the probe's tokens is allowed; if none can be tried, if no rule reads what could tell.
    fn probe(&mut self, probe: &Probe, good: Option<&Value>) -> Option<Finding> {
        let unread: Vec<&str> = probe.claims.iter().copied().filter(|claim| !self.reads(claim)).collect();
        let passing = match good {
            Some(good) => (probe.tokens)()
                .into_iter()
                .find(|(_, patch)| self.allows(&merged(good, patch)))
                .map(|(description, _)| description)?,
            None if unread.len() == probe.claims.len() => "",
            None => return None,
        };
        let open: Vec<&str> = self.keys(probe).filter(|key| self.is_open(key)).collect();
        let holds = probe.value.and_then(|(value, lack)| {
            let key = self.keys(probe).find(|key| list(self.policy, key).contains(&json!(value)))?;
            Some(format!("{key} holds {value}, {lack}"))
        });
        let what = if unread.len() == probe.claims.len() {
            let names = unread.join(" or ");
            // The second of two neighbours needs only its last step.
            let names = names.replace(" or submods.container.", " or ");
            format!("no rule reads {names}{}", probe.consequence)
        } else if let Some(holds) = holds {
            holds
        } else if !open.is_empty() {
            let are = if open.len() == 1 { "is" } else { "are" };
            format!("{passing} passes: {} {are} open", open.join(" and "))
        } else if probe.code == "overrides-allowed" && self.is_true(CMD_OVERRIDE) {
            format!("{passing} passes: {CMD_OVERRIDE} is true")
        } else if let [claim] = unread.as_slice() {
            format!("{passing} passes: no rule reads {claim}")
        } else {
            format!("{passing} passes, although {} is read", probe.claims.join(" or "))
        };
        // Whose copy of the image it is may be left open on purpose; everything else that is wrong reads the data.
        let severity = match probe.code {
            "operator-not-pinned" if !open.is_empty() => Severity::Warning,
            _ => probe.severity,
        };
        Some(Finding { severity, code: probe.code, what, place: None })
    }

    /// Values of allow-lists with which no token passes, because another rule refuses them.
    fn useless_values(&mut self, good: &Value) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Link { claim, key } in self.links {
            let values = list(self.policy, key);
            if claims::LISTS.contains(&claim.as_str()) || !(2..=MAX_TRIED_VALUES).contains(&values.len()) {
                continue;
            }
            for value in values.iter().filter(|value| claims::impossible(claim, value).is_none()) {
                let mut token = good.clone();
                put(&mut token, claim, value.clone());
                if !self.allows(&token) {
                    let shown = attestation::printable(&value.to_string());
                    findings.push(
                        warning("useless-value", format!("it holds {shown}, with which no token passes"))
                            .at(format!("baseline {}", attestation::printable(key))),
                    );
                }
            }
        }
        findings
    }

    /// Whether `allow` reads the claim, something in it or something that it is in.
    fn reads(&self, claim: &str) -> bool {
        let steps: Vec<&str> = claim.split('.').collect();
        self.policy.inner.surface.of_allow.iter().any(|path| {
            path.split_first().is_some_and(|(root, path)| {
                root == "input" && path.iter().zip(&steps).all(|(step, wanted)| step == wanted)
            })
        })
    }

    fn keys(&self, probe: &Probe) -> impl Iterator<Item = &str> {
        let about = |link: &&Link| probe.claims.contains(&link.claim.as_str());
        self.links.iter().filter(about).map(|link| link.key.as_str())
    }

    fn is_true(&self, key: &str) -> bool {
        self.policy.inner.baseline.members().get(key) == Some(&Value::Bool(true))
    }

    fn is_open(&self, key: &str) -> bool {
        self.policy.waivers().iter().any(|waiver| waiver.key == key)
    }
}

/// A token of a production image, as Google's service makes them.
fn sound_claims() -> Value {
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

/// Sets the claim at a path of steps joined by dots.
fn put(claims: &mut Value, path: &str, value: Value) {
    let patch = path.rsplit('.').fold(value, |inner, step| json!({ step: inner }));
    *claims = merged(claims, &patch);
}
