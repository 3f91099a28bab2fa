//! Decisions on Google's real tokens: what is released on, what is refused and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../attestation/tests/vectors/mod.rs"]
mod vectors;

use std::time::Duration;

use attestation::{Anchors, Expectation, Nonce, Token, VerifiedToken, Verifier};
use policy::{Baseline, Policy, PolicySource, Role, SessionFacts};
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

const PRODUCTION: &str = "prod_tdx_2025-09.pki.jwt";
const DEBUG: &str = "debug_sev_2025-06.pki.jwt";

/// The token, verified ten seconds after it was issued, and facts of the session that it was made for.
fn verified(name: &str) -> Option<(VerifiedToken, SessionFacts)> {
    let text = String::from_utf8(vectors::read(name)?).unwrap();
    let token = Token::new(text.trim()).unwrap();
    let iat = if name == DEBUG { 1_750_688_551 } else { 1_757_060_250 };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(iat + 10));
    let token = Verifier::new(Anchors::google(), Expectation::default()).verify(&token, now).unwrap();
    let facts = SessionFacts {
        nonce: Nonce::from_text(token.claims().nonces[0].clone()),
        audience: token.claims().audience[0].clone(),
        wire: 0,
        role: Role::Server,
        now,
    };
    Some((token, facts))
}

/// The default policy with a baseline that approves exactly this token.
fn policy_for(token: &VerifiedToken) -> Policy {
    let claims = token.claims();
    let mut baseline: Value = serde_json::from_str(policy::DEFAULT_BASELINE).unwrap();
    baseline["allowed_submods_container_image_digest"] = json!([claims.image_digest]);
    baseline["allowed_aud"] = json!(claims.audience);
    baseline["allowed_project_id"] = json!([claims.project_id]);
    baseline["allowed_service_account"] = json!(claims.service_accounts);
    if let Some(Value::Object(names)) = token.claims_json()["submods"]["container"].get("env_override") {
        baseline["allowed_env_override"] = json!(names.keys().collect::<Vec<_>>());
    }
    baseline["allow_cmd_override"] = json!(true);
    Policy::compile(PolicySource::Default, Baseline::parse(&baseline.to_string()).unwrap()).unwrap()
}

#[test]
fn a_real_production_token_is_allowed_by_a_baseline_that_approves_it() {
    let Some((token, facts)) = verified(PRODUCTION) else {
        return;
    };
    let policy = policy_for(&token);
    let decision = policy.decide(&token, &facts);
    assert!(decision.allowed(), "{decision:?}");
    assert_eq!(decision.policy_sha256(), policy.policy_sha256());
    assert_eq!(decision.baseline_sha256(), policy.baseline_sha256());
    let allowance = decision.into_allowance().unwrap();
    assert_eq!(allowance.policy_sha256(), policy.policy_sha256());
    assert_eq!(allowance.baseline_sha256(), policy.baseline_sha256());
}

#[test]
fn the_same_token_is_refused_for_another_session_audience_or_time() {
    let Some((token, facts)) = verified(PRODUCTION) else {
        return;
    };
    let policy = policy_for(&token);
    let later = UnixTime::since_unix_epoch(Duration::from_secs(facts.now.as_secs() + 351));
    let rows = [
        (
            SessionFacts { nonce: Nonce::from_text("another"), ..facts.clone() },
            "not acceptable: session_nonce, allow, nonce_verified",
        ),
        (SessionFacts { audience: "uwear".to_owned(), ..facts.clone() }, "not acceptable: session_audience"),
        (SessionFacts { now: later, ..facts }, "not acceptable: allow, freshness_verified"),
    ];
    for (facts, wanted) in rows {
        let decision = policy.decide(&token, &facts);
        assert!(!decision.allowed());
        assert_eq!(decision.into_allowance().unwrap_err().to_string(), wanted);
    }
}

#[test]
fn a_real_token_of_a_debug_image_is_refused_by_the_default_policy_and_passes_the_codelabs() {
    let Some((token, facts)) = verified(DEBUG) else {
        return;
    };
    let denied = policy_for(&token).decide(&token, &facts).into_allowance().unwrap_err();
    assert_eq!(
        denied.failed().collect::<Vec<_>>(),
        ["allow", "debug_status_verified", "support_attributes_verified"]
    );
    let explained = denied.decision().explain();
    let debug = explained.iter().find(|rule| rule.name == "debug_status_verified").unwrap();
    assert_eq!(debug.found[0].value.to_string(), "enabled");
    assert_eq!(debug.wanted[0].value.to_string(), "disabled-since-boot");

    let mut baseline: Value = serde_json::from_str(policy::CODELAB_BASELINE).unwrap();
    baseline["allowed_submods_container_image_digest"] = json!([token.claims().image_digest]);
    baseline["allowed_aud"] = json!(token.claims().audience);
    let baseline = Baseline::parse(&baseline.to_string()).unwrap();
    let codelab = Policy::compile(PolicySource::Codelab, baseline).unwrap();
    assert!(codelab.decide(&token, &facts).allowed());
}
