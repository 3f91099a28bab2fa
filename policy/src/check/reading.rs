//! What reading alone shows: paths, values and keys that cannot be meant.

use std::collections::BTreeSet;

use attestation::printable;
use serde_json::Value;

use super::{Finding, claims, error, warning};
use crate::baseline::{ACCOUNT_OF, CLIENTS};
use crate::comparisons::With;
use crate::{BaselineError, Policy};

/// A claim that the policy compares with a key of the baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The claim's path, steps joined by dots.
    pub(super) claim: String,
    pub(super) key: String,
}

/// The keys of the policies that ship, and the claims that they are about: some are compared element by
/// element, which the syntax alone does not show.
const KNOWN: &[(&str, &str)] = &[
    ("submods.container.image_digest", "allowed_submods_container_image_digest"),
    ("hwmodel", "allowed_hwmodel"),
    ("aud", "allowed_aud"),
    ("iss", "allowed_issuer"),
    ("secboot", "allowed_secboot"),
    ("swname", "allowed_sw_name"),
    ("dbgstat", "allowed_dbgstat"),
    ("submods.confidential_space.support_attributes", "required_support_attributes"),
    ("submods.gce.project_id", "allowed_project_id"),
    ("google_service_accounts", "allowed_service_account"),
];

/// Which key is about which claim: by name, by a comparison of both, or because a rule reads one of each.
pub(super) fn links(policy: &Policy) -> Vec<Link> {
    let surface = &policy.inner.surface;
    let mut links: Vec<Link> = Vec::new();
    let mut add = |claim: &str, key: &str| {
        let link = Link { claim: claim.to_owned(), key: key.to_owned() };
        // A client is several claims together.
        let single = key != CLIENTS && claims::form(claim).is_some_and(claims::Form::has_values);
        if single && !links.contains(&link) {
            links.push(link);
        }
    };
    for rule in &surface.rules {
        for comparison in &rule.comparisons {
            if let With::Key(key) = &comparison.with {
                add(&comparison.claim.join("."), key);
            }
        }
        let under = |root: &str| -> BTreeSet<String> {
            let paths = rule.reads.iter().filter(|read| read.path.first().is_some_and(|first| first == root));
            paths.filter_map(|read| Some(read.path.get(1..)?.join("."))).collect()
        };
        let keys: BTreeSet<String> =
            under("data").iter().filter_map(|path| Some(path.split('.').next()?.to_owned())).collect();
        let (claims, keys): (Vec<_>, Vec<_>) =
            (under("input").into_iter().collect(), keys.into_iter().collect());
        if let ([claim], [key]) = (claims.as_slice(), keys.as_slice()) {
            add(claim, key);
        }
    }
    for (claim, key) in KNOWN.iter().filter(|(_, key)| policy.inner.keys.contains(*key)) {
        add(claim, key);
    }
    links
}

pub(super) fn findings(policy: &Policy, links: &[Link]) -> Vec<Finding> {
    let mut findings = unknown_claims(policy);
    findings.extend(impossible_in_policy(policy));
    let faults = policy.baseline_faults();
    findings.extend(faults.iter().map(fault));
    findings.extend(impossible_in_baseline(policy, links, &faults));
    let inner = &policy.inner;
    // The default policy refuses a baseline with such keys: there it is a fault.
    let already = |key: &str| faults.iter().any(|fault| key_of(fault) == printable(key));
    findings.extend(inner.baseline.unread(&inner.keys).filter(|key| !already(key)).map(|key| {
        warning("unused-key", "no rule reads it: what it says is not enforced".to_owned())
            .at(format!("baseline {}", printable(key)))
    }));
    findings.extend(policy.waivers().iter().map(|waiver| {
        warning("open-list", format!("it allows anything: {}", waiver.reason))
            .at(format!("baseline {}", waiver.key))
    }));
    findings
}

fn unknown_claims(policy: &Policy) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for read in policy.inner.surface.rules.iter().flat_map(|rule| &rule.reads) {
        let Some((root, steps)) = read.path.split_first() else { continue };
        let path = steps.join(".");
        if root == "input" && !claims::exists(&path) && seen.insert(path.clone()) {
            let nearest = claims::nearest(&path);
            let what = format!("no token has input.{}; the nearest is input.{nearest}", printable(&path));
            findings.push(error("unknown-claim", what).at(line(policy, read.line)));
        }
    }
    findings
}

fn impossible_in_policy(policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for comparison in policy.inner.surface.rules.iter().flat_map(|rule| &rule.comparisons) {
        let With::Literals(values) = &comparison.with else { continue };
        let claim = comparison.claim.join(".");
        for value in values {
            if let Some(why) = claims::impossible(&claim, value) {
                let what = format!("{claim} is never {}; {why}", shown(value));
                findings.push(error("impossible-value", what).at(line(policy, comparison.line)));
            }
        }
    }
    findings
}

fn impossible_in_baseline(policy: &Policy, links: &[Link], faults: &[BaselineError]) -> Vec<Finding> {
    let faulty = |key: &str| faults.iter().any(|fault| key_of(fault) == key);
    let mut findings: Vec<Finding> = Vec::new();
    let of_links =
        links.iter().map(|Link { claim, key }| (claim.as_str(), key.as_str(), list(policy, key).to_vec()));
    // Of a client its form is known; that an account is none is seen here alone.
    let accounts =
        list(policy, CLIENTS).iter().filter_map(|client| client.get(ACCOUNT_OF)).cloned().collect();
    let of_clients =
        policy.inner.keys.contains(CLIENTS).then_some(("google_service_accounts", CLIENTS, accounts));
    for (claim, key, values) in of_links.chain(of_clients).filter(|(_, key, _)| !faulty(key)) {
        for value in &values {
            if let Some(why) = claims::impossible(claim, value) {
                let what = format!("{claim} is never {}; {why}", shown(value));
                let finding = error("impossible-value", what).at(format!("baseline {}", printable(key)));
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
    }
    findings
}

/// The values of a key that is a list; of anything else none.
pub(super) fn list<'a>(policy: &'a Policy, key: &str) -> &'a [Value] {
    policy.inner.baseline.members().get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn fault(fault: &BaselineError) -> Finding {
    let (code, what) = match fault {
        BaselineError::Missing { wanted, .. } => {
            ("missing-key", format!("the policy reads it, and it is not there; add it: {wanted}"))
        }
        BaselineError::Unknown { .. } => {
            ("unused-key", "no rule reads it: correct its name or remove it".to_owned())
        }
        BaselineError::Empty { wanted, .. } => ("empty-list", format!("wanted {wanted}, got an empty list")),
        BaselineError::Value { wanted, got, .. } => {
            ("malformed-value", format!("wanted {wanted}, got {got}"))
        }
        other => ("malformed-baseline", other.to_string()),
    };
    error(code, what).at(format!("baseline {}", place_of(fault)))
}

/// The key or the place inside it.
fn place_of(fault: &BaselineError) -> &str {
    match fault {
        BaselineError::Missing { key, .. }
        | BaselineError::Unknown { key }
        | BaselineError::Empty { key, .. }
        | BaselineError::Value { key, .. } => key,
        _ => "",
    }
}

fn key_of(fault: &BaselineError) -> &str {
    place_of(fault).split('[').next().unwrap_or_default()
}

fn line(policy: &Policy, line: u32) -> String {
    format!("{}, line {line}", policy.name())
}

fn shown(value: &Value) -> String {
    printable(&value.to_string())
}
