//! `--audit-log`: what a release writes down, and that nothing leaves where it cannot be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use support::honest::Honest;
use support::scripted::{Peer, Scripted};
use support::{Owner, PHI, Uwear, tokens};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

const LOG: &str = "audit.jsonl";

fn recorded(called: Uwear) -> Uwear {
    called.args(["--audit-log", LOG])
}

/// The lines of the owner's log.
fn lines(owner: &Owner) -> Vec<Value> {
    let text = std::fs::read_to_string(owner.path(LOG)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `uwear audit verify --format json` says of it.
async fn verified(owner: &Owner) -> Value {
    owner.uwear().args(["audit", "verify", LOG]).json().ends().await.with_code(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_two_lines_with_all_that_it_rests_on_and_nothing_of_the_data() {
    for wire in [0, 1] {
        let (owner, usleep) = (Owner::new(), Honest::start().await);
        let called = recorded(owner.release_in(usleep.address, &wire.to_string())).json();
        let report = called.ends().await.with_code(0).json();
        assert_eq!(usleep.received().await.len(), 1);

        let text = std::fs::read_to_string(owner.path(LOG)).unwrap();
        assert_eq!(support::canaries_in(&text), Vec::<&str>::new());
        // A token is three parts in base64url, of which the first begins so.
        assert!(!text.contains("eyJ"), "a token in the log");
        assert_eq!(std::fs::metadata(owner.path(LOG)).unwrap().permissions().mode() & 0o777, 0o600);

        let lines = lines(&owner);
        let [decided, ended] = &lines[..] else { panic!("{text}") };
        let (decided, ended) = (&decided["event"]["decided"], &ended["event"]["ended"]);
        assert_eq!(decided["session"], ended["session"]);
        assert_eq!(decided["allowed"], true);
        assert_eq!(decided["facts"]["wire"], wire);
        assert_eq!(decided["facts"]["nonce"], decided["claims"]["eat_nonce"]);
        for key in ["token_sha256", "policy", "baseline", "endpoint", "key_exchange"] {
            assert_eq!(decided[key], report[key], "{key}");
        }
        for part in ["checks", "rules"] {
            let of = |value: &Value| -> Vec<(Value, Value)> {
                let rows = value[part].as_array().unwrap().iter();
                rows.map(|row| (row["name"].clone(), row["ok"].clone())).collect()
            };
            assert_eq!(of(decided), of(&report), "{part}");
        }
        assert_eq!(
            (&ended["outcome"], &ended["sent"], &ended["exit_code"]),
            (&json!("released"), &json!(true), &json!(0))
        );
        // In version 1 what was written down first is what the server's receipt then commits to.
        let receipt: Option<Value> =
            ended["receipt"].as_str().map(|text| serde_json::from_str(text).unwrap());
        let committed = receipt.map(|receipt| hex::encode(support::base64(receipt["phi"].as_str().unwrap())));
        assert_eq!(decided["commitment"].as_str(), committed.as_deref());
        assert_eq!(committed.is_some(), wire == 1);

        let head = &report["audit"]["head"];
        assert_eq!(report["audit"], json!({"file": LOG, "line": 2, "head": head}));
        let verified = verified(&owner).await;
        assert_eq!((&verified["head"], &verified["sessions"]["released"]), (head, &json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_losses_are_written_down_too() {
    // (claims or garbage, exit, allowed, claims known, how it ended)
    let rows = [
        (Some(json!({"dbgstat": "enabled"})), 5, false, true, "refused"),
        (None, 4, false, false, "refused"),
        (Some(json!({})), 6, true, true, "lost"),
    ];
    for (patch, exit, allowed, claims, outcome) in rows {
        let owner = Owner::new();
        let server = Scripted::websocket(move |mut peer: Peer| {
            let patch = patch.clone();
            async move {
                let token = tokens::token(&peer.nonce, patch.as_ref().unwrap_or(&json!({})));
                peer.say(if patch.is_some() { token } else { format!("x{token}") }).await;
                if let Some(Message::Binary(_)) = peer.next().await {
                    peer.say("no result: canary-name").await;
                }
                peer.listen().await;
            }
        });
        let server = server.await;
        recorded(owner.release(server.address)).ends().await.with_code(exit);
        let lines = lines(&owner);
        assert_eq!(lines.len(), 2, "exit {exit}");
        let (decided, ended) = (&lines[0]["event"]["decided"], &lines[1]["event"]["ended"]);
        assert_eq!(
            (&decided["allowed"], decided["claims"].is_object()),
            (&json!(allowed), claims),
            "exit {exit}"
        );
        assert_eq!((&ended["outcome"], &ended["exit_code"]), (&json!(outcome), &json!(exit)), "{ended}");
        assert_eq!((&ended["sent"], ended["reason"].is_string()), (&json!(exit == 6), exit != 6), "{ended}");
        // Of what the server says once it has the data nothing is kept.
        assert!(!std::fs::read_to_string(owner.path(LOG)).unwrap().contains("canary-name"));
        let failed: Vec<&Value> = decided["checks"]
            .as_array()
            .unwrap()
            .iter()
            .chain(decided["rules"].as_array().unwrap())
            .filter(|row| row["ok"] == false)
            .collect();
        assert_eq!(failed.is_empty(), allowed, "{failed:?}");
        assert!(failed.iter().all(|row| row["wanted"].is_string() && row["got"].is_string()), "{failed:?}");
        let counted = verified(&owner).await["sessions"][outcome].clone();
        assert_eq!(counted, 1, "exit {exit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_token_came_there_is_nothing_to_write_down() {
    let owner = Owner::new();
    recorded(owner.release(Scripted::nobody().address)).ends().await.with_code(3);
    assert_eq!(std::fs::read(owner.path(LOG)).unwrap(), b"");
    assert_eq!(verified(&owner).await["lines"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_can_name_the_log_and_the_report_ends_with_its_head() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let ended = owner.release(usleep.address).env("UWEAR_AUDIT_LOG", LOG).ends().await.with_code(0);
    let head = verified(&owner).await["head"].as_str().unwrap().to_owned();
    let last = ended.stdout.lines().last().unwrap();
    assert_eq!(last, format!("audit log {LOG}: line 2, head {head}"));
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_used_is_found_before_anything_is_dialled() {
    let owner = Owner::new();
    std::fs::create_dir(owner.path("folder")).unwrap();
    owner.file("baseline.json", "{}\n");
    std::os::unix::fs::symlink(owner.path("elsewhere"), owner.path("link")).unwrap();
    let rows = [
        ("missing/audit.jsonl", "no such folder"),
        ("folder", "got a folder"),
        ("link", "got a symbolic link"),
        ("baseline.json", "begins otherwise"),
        ("/dev/full", "got a pipe or a device"),
    ];
    for (file, says) in rows {
        let server = Scripted::nobody();
        let called = owner.release(server.address).args(["--audit-log", file]);
        called.ends().await.with_code(2).with_one_complaint(&["audit log", file, says]);
    }
    assert!(!owner.path("elsewhere").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_this_user_may_not_write_is_found_before_anything_is_dialled() {
    let owner = Owner::new();
    owner.file(LOG, "");
    let set = |name: &str, mode| {
        std::fs::set_permissions(owner.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(LOG, 0o400);
    set(".", 0o755);
    // What else the program reads, this user may read too.
    owner.file("root.pem", std::fs::read(tokens::root_file()).unwrap());
    owner.file("baseline.json", std::fs::read(support::shipped_baseline()).unwrap());
    let called = owner.uwear().args(["release", "192.0.2.1", "--phi", "phi.json"]);
    let mut called = recorded(called.args(["--root", "root.pem", "--baseline", "baseline.json"]));
    if rustix::process::geteuid().is_root() {
        // Root may write everything; nobody may not.
        called.command.uid(65534);
    }
    called.ends().await.with_code(2).with_one_complaint(&["audit log", "Permission denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_released() {
    for wire in ["0", "1"] {
        let (owner, usleep) = (Owner::new(), Honest::start().await);
        recorded(owner.release_in(usleep.address, wire)).ends().await.with_code(0);
        let before = std::fs::read(owner.path(LOG)).unwrap();

        // A limit on the size of files ends writing as a full disk does: in the midst of a line.
        let blocks = before.len().div_ceil(512);
        let ended = within(blocks, recorded(owner.release_in(usleep.address, wire))).ends().await;
        ended.with_code(1).says(&[
            "audit log audit.jsonl: writing a line: ",
            "nothing was sent",
            "see to the disk",
        ]);
        assert_eq!(std::fs::read(owner.path(LOG)).unwrap(), before, "the part of a line stayed");
        assert_eq!(usleep.received().await, [PHI.as_bytes()], "the first release alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_cannot_be_written_down_remains_one() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let refused = |blocks| {
        let called = owner.release(usleep.address).args(["--audience", "another"]);
        within(blocks, recorded(called)).ends()
    };
    refused(1 << 20).await.with_code(5);
    let before = std::fs::read(owner.path(LOG)).unwrap();
    let ended = refused(before.len().div_ceil(512)).await.with_code(5);
    ended.says(&["REFUSED: nothing was sent.", "warning: audit log audit.jsonl: writing a line: "]);
    assert_eq!(std::fs::read(owner.path(LOG)).unwrap(), before);
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_removed_during_the_session_stops_the_release_or_is_said_after_it() {
    for before_the_data in [true, false] {
        let owner = Owner::new();
        let log = owner.path(LOG);
        let server = Scripted::websocket(move |mut peer: Peer| {
            let log = log.clone();
            async move {
                if before_the_data {
                    std::fs::remove_file(&log).unwrap();
                }
                let token = tokens::token(&peer.nonce, &json!({}));
                peer.say(token).await;
                if let Some(Message::Binary(_)) = peer.next().await {
                    std::fs::remove_file(&log).unwrap();
                    peer.close(1000, "").await;
                }
            }
        });
        let server = server.await;
        let ended = recorded(owner.release(server.address)).ends().await.with_code(1);
        let ended = ended
            .says(&["audit log audit.jsonl: wanted the file that was opened, which somebody has removed"]);
        let seen = server.seen().await;
        if before_the_data {
            ended.says(&["nothing was sent"]);
            seen.no_data("the log is gone");
        } else {
            ended.says(&["the outcome is unknown"]);
            assert_eq!(seen.data(), [PHI.as_bytes()]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_log_nothing_is_sent_again() {
    let owner = Owner::new();
    let log = owner.path(LOG);
    let server = Scripted::websocket(move |mut peer: Peer| {
        let log = log.clone();
        async move {
            let token = tokens::token(&peer.nonce, &json!({}));
            peer.say(token).await;
            if let Some(Message::Binary(_)) = peer.next().await {
                std::fs::remove_file(&log).unwrap();
                peer.close(1011, "oops").await;
            }
        }
    });
    let server = server.await;
    let called = recorded(owner.release(server.address));
    let ended = called.args(["--retry-for", "30s", "--retry-after-release"]).ends().await.with_code(1);
    ended.says(&["somebody has removed; nothing was sent; but the data was sent in a session before it"]);
    // Data in the second session would make its server fail: there is no log left to remove.
    assert_eq!(server.seen().await.connections, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_killed_after_the_release_leaves_a_session_of_unknown_outcome() {
    let owner = Owner::new();
    let has_the_data = Arc::new(Notify::new());
    let received = Arc::clone(&has_the_data);
    let server = Scripted::websocket(move |mut peer: Peer| {
        let received = Arc::clone(&received);
        async move {
            let token = tokens::token(&peer.nonce, &json!({}));
            peer.say(token).await;
            assert!(matches!(peer.next().await, Some(Message::Binary(_))));
            received.notify_one();
            peer.listen().await;
        }
    });
    let server = server.await;
    let mut child = recorded(owner.release(server.address)).command.spawn().unwrap();
    has_the_data.notified().await;
    child.kill().await.unwrap();
    assert_eq!(lines(&owner).len(), 1, "the decision is on disk before the data has left");

    let report = verified(&owner).await;
    assert_eq!(report["sessions"]["outcome_unknown"], 1);
    let called = owner.uwear().args(["audit", "verify", LOG]).ends().await.with_code(0);
    called.says(&["1 of unknown outcome", "unknown    line 1, ", ": released, outcome unknown"]);

    // The next release goes on behind it.
    let usleep = Honest::start().await;
    recorded(owner.release(usleep.address)).ends().await.with_code(0);
    usleep.received().await;
    let sessions = verified(&owner).await["sessions"].clone();
    assert_eq!(sessions, json!({"decided": 2, "released": 1, "refused": 0, "lost": 0, "outcome_unknown": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_a_crash_cut_off_is_noted_by_the_next_release() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    recorded(owner.release(usleep.address)).ends().await.with_code(0);
    let whole = std::fs::read(owner.path(LOG)).unwrap();
    owner.file(LOG, &whole[..whole.len() - 40]);
    let torn = owner.uwear().args(["audit", "verify", LOG]).ends().await.with_code(0);
    torn.says(&["torn       the last line is cut off", ": released, outcome unknown"]);

    recorded(owner.release(usleep.address)).ends().await.with_code(0);
    usleep.received().await;
    let report = verified(&owner).await;
    assert_eq!(
        (&report["recovered"], &report["torn"], &report["lines"]),
        (&json!(1), &json!(false), &json!(4))
    );
    assert_eq!(
        (&report["sessions"]["released"], &report["sessions"]["outcome_unknown"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_programs_at_once_share_a_log() {
    let (owner, usleep) = (Arc::new(Owner::new()), Honest::start().await);
    let address = usleep.address;
    support::all_pass((0..8).map(|_| {
        let owner = Arc::clone(&owner);
        async move {
            for _ in 0..2 {
                recorded(owner.release_in(address, "auto")).ends().await.with_code(0);
            }
        }
    }))
    .await;
    let report = verified(&owner).await;
    assert_eq!((&report["lines"], &report["sessions"]["released"]), (&json!(32), &json!(16)));
    assert_eq!(usleep.received().await.len(), 16);
}

/// The same call with files of at most so many blocks of 512 bytes. Without the trap the kernel would end the program.
fn within(blocks: usize, mut called: Uwear) -> Uwear {
    let original = called.command.as_std();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()]);
    command.arg(original.get_program()).args(original.get_args());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(original.get_current_dir().unwrap())
        .kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    called.command = command;
    called
}
