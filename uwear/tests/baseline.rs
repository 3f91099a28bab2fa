//! `uwear baseline`: a baseline from a token, and what a change of one means.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
#[path = "../../attestation/tests/vectors/mod.rs"]
mod vectors;

use serde_json::{Value, json};
use support::{Owner, Uwear, shipped_baseline, tokens};

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// `uwear baseline init` from a token of the mock.
fn init(owner: &Owner, patch: &Value) -> Uwear {
    owner.file("token.jwt", tokens::token(NONCE, patch));
    let called = owner.uwear().args(["baseline", "init", "--from-token", "token.jwt"]);
    called.option("--root", tokens::root_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_baseline_of_a_token_accepts_it_and_has_no_finding() {
    let owner = Owner::new();
    let patch = json!({"submods": {
        "container": {"env_override": {"remote_ip_addr": "10.0.0.2"}},
        "gce": {"project_id": "another-project"},
    }});
    let ended = init(&owner, &patch).ends().await.with_code(0);
    assert!(ended.stderr.contains("review it before you use it:\n"), "{ended}");
    assert!(ended.stderr.contains("  allowed_env_override                     the operator sets"), "{ended}");
    let baseline: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(baseline["allowed_project_id"], json!(["another-project"]));
    assert_eq!(baseline["allowed_env_override"], json!(["remote_ip_addr"]));
    assert_eq!(baseline["allowed_dbgstat"], json!(["disabled-since-boot"]));
    let digest = baseline["allowed_submods_container_image_digest"][0].as_str().unwrap();
    let note = &baseline["image_digest_notes"][digest];
    assert_eq!(note["label"], "us-west1-docker.pkg.dev/mock-usleep-project/usleep/usleep:latest");
    assert_eq!(note["date"].as_str().unwrap().len(), "2025-09-05".len());

    owner.file("mine.json", &ended.stdout);
    let verify = owner.uwear().args(["verify", "token.jwt", "--nonce", NONCE, "--baseline", "mine.json"]);
    verify.option("--root", tokens::root_file()).ends().await.with_code(0);
    let check = owner.uwear().args(["policy", "check", "--baseline", "mine.json"]);
    check.ends().await.with_code(0).says(&["nothing found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_production_token_makes_a_baseline_that_accepts_it_and_the_debug_one_none() {
    let owner = Owner::new();
    let Some(token) = vectors::read("prod_tdx_2025-09.pki.jwt") else { return };
    owner.file("token.jwt", token);
    let at = ["--now", "2025-09-05T08:17:40Z"];
    let init = owner.uwear().args(["baseline", "init", "--from-token", "token.jwt", "--output", "mine.json"]);
    let ended = init.args(at).ends().await.with_code(0);
    assert!(ended.stdout.is_empty() && ended.stderr.starts_with("wrote mine.json; review"), "{ended}");
    let verify = owner.uwear().args(["verify", "token.jwt", "--no-nonce", "--baseline", "mine.json"]);
    verify.args(at).args(["--audience", "z08381475938604996746"]).ends().await.with_code(0);
    let check = owner.uwear().args(["policy", "check", "--baseline", "mine.json"]);
    check.ends().await.with_code(0).says(&["nothing found"]);

    owner.file("debug.jwt", vectors::read("debug_sev_2025-06.pki.jwt").unwrap());
    let init =
        owner.uwear().args(["baseline", "init", "--from-token", "debug.jwt", "--output", "debug.json"]);
    let ended = init.args(["--now", "2025-06-23T14:22:41Z"]).ends().await.with_code(5);
    ended.with_one_complaint(&["makes no baseline: a debug image", "(debug_status_verified)"]);
    assert!(!owner.path("debug.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_should_accept_makes_no_baseline() {
    let rows = [
        (json!({"dbgstat": "enabled"}), "debug_status_verified"),
        (json!({"dbgstat": null}), "debug_status_verified"),
        (json!({"submods": {"confidential_space": null}}), "support_attributes_verified"),
        (json!({"hwmodel": "GCP_SHIELDED_VM"}), "memory_encryption_verified"),
        (json!({"secboot": false}), "secboot_verified"),
        (json!({"swname": "GCE"}), "sw_name_verified"),
        (json!({"submods": {"container": {"cmd_override": ["/bin/sh"]}}}), "cmd_override_verified"),
        (json!({"aud": ["uwear", "another"]}), "session_audience"),
        (json!({"session": {}}), "session_claim_absent"),
        (json!({"hwmodel": null}), "allowed_hwmodel: wanted a non-empty list"),
        (json!({"google_service_accounts": null}), "allowed_service_account: wanted a non-empty list"),
        (json!({"submods": {"gce": null}}), "allowed_project_id: wanted a non-empty list"),
        (
            json!({"submods": {"container": {"image_digest": "sha256:1"}}}),
            "image_digest[0]: wanted \"sha256:\"",
        ),
    ];
    for (patch, wanted) in rows {
        let owner = Owner::new();
        let ended = init(&owner, &patch).args(["--output", "mine.json"]).ends().await.with_code(5);
        ended.with_one_complaint(&["the token is authentic, but makes no baseline: ", wanted]);
        assert!(!owner.path("mine.json").exists(), "{patch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_authentic_makes_no_baseline() {
    let owner = Owner::new();
    let foreign = owner.uwear().args(["baseline", "init", "--from-token", "token.jwt"]);
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    foreign.ends().await.with_code(4).with_one_complaint(&["token token.jwt: "]);
    let old = init(&owner, &json!({})).args(["--now", "2025-09-05T08:17:40Z"]);
    old.ends().await.with_code(4).with_one_complaint(&["token token.jwt: "]);
    owner.file("token.jwt", "garbage");
    let garbage = owner.uwear().args(["baseline", "init", "--from-token", "token.jwt"]);
    garbage.ends().await.with_code(4).with_one_complaint(&["token token.jwt: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_exists_is_never_overwritten() {
    let owner = Owner::new();
    let mine = owner.file("mine.json", "{}");
    let ended = init(&owner, &json!({})).args(["--output", "mine.json"]).ends().await.with_code(2);
    ended.with_one_complaint(&["baseline mine.json: File exists"]);
    assert_eq!(std::fs::read_to_string(mine).unwrap(), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_says_what_is_let_in_and_shut_out() {
    let owner = Owner::new();
    let mut baseline: Value =
        serde_json::from_str(&std::fs::read_to_string(shipped_baseline()).unwrap()).unwrap();
    owner.file("old.json", baseline.to_string());
    baseline["allowed_hwmodel"] = json!(["GCP_AMD_SEV", "GCP_AMD_SEV_ES"]);
    baseline["allowed_project_id"] = json!({"any": true, "reason": "trying out"});
    baseline["required_support_attributes"] = json!(["STABLE", "LATEST"]);
    owner.file("new.json", baseline.to_string());
    let diff = |old: &'static str, new: &'static str| owner.uwear().args(["baseline", "diff", old, new]);

    let ended = diff("old.json", "new.json").ends().await.with_code(0);
    let wanted = "\
2 let in, 2 shut out, 0 other

allowed_hwmodel
  lets in    GCP_AMD_SEV_ES
  shuts out  GCP_INTEL_TDX

allowed_project_id
  lets in    anything: trying out

required_support_attributes
  shuts out  tokens without LATEST

old old.json sha256 ";
    assert!(ended.stdout.starts_with(wanted) && !ended.stdout.contains('\u{1b}'), "{ended}");

    let object = diff("new.json", "old.json").json().ends().await.with_code(0).json();
    let effects: Vec<(&str, &str)> = object["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["effect"].as_str().unwrap(), change["what"].as_str().unwrap()))
        .collect();
    assert_eq!(
        effects,
        [
            ("lets-in", "GCP_INTEL_TDX"),
            ("shuts-out", "GCP_AMD_SEV_ES"),
            ("shuts-out", "everything but mock-usleep-project"),
            ("lets-in", "tokens without LATEST"),
        ]
    );

    diff("old.json", "old.json").ends().await.with_code(0).says(&["no difference\n"]);
    owner.file("broken.json", "[]");
    diff("old.json", "broken.json").ends().await.with_code(2).with_one_complaint(&["broken.json: baseline"]);
    diff("absent.json", "old.json").ends().await.with_code(2).with_one_complaint(&["baseline absent.json"]);
}
