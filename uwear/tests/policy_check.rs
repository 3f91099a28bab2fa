//! `uwear policy check`: what it says of the policies that ship and of an owner's own, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::json;
use support::{Owner, Uwear, shipped_baseline};

fn policy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy")
}

fn check(owner: &Owner) -> Uwear {
    owner.uwear().args(["policy", "check"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_has_no_finding_and_says_so() {
    let ended = check(&Owner::new()).option("--baseline", shipped_baseline()).ends().await.with_code(0);
    assert!(ended.stdout.starts_with("nothing found: every claim and value can occur, and of "), "{ended}");
    assert!(ended.stderr.is_empty() && !ended.stdout.contains('\u{1b}'), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_policy_has_no_finding_with_the_baseline_that_ships_with_it() {
    let owner = Owner::new();
    let called = |baseline: &str| {
        check(&owner).option("--policy", "client").option("--baseline", policy_folder().join(baseline))
    };
    let ended = called("client_baseline.json").ends().await.with_code(0);
    assert!(ended.stdout.starts_with("nothing found: ") && ended.stdout.contains("client.rego"), "{ended}");
    let ended = called("baseline.json").ends().await.with_code(5);
    ended.says(&[
        "missing-key                baseline allowed_client: the policy reads it, and it is not there",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codelabs_policy_has_its_known_gaps_aligned_and_ends_with_5() {
    let owner = Owner::new();
    let called = || check(&owner).option("--baseline", policy_folder().join("codelab_baseline.json"));
    let wanted = "\
4 errors, 1 warning

error    debug-image-allowed        no rule reads dbgstat: an operator with root on a debug VM would pass
error    no-memory-encryption       allowed_hwmodel holds GCP_SHIELDED_VM, which has none
error    overrides-allowed          no rule reads submods.container.env_override or cmd_override
error    operator-not-pinned        no rule reads submods.gce.project_id or google_service_accounts: anybody's copy of the image passes
warning  support-not-required       no rule reads submods.confidential_space.support_attributes
";
    for policy in [PathBuf::from("codelab"), policy_folder().join("codelab.rego")] {
        let ended = called().option("--policy", policy).ends().await.with_code(5);
        assert!(ended.stdout.starts_with(wanted), "{ended}");
    }
    let object = called().args(["--policy", "codelab"]).json().ends().await.with_code(5).json();
    assert_eq!((&object["outcome"], &object["exit_code"]), (&json!("not-acceptable"), &json!(5)));
    assert_eq!(object["findings"].as_array().unwrap().len(), 5);
    assert_eq!(
        object["findings"][1],
        json!({
            "severity": "error",
            "code": "no-memory-encryption",
            "what": "allowed_hwmodel holds GCP_SHIELDED_VM, which has none",
            "place": null,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typing_error_is_found_with_its_line_and_warnings_alone_end_with_0() {
    let owner = Owner::new();
    let default = std::fs::read_to_string(policy_folder().join("confidential_space.rego")).unwrap();
    owner.file("typo.rego", default.replace("input.dbgstat in", "input.dbgstatus in"));
    let called = check(&owner).args(["--policy", "typo.rego"]).option("--baseline", shipped_baseline());
    let line = 1 + default.lines().position(|line| line.contains("input.dbgstat in")).unwrap();
    let ended = called.ends().await.with_code(5);
    ended.says(&[&format!(
        "error    unknown-claim              typo.rego, line {line}: no token has input.dbgstatus; the nearest is input.dbgstat\n"
    )]);

    owner.file("quiet.rego", default.replace("\tnonce_verified\n", ""));
    let called = check(&owner).args(["--policy", "quiet.rego"]).option("--baseline", shipped_baseline());
    called.ends().await.with_code(0).says(&["0 errors, 1 warning\n", "warning  nonce-not-checked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_compiled_ends_with_2_and_one_complaint() {
    let owner = Owner::new();
    owner.file("broken.rego", "package confidential_space\nallow if {");
    owner.file("broken.json", "{");
    let baseline = shipped_baseline();
    let baseline = baseline.to_str().unwrap();
    let rows: [(&[&str], &[&str]); 4] = [
        (&["--policy", "broken.rego", "--baseline", baseline], &["policy broken.rego, line "]),
        (&["--policy", "absent.rego", "--baseline", baseline], &["policy absent.rego: "]),
        (&["--baseline", "broken.json"], &["broken.json: baseline: wanted a JSON object"]),
        (&[], &["no baseline: there is no policy/baseline.json here"]),
    ];
    for (arguments, words) in rows {
        let ended = check(&owner).args(arguments.iter().copied()).ends().await.with_code(2);
        ended.with_one_complaint(words);
    }
}
