//! `uwear policy test`: folders of cases, the project's own and an owner's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use support::{Owner, Uwear, shipped_baseline};

const MINE: &str = "package confidential_space\nimport rego.v1\ndefault allow := false\nallow if hw_verified\n\
                    default hw_verified := false\nhw_verified if input.hwmodel in data.machines\n";

const GOOD: &str = r#"{"note": "as approved", "input": {"aud": "uwear",
    "eat_nonce": "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=", "hwmodel": "GCP_INTEL_TDX"},
    "want": {"allow": true, "rules": {}}}"#;

/// An owner with a policy, a baseline and a folder of one case.
fn owner() -> Owner {
    let owner = Owner::new();
    owner.file("mine.rego", MINE);
    owner.file("mine.json", r#"{"machines": ["GCP_INTEL_TDX"]}"#);
    std::fs::create_dir(owner.path("cases")).unwrap();
    owner.file("cases/good.json", GOOD);
    owner
}

fn test(owner: &Owner) -> Uwear {
    owner.uwear().args(["policy", "test", "cases", "--policy", "mine.rego", "--baseline", "mine.json"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projects_own_cases_pass_with_no_baseline_at_hand() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/cases");
    let ended = Owner::new().uwear().args(["policy", "test"]).arg(cases).ends().await.with_code(0);
    assert!(ended.stdout.ends_with(" cases passed\n") && ended.stdout.lines().count() == 1, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_cases_run_with_her_policy_and_a_failing_one_says_what_differs() {
    let owner = owner();
    let ended = test(&owner).ends().await.with_code(0);
    assert_eq!(ended.stdout, "1 case passed\n");

    owner.file("cases/wrong.json", GOOD.replace("GCP_INTEL_TDX", "GCP_AMD_SEV"));
    let ended = test(&owner).ends().await.with_code(5);
    assert_eq!(
        ended.stdout,
        "failed   wrong   allow wanted true, got false; hw_verified wanted true, got false\n1 case failed, 1 passed\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_is_none_ends_with_2_whatever_the_others_come_to() {
    let rows = [
        ("{", "cases: broken: EOF while parsing"),
        (r#"{"note": ""}"#, "cases: broken: missing field `want`"),
        (
            r#"{"note": "", "want": {"allow": true, "rules": {"hw_verifed": false}}}"#,
            "cases: broken: wanted a rule or check of the policy, got hw_verifed",
        ),
        (
            r#"{"note": "", "data": {"machines": []}, "want": {"allow": true, "rules": {}}}"#,
            "cases: broken: baseline machines: wanted a non-empty list",
        ),
    ];
    for (text, wanted) in rows {
        let owner = owner();
        owner.file("cases/broken.json", text);
        test(&owner).ends().await.with_code(2).with_one_complaint(&[wanted]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_tests_nothing_ends_with_2() {
    let owner = owner();
    let run = |arguments: &[&'static str]| owner.uwear().args(["policy", "test"]).args(arguments.to_vec());
    run(&["absent"]).ends().await.with_code(2).with_one_complaint(&["cases: absent: No such file"]);
    std::fs::create_dir(owner.path("empty")).unwrap();
    run(&["empty"]).ends().await.with_code(2).with_one_complaint(&["cases: empty: wanted cases"]);
    // Cases about a policy that ships do not test the owner's, and must not look as if they did.
    owner.file("empty/shipped.json", GOOD.replacen('{', r#"{"policy": "default", "#, 1));
    let ended = run(&["empty", "--policy", "mine.rego", "--baseline", "mine.json"]).ends().await.with_code(2);
    ended.with_one_complaint(&["cases empty: none is about mine.rego"]);
    // Cases about the policy under test need its baseline.
    let ended = run(&["cases"]).option("--baseline", shipped_baseline()).ends().await.with_code(5);
    ended.says(&[
        "failed   good   allow wanted true, got false; image_digest_verified wanted true, got false;",
    ]);
}
