//! Tries a policy on tokens that it must not accept, made from one that it accepts, each with one thing wrong in it.
//!
//! That a rule reads a claim does not mean that it refuses anything: only trying shows it. A rule that refuses a
//! value but not the claim's absence is found too.

use std::time::Duration;

use attestation::Nonce;
use rustls_pki_types::UnixTime;
use serde_json::{Map, Value, json};

use super::reading::{Link, list};
use super::tokens::{IAT, NONCE, PROBES, Probe, put, put_client, sound_claims};
use super::{Finding, Severity, claims, error, warning};
use crate::baseline::{CLIENTS, CMD_OVERRIDE};
use crate::merge::merged;
use crate::{FactsForReading, Policy, PolicySource, Role};

/// Most values of one list that are tried.
const MAX_TRIED_VALUES: usize = 64;

const MEMORY_ENCRYPTING: &[&str] = &["GCP_AMD_SEV", "GCP_AMD_SEV_ES", "GCP_AMD_SEV_SNP", "GCP_INTEL_TDX"];

/// What gets through, and how many tokens were tried.
pub(super) fn findings(policy: &Policy, links: &[Link]) -> (Vec<Finding>, usize) {
    let (wire, role) = match policy.source() {
        PolicySource::Client => (1, Role::Client),
        _ => (0, Role::Server),
    };
    let mut trial = Trial { policy, links, wire, role, tried: 0 };
    let mut findings = Vec::new();
    if trial.allows(&json!({})) {
        let what = "a token without any claim is allowed".to_owned();
        findings.push(error("allows-without-claims", what));
    }
    let good = trial.good();
    let role = trial.role;
    for probe in PROBES.iter().filter(|probe| probe.role.is_none_or(|of| of == role)) {
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
        if let Some(client) = list(self.policy, CLIENTS).first() {
            put_client(&mut claims, client);
        }
        let usual = (self.wire, self.role);
        for session in [(0, Role::Server), (1, Role::Server), (1, Role::Client)] {
            (self.wire, self.role) = session;
            if self.allows(&claims) {
                return Some(claims);
            }
        }
        (self.wire, self.role) = usual;
        None
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
            "operator-not-pinned" | "client-not-pinned" if !open.is_empty() => Severity::Warning,
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
        let clients = (probe.role == Some(Role::Client)).then_some(CLIENTS);
        self.links.iter().filter(about).map(|link| link.key.as_str()).chain(clients)
    }

    fn is_true(&self, key: &str) -> bool {
        self.policy.inner.baseline.members().get(key) == Some(&Value::Bool(true))
    }

    fn is_open(&self, key: &str) -> bool {
        self.policy.waivers().iter().any(|waiver| waiver.key == key)
    }
}
