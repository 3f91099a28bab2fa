//! What a UWear would see of this USleep: judged by USleep itself, at start, with a token of its own.
//!
//! The verifier and the policy are those of UWear. What each data owner pins for herself is not known here, image digest,
//! project and service account, so those rules pass whatever stands there; every other one refuses here as it would
//! refuse everywhere. An operator learns at deployment what all clients would otherwise report.

use attestation::{
    Anchors, Expectation, Nonce, Role, Token, VerifiedToken, Verifier, VerifyError, printable,
};
use policy::{Baseline, Outcome, Policy, PolicyError, PolicySource, SessionFacts};
use rustls_pki_types::UnixTime;
use serde_json::Value;
use tracing::{error, info, warn};

/// The audience of the token: no client takes one that is made for it.
pub const AUDIENCE: &str = "usleep-readiness";

/// The default policy's allowed values, but for what owners pin. It is a text of its own, for the image must not hold the
/// baseline in which its digest will stand.
const BASELINE: &str = include_str!("self_look.json");

/// What only the owner's own pins decide.
const OWN_PINS: &str = "image digest, project and service account: each data owner pins her own";

/// Whose eyes to look with.
#[derive(Debug)]
pub struct SelfLook {
    verifier: Verifier,
}

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// No client could believe the token.
    NotAuthentic {
        /// Which check failed.
        error: VerifyError,
    },
    /// The token is authentic.
    Authentic(Box<Sight>),
    /// Policy and baseline of this build do not go together: a fault of the program.
    NoPolicy {
        /// What does not fit.
        error: PolicyError,
    },
}

/// What an authentic token says. Every text is printable.
#[derive(Debug, PartialEq, Eq)]
pub struct Sight {
    /// The workload's image digest.
    pub image_digest: String,
    /// The hardware.
    pub hardware: String,
    /// `hardened`, or `debug` where the operator is root.
    pub image: &'static str,
    /// Who pays for the VM.
    pub project: String,
    /// As whom the workload acts.
    pub service_accounts: String,
    /// What the operator has overridden: names of variables, and `command`.
    pub overrides: String,
    /// Names of the checks and rules that refuse, whatever a data owner pins.
    pub refused_by: Vec<String>,
}

impl SelfLook {
    /// Looks as a UWear would that trusts these roots.
    pub fn new(anchors: Anchors) -> Self {
        Self { verifier: Verifier::new(anchors, Expectation::default()) }
    }

    /// Judges a token that was asked for with [`AUDIENCE`] and `nonce`, at `now`. The policy is compiled here and not
    /// before: it is needed once, and a server should not listen later for it.
    pub fn look(&self, token: &Token, nonce: Nonce, now: UnixTime) -> Look {
        let policy = Baseline::parse(BASELINE)
            .map_err(PolicyError::from)
            .and_then(|baseline| Policy::compile(PolicySource::Default, baseline));
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => return Look::NoPolicy { error },
        };
        let token = match self.verifier.verify(token, now) {
            Ok(token) => token,
            Err(error) => return Look::NotAuthentic { error },
        };
        let facts = SessionFacts { nonce, audience: AUDIENCE.to_owned(), wire: 0, role: Role::Server, now };
        let decision = policy.decide(&token, &facts);
        // `allow` says no more than that another rule fails.
        let all = decision.checks().iter().chain(decision.rules()).filter(|rule| rule.name != "allow");
        let refused_by = all.filter(|rule| rule.outcome != Outcome::True).map(|rule| rule.name.clone());
        Look::Authentic(Box::new(Sight::of(&token, refused_by.collect())))
    }
}

impl Sight {
    fn of(token: &VerifiedToken, refused_by: Vec<String>) -> Self {
        let claims = token.claims();
        let or_none = |claim: &Option<String>| claim.as_deref().map_or("none".to_owned(), printable);
        let hardened = claims.debug_status.as_deref() == Some("disabled-since-boot");
        Self {
            image_digest: or_none(&claims.image_digest),
            hardware: or_none(&claims.hardware_model),
            image: if hardened { "hardened" } else { "debug" },
            project: or_none(&claims.project_id),
            service_accounts: listed(claims.service_accounts.iter().map(String::as_str)),
            overrides: overrides(token),
            refused_by,
        }
    }
}

/// Names of what the operator has overridden. Values may be secrets, and are not shown.
fn overrides(token: &VerifiedToken) -> String {
    let container = token.claims_json().get("submods").and_then(|submods| submods.get("container"));
    let claim = |name: &str| container.and_then(|container| container.get(name));
    let variables = claim("env_override").and_then(Value::as_object).into_iter().flat_map(|env| env.keys());
    let command = claim("cmd_override").and_then(Value::as_array).is_some_and(|command| !command.is_empty());
    listed(variables.map(String::as_str).chain(command.then_some("command")))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", ")) }
}

impl Look {
    /// One line for the operator.
    pub fn log(&self) {
        match self {
            Self::NoPolicy { error } => {
                error!(%error, "the look at ourselves has no policy: a fault of this program")
            }
            Self::NotAuthentic { error: error @ VerifyError::RootNotPinned { .. } } => warn!(
                %error,
                next = "on a laptop give mock-launcher's root with --root; elsewhere see who made this token",
                "clients will refuse this server: its token is not of the pinned root (a mock?)"
            ),
            Self::NotAuthentic { error } => warn!(
                %error,
                next = "see the launcher's log on the VM's serial port, and the clock",
                "clients will refuse this server: its token is not authentic, or not valid now"
            ),
            Self::Authentic(sight) if sight.refused_by.is_empty() => info!(
                image_digest = sight.image_digest,
                hardware = sight.hardware,
                image = sight.image,
                project = sight.project,
                service_accounts = sight.service_accounts,
                overrides = sight.overrides,
                own_pins = OWN_PINS,
                "clients see this, and no rule of the default policy refuses it but by their own pins"
            ),
            Self::Authentic(sight) => warn!(
                image_digest = sight.image_digest,
                hardware = sight.hardware,
                image = sight.image,
                project = sight.project,
                service_accounts = sight.service_accounts,
                overrides = sight.overrides,
                own_pins = OWN_PINS,
                refused_by = sight.refused_by.join(", "),
                next = sight.next(),
                "clients will refuse this server, whatever they pin"
            ),
        }
    }
}

impl Sight {
    /// What to do about the first refusal that somebody can do something about.
    fn next(&self) -> &'static str {
        const STEPS: [(&str, &str); 11] = [
            ("session_nonce", "the launcher answers for somebody else: see its log on the VM's serial port"),
            (
                "session_audience",
                "the launcher answers for somebody else: see its log on the VM's serial port",
            ),
            (
                "debug_status_verified",
                "run the workload on the production image, confidential-space, not on its debug twin",
            ),
            (
                "support_attributes_verified",
                "start the VM again on the newest production image of Confidential Space",
            ),
            (
                "memory_encryption_verified",
                "use a machine type with AMD SEV or Intel TDX, and --confidential-compute-type",
            ),
            (
                "hw_verified",
                "use a machine type with AMD SEV or Intel TDX, or ask the data owners to allow this one",
            ),
            ("secboot_verified", "create the VM with --shielded-secure-boot"),
            ("sw_name_verified", "run the workload in a Confidential Space VM"),
            (
                "env_override_verified",
                "take the tee-env-* values from the VM's metadata, or ask the data owners to allow them by name",
            ),
            ("cmd_override_verified", "take tee-cmd from the VM's metadata"),
            ("freshness_verified", "set the clock right"),
        ];
        let failed = |rule: &str| self.refused_by.iter().any(|name| name == rule);
        let step = STEPS.iter().find(|(rule, _)| failed(rule));
        step.map_or("see the rules of that name in policy/confidential_space.rego", |(_, step)| step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mock_launcher::{Fault, MockLauncher, Pki};
    use serde_json::json;

    use launcher::{Launcher, TokenRequest, TokenSource as _};

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    /// What a look at a token of a mock like this sees.
    async fn seen(claims: Value, fault: Option<Fault>, pinned: bool) -> Look {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::shared_for_tests().unwrap();
        let anchors = Anchors::from_pem(pki.root_pem().as_bytes()).unwrap();
        let mock = MockLauncher::builder(pki).claims(claims).fault(fault);
        let mock = mock.start(folder.path().join("teeserver.sock")).await.unwrap();
        let request = TokenRequest::pki(AUDIENCE, NONCE).unwrap();
        let token = Launcher::new(mock.socket()).token(&request).await.unwrap();
        let look = SelfLook::new(if pinned { anchors } else { Anchors::google() });
        look.look(&token, Nonce::from_text(NONCE), UnixTime::now())
    }

    async fn sight(claims: Value, fault: Option<Fault>) -> Sight {
        match seen(claims, fault, true).await {
            Look::Authentic(sight) => *sight,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_baseline_is_the_one_that_ships_but_for_pins_and_audience() {
        let shipped: Value = serde_json::from_str(policy::DEFAULT_BASELINE).unwrap();
        let mut ours: Value = serde_json::from_str(BASELINE).unwrap();
        let differ = [
            "allowed_aud",
            "allowed_project_id",
            "allowed_service_account",
            "allowed_submods_container_image_digest",
            "image_digest_notes",
        ];
        for key in differ {
            ours[key] = shipped[key].clone();
        }
        assert_eq!(ours, shipped);
    }

    #[tokio::test]
    async fn what_owners_pin_for_themselves_refuses_nothing_here() {
        let digest = format!("sha256:{}", "a5".repeat(32));
        let claims = json!({
            "google_service_accounts": ["another@example.com"],
            "submods": {"container": {"image_digest": digest}, "gce": {"project_id": "another\u{1b}"}},
        });
        let sight = sight(claims, None).await;
        assert_eq!(sight.refused_by, [""; 0]);
        assert_eq!((sight.image_digest, sight.image), (digest, "hardened"));
        assert_eq!((sight.hardware.as_str(), sight.overrides.as_str()), ("GCP_AMD_SEV", "none"));
        assert_eq!(
            (sight.project.as_str(), sight.service_accounts.as_str()),
            ("another\\u{1b}", "another@example.com")
        );
    }

    #[tokio::test]
    async fn what_would_make_every_client_refuse_is_named() {
        let container = |claims: Value| json!({"submods": {"container": claims}});
        let rows = [
            (json!({"dbgstat": "enabled"}), "debug_status_verified", "production image"),
            (json!({"secboot": false}), "secboot_verified", "--shielded-secure-boot"),
            (json!({"swname": "GCE"}), "sw_name_verified", "Confidential Space VM"),
            (
                json!({"hwmodel": "GCP_SHIELDED_VM"}),
                "hw_verified, memory_encryption_verified",
                "machine type",
            ),
            (json!({"submods": {"confidential_space": null}}), "support_attributes_verified", "newest"),
            (container(json!({"env_override": {"USLEEP_RULES": "x"}})), "env_override_verified", "tee-env"),
            (container(json!({"cmd_override": ["/bin/sh"]})), "cmd_override_verified", "tee-cmd"),
            (container(json!({"image_digest": null})), "image_digest_verified", "see the rules"),
            (json!({"aud": "uwear"}), "session_audience, audience_verified", "somebody else"),
        ];
        for (claims, refused_by, next) in rows {
            let sight = sight(claims, None).await;
            assert_eq!(sight.refused_by.join(", "), refused_by);
            assert!(sight.next().contains(next), "{refused_by}: {}", sight.next());
        }
        let wrong_nonce = sight(json!({}), Some(Fault::WrongNonce)).await;
        assert_eq!(wrong_nonce.refused_by, ["session_nonce", "nonce_verified"]);
        let debug = sight(json!({}), Some(Fault::DebugImage)).await;
        assert_eq!(debug.image, "debug");
    }

    #[tokio::test]
    async fn overrides_are_named_and_their_values_are_not() {
        let container = json!({"env_override": {"B": "secret", "A": "secret"}, "cmd_override": ["secret"]});
        let sight = sight(json!({"submods": {"container": container}}), None).await;
        assert_eq!(sight.overrides, "A, B, command");
        assert!(!format!("{sight:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_mocks_token_is_known_by_its_root() {
        let look = seen(json!({}), None, false).await;
        assert!(matches!(look, Look::NotAuthentic { error: VerifyError::RootNotPinned { .. } }), "{look:?}");
        let look = seen(json!({}), Some(Fault::Expired), true).await;
        assert!(matches!(look, Look::NotAuthentic { error: VerifyError::Expired { .. } }), "{look:?}");
    }
}
