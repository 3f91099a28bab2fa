//! A release that succeeds, what the owner sees of it, and what can still go wrong once the data is on its way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use mock_launcher::KeyKind;
use serde_json::{Value, json};
use support::certificate;
use support::honest::Honest;
use support::scripted::{Peer, Scripted};
use support::{Ended, Owner, PHI, named, set, tokens};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const RULES: [&str; 15] = [
    "hw_verified",
    "image_digest_verified",
    "audience_verified",
    "nonce_verified",
    "issuer_verified",
    "secboot_verified",
    "sw_name_verified",
    "debug_status_verified",
    "support_attributes_verified",
    "memory_encryption_verified",
    "project_verified",
    "service_account_verified",
    "env_override_verified",
    "cmd_override_verified",
    "freshness_verified",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_report_has_the_codelabs_lines_in_their_order() {
    let usleep = Honest::start().await;
    let address = usleep.address;
    let ended = Owner::new().release(address).ends().await.with_code(0);
    let dial = format!("Attempting to dial wss://{address}/connection ... TLS 1.3, X25519MLKEM768");
    let mut wanted = vec![
        dial.as_str(),
        "token: eyJhbGci...",
        "PKI token validated successfully",
        "Performing OPA query evaluation...",
        "OPA policy evaluation completed.",
        "OPA policy result values:",
        "[ allow ]: true",
    ];
    let rules = RULES.map(|rule| format!("[ {rule} ]: true"));
    let roots = format!("warning: {}", support::other_roots());
    wanted.extend(rules.iter().map(String::as_str));
    wanted.extend([
        "Policy check PASSED",
        "JWT is authorized.",
        "",
        "policy confidential_space.rego sha256 ",
        &roots,
        "Validated token and claims. Sending sensitive data",
        "Sent payload.",
        "Result received; --print-result shows it, --result FILE keeps it.",
    ]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), wanted.len(), "{ended}");
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert!(line.starts_with(wanted), "wanted {wanted:?}, got {line:?}");
    }
    assert!(ended.stderr.is_empty(), "{ended}");
    assert_eq!(usleep.received().await, [PHI.as_bytes()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_shown_shortened_and_named_by_its_digest() {
    let server = Scripted::websocket(codelab).await;
    let ended = Owner::new().release(server.address).ends().await.with_code(0);
    let line = ended.stdout.lines().find(|line| line.starts_with("token: ")).unwrap();
    let (head, sha256) = line.split_once("  (sha256 ").unwrap();
    assert_eq!(head.len(), "token: ".len() + 8 + 3 + 5, "{line}");
    assert_eq!(sha256.len(), 8 + 3 + 4 + 1, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_shown_when_asked_for() {
    let usleep = Honest::start().await;
    let ended = Owner::new().release(usleep.address).print_result().ends().await.with_code(0);
    let (_, result) = ended.stdout.split_once("Sent payload.\nResult:\n").expect(&ended.stdout);
    assert!(result.starts_with("Sleep quality result: total sleep time is less than 8 hours\n"), "{ended}");
    assert!(result.contains("Rules recommended say: ") && result.contains("Why they differ: "), "{ended}");
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_kept_in_a_new_file_that_only_its_owner_can_read() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let ended = owner.release(usleep.address).args(["--result", "result.json"]).ends().await;
    ended.with_code(0).says(&["Result received and written."]);
    let file = owner.path("result.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(result["sentence"], "total sleep time is less than 8 hours");
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_brings_no_result_leaves_no_file_for_it() {
    // Refused, not reached, no result: a second try must find the name free.
    let servers = [
        (3, Scripted::nobody()),
        (4, Scripted::websocket(|peer| shows(peer, "garbage".to_owned())).await),
        (6, Scripted::websocket(|peer| answers(peer, Message::text("no JSON"))).await),
        (0, Scripted::websocket(codelab).await),
    ];
    for (exit, server) in servers {
        let owner = Owner::new();
        owner.release(server.address).args(["--result", "result.json"]).ends().await.with_code(exit);
        assert!(!owner.path("result.json").exists(), "exit {exit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_in_json_is_one_object_with_every_check_and_rule() {
    let usleep = Honest::start().await;
    let owner = Owner::new();
    let ended = owner.release(usleep.address).json().ends().await.with_code(0);
    assert!(ended.stderr.is_empty(), "{ended}");
    let report = ended.json();
    let wanted = json!({
        "outcome": "done", "exit_code": 0, "released": true, "reason": null, "next": null, "wire": 0,
        "key_exchange": "X25519MLKEM768", "endpoint": format!("wss://{}/connection", usleep.address),
        "open": [], "warnings": [support::other_roots()],
    });
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&report[key], value, "{key}");
    }
    for part in ["policy", "baseline"] {
        assert_eq!(report[part]["sha256"].as_str().unwrap().len(), 64, "{part}");
    }
    assert_eq!(report["token_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report["certificates"].as_array().unwrap().len(), 3);
    assert!(report.get("result").is_none(), "the result was not asked for");

    assert_eq!(report["checks"].as_array().unwrap().len(), 18 + 3);
    assert_eq!((named(&report, Some(false)), named(&report, None)), (set(&[]), set(&[])));
    assert!(named(&report, Some(true)).is_superset(&set(&RULES)));
    assert_eq!(report["rules"][0]["name"], "allow");
    for row in report["checks"].as_array().unwrap().iter().chain(&report["rules"].as_array().unwrap()[1..]) {
        let shown = |key: &str| row[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(shown("got"), "{row}");
    }

    let with_result = owner.release(usleep.address).json().print_result().ends().await.with_code(0).json();
    assert_eq!(with_result["result"]["sentence"], "total sleep time is less than 8 hours");
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_subcommand_and_with_settings_from_the_environment_it_is_a_release() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let by_flags =
        owner.uwear().args(["--phi", "phi.json"]).env("remote_ip_addr", usleep.address.to_string());
    let by_flags = by_flags.option("--root", tokens::root_file());
    by_flags.option("--baseline", support::shipped_baseline()).ends().await.with_code(0);

    let by_environment = owner
        .uwear()
        .env("remote_ip_addr", usleep.address.to_string())
        .env("UWEAR_PHI", "phi.json")
        .env("UWEAR_ROOT", tokens::root_file())
        .env("UWEAR_BASELINE", support::shipped_baseline())
        .env("UWEAR_FORMAT", "json");
    assert_eq!(by_environment.ends().await.with_code(0).json()["released"], true);
    assert_eq!(usleep.received().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_baseline_is_found_in_the_folder_policy() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    std::fs::create_dir(owner.path("policy")).unwrap();
    std::fs::copy(support::shipped_baseline(), owner.path("policy/baseline.json")).unwrap();
    let called = owner.uwear().arg("release").arg(usleep.address.to_string()).args(["--phi", "phi.json"]);
    let report = called.option("--root", tokens::root_file()).json().ends().await.with_code(0).json();
    assert_eq!(report["baseline"]["name"], "policy/baseline.json");
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_data_can_come_from_standard_input() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let called = owner.uwear().arg("release").arg(usleep.address.to_string()).args(["--phi", "-"]);
    let called = called.option("--root", tokens::root_file()).input(PHI);
    called.option("--baseline", support::shipped_baseline()).ends().await.with_code(0);
    assert_eq!(usleep.received().await, [PHI.as_bytes()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_of_ones_own_is_wanted_of_the_token() {
    let owner = Owner::new();
    let baseline = std::fs::read_to_string(support::shipped_baseline()).unwrap();
    owner.file("mine.json", baseline.replace("\"uwear\"", "\"dr.example\""));
    let patch = json!({"aud": "dr.example"});
    for (audience, exit) in [("dr.example", 0), ("uwear", 5)] {
        let patch = patch.clone();
        let server = Scripted::websocket(move |peer| {
            let token = tokens::token(&peer.nonce, &patch);
            codelab_with(peer, token)
        });
        let server = server.await;
        let called = owner.uwear().arg("release").arg(server.address.to_string());
        let called = called.args(["--phi", "phi.json", "--baseline", "mine.json", "--audience", audience]);
        called.option("--root", tokens::root_file()).ends().await.with_code(exit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_left_open_on_purpose_is_said_in_every_report() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let mut baseline: Value =
        serde_json::from_slice(&std::fs::read(support::shipped_baseline()).unwrap()).unwrap();
    baseline["allowed_project_id"] = json!({"any": true, "reason": "trying it out"});
    owner.file("open.json", baseline.to_string());
    let called = || {
        let called = owner.uwear().arg("release").arg(usleep.address.to_string());
        called.args(["--phi", "phi.json", "--baseline", "open.json"]).option("--root", tokens::root_file())
    };
    called().ends().await.with_code(0).says(&["note: allowed_project_id allows anything: trying it out"]);
    let report = called().json().ends().await.with_code(0).json();
    assert_eq!(report["open"], json!([{"key": "allowed_project_id", "reason": "trying it out"}]));
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usleep_of_the_codelab_is_served_though_its_certificate_is_of_version_1_and_it_says_nothing() {
    for kind in [KeyKind::Rsa2048, KeyKind::EcP256] {
        let server = Scripted::websocket_with(certificate::v1(kind), codelab).await;
        let ended = Owner::new().release(server.address).ends().await.with_code(0);
        ended.says(&["Sent payload.", "warning: no result: the server analysed without answering"]);
        assert_eq!(server.seen().await.data(), [PHI.as_bytes()], "{kind:?}");
    }
}

/// Whether a row's end is taken for a success, with `--require-result` and without.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_release_anything_short_of_a_result_is_a_failure_but_silence_only_if_one_is_required() {
    let limit = 64 * 1024;
    let padded = |length: usize| {
        let result = br#"{"rules":"codelab","sentence":"s","total_minutes":1.0,"shares":{"light":1.0,"deep":0.0,"rem":0.0},"codelab":"c","recommended":[]}"#;
        let mut text = String::from_utf8(result.to_vec()).unwrap();
        text.extend(std::iter::repeat_n(' ', length - text.len()));
        Message::text(text)
    };
    type Answer = Box<dyn Fn() -> Message + Send + Sync>;
    let message = |message: Message| -> Answer { Box::new(move || message.clone()) };
    let rows: Vec<(&str, Answer, [i32; 2], &str)> = vec![
        ("a result at the limit", message(padded(limit)), [0, 0], "Result received"),
        (
            "a result one byte over",
            message(padded(limit + 1)),
            [6, 6],
            "too large: wanted at most 65536 bytes",
        ),
        ("no JSON", message(Message::text("great sleep!")), [6, 6], "not a result"),
        ("another object", message(Message::text("{}")), [6, 6], "not a result"),
        ("two results in one", message(Message::text("{}{}")), [6, 6], "not a result"),
        ("empty", message(Message::text("")), [6, 6], "not a result"),
        ("binary", message(Message::binary("{}")), [6, 6], "wanted the result as text, got binary"),
        ("phi-invalid", message(close(1008, "phi-invalid")), [6, 6], "1008 phi-invalid"),
        ("draining", message(close(1001, "draining")), [6, 6], "1001 draining"),
        ("failed", message(close(1011, "oops\n")), [6, 6], "1011 oops\\u{a}"),
        ("too big", message(close(1009, "too-big")), [6, 6], "1009 too-big"),
        ("done without a word", message(close(1000, "")), [0, 6], "no result"),
        ("closes without a code", message(Message::Close(None)), [0, 6], "no result"),
        (
            "a broken frame",
            message(Message::Frame(Frame::message(vec![0xff], OpCode::Data(Data::Text), true))),
            [6, 6],
            "broke the protocol",
        ),
    ];
    support::all_pass(rows.into_iter().map(async |(name, answer, exits, says)| {
        for (required, exit) in [false, true].into_iter().zip(exits) {
            let (owner, answer) = (Owner::new(), answer());
            let server = Scripted::websocket(move |peer| answers(peer, answer.clone())).await;
            let called = owner.release(server.address);
            let called = if required { called.arg("--require-result") } else { called };
            let ended = called.ends().await;
            let shown = format!("{name}, required {required}: {ended}");
            assert_eq!(ended.code, Some(exit), "{shown}");
            assert!(shown.contains(says) && shown.contains("Sent payload."), "{shown}");
            // The owner must not believe that nothing has left.
            assert!(!shown.contains("nothing was sent"), "{shown}");
            assert_eq!(exit == 6, shown.contains("the data may have been received"), "{shown}");
            assert_eq!(server.seen().await.data(), [PHI.as_bytes()], "{name}");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_release_is_reported_as_released() {
    let server = Scripted::websocket(|peer| answers(peer, close(1008, "phi-invalid"))).await;
    let report = Owner::new().release(server.address).json().ends().await.with_code(6).json();
    assert_eq!((&report["outcome"], &report["released"]), (&json!("refused"), &json!(true)));
    assert_eq!(
        report["reason"],
        "no result after the release: the other end closed the session: 1008 phi-invalid"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_cannot_move_the_cursor() {
    let result = json!({
        "rules": "codelab", "sentence": "\u{1b}[2J", "total_minutes": 1.0,
        "shares": {"light": 1.0, "deep": 0.0, "rem": 0.0},
        "codelab": "\u{1b}[2J\u{202e}", "recommended": ["\u{9b}2J"],
    });
    let server = Scripted::websocket(move |peer| answers(peer, Message::text(result.to_string()))).await;
    let ended = Owner::new().release(server.address).print_result().ends().await.with_code(0);
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{ended}");
    ended.says(&["Sleep quality result: \\u{1b}[2J\\u{202e}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_in_json_is_as_safe_to_show_and_has_the_documented_keys_only() {
    let result = json!({
        "rules": "codelab", "sentence": "\u{9b}2J\u{202e}", "total_minutes": 1.0,
        "shares": {"light": 1.0, "deep": 0.0, "rem": 0.0}, "codelab": "c", "recommended": ["\u{2066}r"],
        "\u{9b}2J\u{202e}": "\u{9b}2J",
    });
    let server = Scripted::websocket(move |peer| answers(peer, Message::text(result.to_string()))).await;
    let ended = Owner::new().release(server.address).print_result().json().ends().await.with_code(0);
    assert!(!ended.stdout.contains(['\u{9b}', '\u{202e}', '\u{2066}']), "{ended}");
    let shown = json!({
        "rules": "codelab", "sentence": r"\u{9b}2J\u{202e}", "total_minutes": 1.0,
        "shares": {"light": 1.0, "deep": 0.0, "rem": 0.0}, "codelab": "c", "recommended": [r"\u{2066}r"],
    });
    assert_eq!(ended.json()["result"], shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_put_in_the_place_of_the_result_file_is_not_removed() {
    let owner = Owner::new();
    let path = owner.path("result.json");
    let server = Scripted::websocket(move |peer| {
        // The file has been made before anything was dialled.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another's").unwrap();
        shows(peer, "garbage".to_owned())
    });
    let server = server.await;
    owner.release(server.address).args(["--result", "result.json"]).ends().await.with_code(4);
    assert_eq!(std::fs::read(owner.path("result.json")).unwrap(), b"another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_goes_away_stops_neither_the_release_nor_a_refusal() {
    let (good, bad) = (Honest::start().await, Scripted::websocket(|peer| shows(peer, "x".to_owned())).await);
    for (address, exit) in [(good.address, 0), (bad.address, 4)] {
        let owner = Owner::new();
        let mut called = owner.release(address).print_result().command;
        let mut child = called.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(exit), ""));
    }
    assert_eq!(good.received().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_is_for_terminals_and_for_those_who_insist() {
    let owner = Owner::new();
    let rows = [(None, false), (Some(("NO_COLOR", "1")), false), (Some(("CLICOLOR_FORCE", "1")), true)];
    for (setting, coloured) in rows {
        let server = Scripted::websocket(codelab).await;
        let called = owner.release(server.address);
        let called = match setting {
            Some((name, value)) => called.env(name, value),
            None => called,
        };
        let ended: Ended = called.ends().await.with_code(0);
        assert_eq!(ended.stdout.contains("\u{1b}["), coloured, "{setting:?}: {ended}");
    }
}

fn close(code: u16, reason: &'static str) -> Message {
    use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
    Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

/// Shows this for a token.
async fn shows(mut peer: Peer, token: String) {
    peer.say(token).await;
    peer.listen().await;
}

/// Shows a good token, takes the health data, and answers.
async fn answers(mut peer: Peer, answer: Message) {
    let token = tokens::token(&peer.nonce, &json!({}));
    peer.say(token).await;
    assert!(matches!(peer.next().await, Some(Message::Binary(_))), "no health data");
    peer.send(answer).await;
    peer.listen().await;
}

/// What the codelab's program does: it shows a token, takes the health data, and hangs up without the websocket's
/// closing handshake.
async fn codelab(peer: Peer) {
    let token = tokens::token(&peer.nonce, &json!({}));
    codelab_with(peer, token).await;
}

async fn codelab_with(mut peer: Peer, token: String) {
    peer.say(token).await;
    let _ = peer.next().await;
}
