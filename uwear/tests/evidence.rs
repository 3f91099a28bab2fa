//! `uwear --evidence` and `uwear evidence verify`: what is kept, who can read it, and what becomes of it when somebody
//! changes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::honest::Honest;
use support::scripted::Scripted;
use support::{Ended, Owner, PHI, tokens};

/// One session whose evidence and result the owner keeps.
async fn keep(owner: &Owner) -> Ended {
    let usleep = Honest::start().await;
    let called = owner.release_in(usleep.address, "auto").args(["--evidence", "kept"]);
    let ended = called.args(["--result", "result.json"]).ends().await.with_code(0);
    assert_eq!(usleep.received().await, [PHI.as_bytes()]);
    ended
}

fn files(owner: &Owner) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(owner.path("kept")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The one file of evidence.
fn evidence(owner: &Owner) -> PathBuf {
    let mut files = files(owner);
    files.retain(|file| file.to_string_lossy().ends_with(".evidence.json"));
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

async fn verify(owner: &Owner, path: impl AsRef<Path>, flags: &[&str]) -> Ended {
    let called = owner.uwear().args(["evidence", "verify"]).arg(path.as_ref());
    called.option("--root", tokens::root_file()).args(flags.iter().copied()).ends().await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_kept_in_new_files_that_only_its_owner_can_read() {
    let owner = Owner::new();
    let ended = keep(&owner).await;
    ended.says(&["Receipt verified: usleep of the tests, rules codelab, ", "Evidence written to kept/"]);
    let files = files(&owner);
    assert_eq!((files.len(), mode(&owner.path("kept"))), (2, 0o700));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    let text = std::fs::read_to_string(evidence(&owner)).unwrap();
    for canary in ["canary-name", "270.8317", "510.0003"] {
        assert!(!text.contains(canary), "{canary} in the evidence");
    }
    // A second session has files of its own.
    std::fs::remove_file(owner.path("result.json")).unwrap();
    keep(&owner).await;
    assert_eq!(self::files(&owner).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_released_no_evidence_is_left() {
    let owner = Owner::new();
    let usleep = Honest::start().await;
    let called = owner.release_in(usleep.address, "1").args(["--evidence", "kept", "--audience", "another"]);
    called.ends().await.with_code(5);
    owner.release_in(Scripted::nobody().address, "1").args(["--evidence", "kept"]).ends().await.with_code(3);
    assert_eq!(files(&owner), Vec::<PathBuf>::new());
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_cannot_be_kept_is_no_reason_to_send_anything() {
    let usleep = Honest::start().await;
    let owner = Owner::new();
    owner.file("file", "no folder");
    for folder in ["file", "not/there"] {
        let called = owner.release_in(usleep.address, "1").args(["--evidence", folder]);
        let ended = called.ends().await.with_code(2);
        ended.with_one_complaint(&[&format!("evidence folder {folder}: ")]);
    }
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_says_which_image_said_what_and_when_without_any_secret() {
    let owner = Owner::new();
    keep(&owner).await;
    // The key is for PHI and result alone.
    let key =
        files(&owner).into_iter().find(|file| file.extension().is_some_and(|kind| kind == "key")).unwrap();
    std::fs::remove_file(key).unwrap();
    let ended = verify(&owner, "kept", &[]).await.with_code(0);
    ended.says(&[
        "VALID   kept/",
        "workload  sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e",
        "who       project mock-usleep-project",
        "said by   usleep of the tests, rules codelab, ",
        "1 of 1 valid",
        "warning: Google's root is not trusted here",
    ]);
    let report = verify(&owner, evidence(&owner), &["--format", "json"]).await.with_code(0).json();
    let session = &report["sessions"][0];
    assert_eq!(
        (&report["outcome"], &session["valid"], &session["reason"]),
        (&json!("done"), &json!(true), &Value::Null)
    );
    let steps = session["checks"].as_array().unwrap();
    let not_run: Vec<&Value> =
        steps.iter().filter(|row| row["ok"].is_null()).map(|row| &row["name"]).collect();
    assert_eq!((steps.len(), not_run), (10, vec![&json!("phi"), &json!("result")]));
    assert_eq!(session["receipt"]["program"], "usleep of the tests");

    // Under Google's root alone it proves nothing.
    let ended = owner.uwear().args(["evidence", "verify", "kept"]).ends().await.with_code(4);
    ended.says(&["NOT VALID   kept/", "root_pinned", "0 of 1 valid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_key_evidence_is_about_these_data_and_no_others() {
    let owner = Owner::new();
    keep(&owner).await;
    owner.file("other.json", PHI.replace("29", "30"));
    owner.file("other-result.json", "{}");
    // As an editor leaves it: a night is sent without the line feeds at the end of its file.
    owner.file("edited.json", format!("{PHI}\n"));
    owner.file("edited-other.json", format!("{}\n", PHI.replace("29", "30")));
    let rows: [(&[&str], i32, &[&str]); 7] = [
        (&["--phi", "edited.json"], 0, &[]),
        (&["--phi", "edited-other.json"], 4, &["phi"]),
        (&["--phi", "phi.json", "--result", "result.json"], 0, &[]),
        (&["--phi", "phi.json"], 0, &[]),
        (&["--result", "result.json"], 0, &[]),
        (&["--phi", "other.json", "--result", "result.json"], 4, &["phi"]),
        (&["--phi", "phi.json", "--result", "other-result.json"], 4, &["result"]),
    ];
    for (flags, exit, failed) in rows {
        let flags = [flags, &["--format", "json"]].concat();
        let report = verify(&owner, evidence(&owner), &flags).await.with_code(exit).json();
        let steps = report["sessions"][0]["checks"].as_array().unwrap();
        let names: Vec<&str> =
            steps.iter().filter(|row| row["ok"] == false).map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, failed, "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_evidence_is_found_and_named() {
    let owner = Owner::new();
    keep(&owner).await;
    let file = evidence(&owner);
    let genuine: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    type Change = fn(&mut Value);
    let rows: [(&str, Change, &str); 9] = [
        ("another exporter", |kept| kept["exporter"] = json!("A".repeat(43) + "="), "nonce"),
        ("another server nonce", |kept| kept["server_nonce"] = json!("A".repeat(43) + "="), "nonce"),
        (
            "a larger tree",
            |kept| {
                (kept["size"], kept["proof"]) = (json!(2), json!(["A".repeat(43) + "="]));
            },
            "nonce",
        ),
        ("another key", |kept| kept["spki"] = json!("AAAA"), "nonce"),
        (
            "another word in the receipt",
            |kept| {
                kept["receipt"] = json!(kept["receipt"].as_str().unwrap().replace("codelab", "recommended"));
            },
            "signature",
        ),
        ("another signature", |kept| kept["signature"] = json!("AAAA"), "signature"),
        (
            "two days earlier",
            |kept| {
                kept["verified_at"] = json!(kept["verified_at"].as_u64().unwrap() - 172_800);
            },
            "token",
        ),
        (
            "in the future",
            |kept| {
                kept["verified_at"] = json!(kept["verified_at"].as_u64().unwrap() + 172_800);
            },
            "dated",
        ),
        (
            "one character of the token",
            |kept| {
                let token = kept["token"].as_str().unwrap();
                let last = if token.ends_with('A') { "B" } else { "A" };
                kept["token"] = json!(format!("{}{last}", &token[..token.len() - 1]));
            },
            "token",
        ),
    ];
    for (name, change, step) in rows {
        let mut changed = genuine.clone();
        change(&mut changed);
        owner.file("changed.evidence.json", changed.to_string());
        let report = verify(&owner, "changed.evidence.json", &["--format", "json"]).await.with_code(4).json();
        let steps = report["sessions"][0]["checks"].as_array().unwrap();
        let failed = steps.iter().find(|row| row["ok"] == false).unwrap();
        assert_eq!(failed["name"], step, "{name}: {report:#}");
    }
    for (name, text) in [("cut off", &genuine.to_string()[..500]), ("empty", "{}"), ("no JSON", "garbage")] {
        owner.file("changed.evidence.json", text);
        let report = verify(&owner, "changed.evidence.json", &["--format", "json"]).await.with_code(4).json();
        let session = &report["sessions"][0];
        assert!(session["reason"].is_string() && session["valid"] == false, "{name}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_file_among_good_ones_is_named_and_counted() {
    let owner = Owner::new();
    keep(&owner).await;
    owner.file("kept/20200101T000000Z-00000000.evidence.json", "{}");
    let ended = verify(&owner, "kept", &[]).await.with_code(4);
    ended.says(&[
        "NOT VALID   kept/20200101T000000Z-00000000.evidence.json",
        "no evidence: ",
        "1 of 2 valid",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_as_asked_is_a_usage_error() {
    let owner = Owner::new();
    std::fs::create_dir(owner.path("empty")).unwrap();
    let ended = verify(&owner, "empty", &[]).await.with_code(2);
    ended.with_one_complaint(&["evidence folder empty: no evidence in it"]);
    let ended = verify(&owner, "nowhere", &[]).await.with_code(2);
    ended.with_one_complaint(&["evidence nowhere: "]);

    keep(&owner).await;
    std::fs::remove_file(owner.path("result.json")).unwrap();
    keep(&owner).await;
    let ended = verify(&owner, "kept", &["--phi", "phi.json"]).await.with_code(2);
    ended.with_one_complaint(&["wanted one file of evidence, got 2"]);

    let file =
        files(&owner).into_iter().find(|file| file.to_string_lossy().ends_with(".evidence.json")).unwrap();
    let key = PathBuf::from(file.to_string_lossy().replace(".evidence.json", ".commitment.key"));
    std::fs::write(&key, "AAAA\n").unwrap();
    let ended = verify(&owner, &file, &["--phi", "phi.json"]).await.with_code(2);
    ended.with_one_complaint(&["commitment key ", "wanted base64 of 32 bytes"]);
    std::fs::remove_file(&key).unwrap();
    let ended = verify(&owner, &file, &["--phi", "phi.json"]).await.with_code(2);
    ended.with_one_complaint(&["commitment key ", "No such file"]);
}
