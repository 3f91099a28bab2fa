//! `uwear audit verify` and `uwear audit replay` on logs that real releases wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::honest::Honest;
use support::scripted::{Peer, Scripted};
use support::{Owner, tokens};

const LOG: &str = "audit.jsonl";

/// An owner whose log holds an accepted session, one refused for its debug image, and one whose token is not authentic.
async fn owner_with_log() -> Owner {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    owner.release_in(usleep.address, "1").args(["--audit-log", LOG]).ends().await.with_code(0);
    usleep.received().await;
    for (prefix, patch, exit) in [("", json!({"dbgstat": "enabled"}), 5), ("x", json!({}), 4)] {
        let server = Scripted::websocket(move |mut peer: Peer| {
            let token = format!("{prefix}{}", tokens::token(&peer.nonce, &patch));
            async move {
                peer.say(token).await;
                peer.listen().await;
            }
        });
        let server = server.await;
        owner.release(server.address).args(["--audit-log", LOG]).ends().await.with_code(exit);
    }
    owner
}

fn changed(owner: &Owner, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(owner.path(LOG)).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unbroken_log_is_counted_and_its_head_printed() {
    let owner = owner_with_log().await;
    let text = owner.uwear().args(["audit", "verify", LOG]).ends().await.with_code(0);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines[0], "INTACT: 6 lines, each follows the one before");
    assert_eq!(lines[2], "sessions   3: 1 released, 2 refused, 0 lost, 0 of unknown outcome");
    let head = lines[3].strip_prefix("head       ").unwrap();
    assert!(
        lines[4].starts_with("not excluded: that lines were cut off at the end, or all written anew"),
        "{text}"
    );
    // As everybody can compute it.
    let last = std::fs::read(owner.path(LOG)).unwrap();
    let last = last.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, last);
    assert_eq!(hex::encode(sha256), head);

    let known = owner.uwear().args(["audit", "verify", LOG, "--head", head]).ends().await.with_code(0);
    known.says(&[
        "INTACT: 6 lines, certain up to line 6, whose head you know",
        "not excluded: that lines after line 6",
    ]);
    let json =
        owner.uwear().args(["audit", "verify", LOG, "--head", head]).json().ends().await.with_code(0).json();
    let wanted = json!({
        "outcome": "intact", "exit_code": 0, "file": LOG, "lines": 6, "head": head, "known_head_line": 6,
        "sessions": {"decided": 3, "released": 1, "refused": 2, "lost": 0, "outcome_unknown": 0},
        "unknown": [], "recovered": 0, "torn": false, "fault": null,
        "not_excluded": "that lines after line 6 were cut off, or written anew",
    });
    assert_eq!(json, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_log_is_exit_1_and_the_place_is_named() {
    let owner = owner_with_log().await;
    let verified: Value = owner.uwear().args(["audit", "verify", LOG]).json().ends().await.json();
    let head = verified["head"].as_str().unwrap();
    let text = std::fs::read_to_string(owner.path(LOG)).unwrap();
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let rows = [
        (
            changed(&owner, "\"allowed\":false", "\"allowed\":true "),
            "line 4 does not follow the line before: wanted previous",
        ),
        (
            changed(&owner, "\"dbgstat\":\"enabled\"", "\"dbgstat\":\"disabled-since-boot\""),
            "line 4 does not follow",
        ),
        (changed(&owner, "\"v\":1", "\"v\":9"), "line 1 is no line of an audit log: wanted version 1, got 9"),
        (
            [&all[..2], &all[4..]].concat().concat(),
            "line 3 does not follow the line before: wanted number 3, got 5",
        ),
        (all[..4].concat(), "none of the 4 lines has the head"),
        (String::new(), "none of the 0 lines has the head"),
        (format!("{text}\u{1b}[2J\n"), "line 7 is no line of an audit log"),
    ];
    for (text, wanted) in rows {
        owner.file("changed.jsonl", text);
        let called = || owner.uwear().args(["audit", "verify", "changed.jsonl", "--head", head]);
        let ended = called().ends().await.with_code(1);
        assert!(ended.stdout.starts_with("CHANGED: ") && !ended.stdout.contains('\u{1b}'), "{ended}");
        ended.says(&[wanted]);
        let json = called().json().ends().await.with_code(1).json();
        assert_eq!((&json["outcome"], &json["sessions"]), (&json!("changed"), &Value::Null));
        assert!(json["fault"].as_str().unwrap().contains(wanted), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_as_a_log_is_exit_2() {
    let owner = Owner::new();
    std::fs::create_dir(owner.path("folder")).unwrap();
    for (file, says) in [
        ("missing", "No such file"),
        ("folder", "got a pipe or a device"),
        ("/dev/null", "got a pipe or a device"),
    ] {
        let called = owner.uwear().args(["audit", "verify", file]);
        called.ends().await.with_code(2).with_one_complaint(&["audit log", file, says]);
    }
    owner.file("empty", "");
    owner.uwear().args(["audit", "verify", "empty"]).ends().await.with_code(0).says(&["EMPTY"]);
    let called = owner.uwear().args(["audit", "verify", "empty", "--head", "00"]);
    called.ends().await.with_code(2).says(&["wanted 64 hex digits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_then_decides_alike_and_another_one_says_which_sessions_otherwise_and_why() {
    let owner = owner_with_log().await;
    let baseline = std::fs::read_to_string(support::shipped_baseline()).unwrap();
    let mut stricter: Value = serde_json::from_str(&baseline).unwrap();
    stricter["allowed_project_id"] = json!(["another-project"]);
    let mut laxer: Value = serde_json::from_str(&baseline).unwrap();
    laxer["allowed_dbgstat"] = json!(["disabled-since-boot", "enabled"]);
    owner.file("same.json", &baseline);
    owner.file("stricter.json", stricter.to_string());
    owner.file("laxer.json", laxer.to_string());
    owner.file("nothing.rego", "package confidential_space\nimport rego.v1\ndefault allow := false\n");
    let replay = |baseline: &'static str, more: &'static [&'static str]| {
        owner.uwear().args(["audit", "replay", LOG, "--baseline", baseline]).args(more.iter().copied())
    };

    let alike = replay("same.json", &[]).ends().await.with_code(0);
    alike.says(&["ALIKE: each of 2 sessions", "not replayed: 1 sessions whose token was not authentic"]);

    let stricter = replay("stricter.json", &[]).ends().await.with_code(5);
    stricter.says(&[
        "OTHERWISE: 1 of 2 sessions; 1 released then would be refused, 0 refused then would be released",
        "now refused   line 1, ",
        "project_verified            fails now",
        "wanted   another-project",
    ]);
    let stricter = replay("stricter.json", &["--format", "json"]).ends().await.with_code(5).json();
    assert_eq!(
        (&stricter["outcome"], &stricter["sessions"], &stricter["not_authentic"]),
        (&json!("otherwise"), &json!(2), &json!(1))
    );
    let difference = &stricter["differences"][0];
    assert_eq!(
        (&difference["line"], &difference["was_allowed"], &difference["would_be_allowed"]),
        (&json!(1), &json!(true), &json!(false))
    );
    assert_eq!(difference["rules"].as_array().unwrap().len(), 1);
    assert_eq!(difference["rules"][0]["name"], "project_verified");

    let laxer = replay("laxer.json", &["--format", "json"]).ends().await.json();
    let failed_then: Vec<&str> = laxer["differences"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|difference| difference["rules"].as_array().unwrap())
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed_then, ["debug_status_verified"], "{laxer:#}");

    // A policy of one's own, which has no rule but `allow` to blame.
    let nothing = replay("same.json", &["--policy", "nothing.rego"]).ends().await.with_code(5);
    nothing.says(&["now refused   line 1, ", "allow                       fails now"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_replayed_at_its_own_time() {
    let owner = owner_with_log().await;
    // Any later, and the default policy's rule on freshness would refuse the token.
    let (log, shipped) = (owner.path(LOG), support::shipped_baseline());
    let line = std::fs::read_to_string(&log).unwrap();
    let now = serde_json::from_str::<Value>(line.lines().next().unwrap()).unwrap()["event"]["decided"]["now"]
        .clone();
    let aged =
        line.replacen(&format!("\"now\":{now}"), &format!("\"now\":{}", now.as_u64().unwrap() + 7200), 1);
    let first = aged.split_inclusive('\n').next().unwrap();
    owner.file("aged.jsonl", first);
    let replay =
        |file: &'static str| owner.uwear().args(["audit", "replay", file]).option("--baseline", &shipped);
    replay(LOG).ends().await.with_code(0);
    replay("aged.jsonl").ends().await.with_code(5).says(&["freshness_verified"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_log_is_not_replayed() {
    let owner = owner_with_log().await;
    owner.file("changed.jsonl", changed(&owner, "\"allowed\":false", "\"allowed\":true "));
    let called = owner
        .uwear()
        .args(["audit", "replay", "changed.jsonl"])
        .option("--baseline", support::shipped_baseline());
    called.ends().await.with_code(1).says(&["CHANGED: line 4"]);
    let called = owner
        .uwear()
        .args(["audit", "replay", LOG, "--head", &"0".repeat(64)])
        .option("--baseline", support::shipped_baseline());
    called.ends().await.with_code(1).says(&["none of the 6 lines has the head"]);
}
