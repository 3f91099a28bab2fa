//! `--nights`: many nights in one session, from the owner's file to her results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fmt::Write as _;

use serde_json::{Value, json};
use session::Limits;
use support::honest::Honest;
use support::scripted::{Peer1, Scripted};
use support::{Owner, PHI, Uwear, version_1};

/// So many nights, a line each.
fn nights(count: usize) -> String {
    (0..count).fold(String::with_capacity(count * (PHI.len() + 1)), |mut text, _| {
        writeln!(text, "{PHI}").unwrap();
        text
    })
}

/// `uwear release --nights` of this file.
fn release(owner: &Owner, address: std::net::SocketAddr, text: &str) -> Uwear {
    owner.file("phi.json", text);
    owner.release_in(address, "auto").arg("--nights")
}

fn lines_of(owner: &Owner, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(owner.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nights_bring_three_results_and_a_summary_that_a_receipt_vouches_for() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let ended = release(&owner, usleep.address, &nights(3)).args(["--result", "results.ndjson"]).ends().await;
    let ended = ended.with_code(0);
    ended.says(&[
        "Receipt verified: ",
        "Results of 3 nights and their summary received; written to results.ndjson.",
    ]);
    let results = lines_of(&owner, "results.ndjson");
    assert_eq!(results.len(), 2);
    assert_eq!((&results[0]["first_night"], results[0]["nights"].as_array().unwrap().len()), (&json!(1), 3));
    assert_eq!(results[1]["nights"], 3);
    assert_eq!(usleep.received().await, [nights(3).into_bytes()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_many_nights_is_about_these_nights_and_results_in_this_order() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let called = release(&owner, usleep.address, &nights(5000));
    called.args(["--result", "results.ndjson", "--evidence", "kept"]).ends().await.with_code(0);
    usleep.received().await;
    let kept = std::fs::read_dir(owner.path("kept")).unwrap().map(|entry| entry.unwrap().path());
    let evidence = kept.into_iter().find(|path| path.to_string_lossy().ends_with(".evidence.json")).unwrap();
    let results = std::fs::read_to_string(owner.path("results.ndjson")).unwrap();
    let mut lines: Vec<&str> = results.lines().collect();
    lines.swap(0, 1);
    owner.file("swapped.ndjson", lines.join("\n"));
    owner.file("one-less.ndjson", nights(4999));
    let rows = [
        ("phi.json", "results.ndjson", 0),
        ("one-less.ndjson", "results.ndjson", 4),
        ("phi.json", "swapped.ndjson", 4),
    ];
    for (phi, result, exit) in rows {
        let called = owner.uwear().args(["evidence", "verify"]).arg(&evidence);
        let called =
            called.args(["--phi", phi, "--result", result]).option("--root", support::tokens::root_file());
        called.ends().await.with_code(exit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_nights_go_in_one_session_in_memory_that_does_not_grow_with_them() {
    let usleep = Honest::start().await;
    let mut peaks = Vec::new();
    for count in [5_000, 50_000] {
        let owner = Owner::new();
        let text = nights(count);
        let called = release(&owner, usleep.address, &text).args(["--result", "results.ndjson"]);
        let (ended, peak) = called.ends_with_peak().await;
        ended.with_code(0);
        let results = lines_of(&owner, "results.ndjson");
        let (summary, parts) = results.split_last().unwrap();
        assert_eq!(summary["nights"], count);
        let of_parts: usize = parts.iter().map(|part| part["nights"].as_array().unwrap().len()).sum();
        assert_eq!(of_parts, count);
        peaks.push(peak);
    }
    let received = usleep.received().await;
    assert_eq!(received.iter().map(Vec::len).sum::<usize>(), nights(55_000).len());
    assert!(received.iter().all(|message| message.len() <= 256 * 1024 && message.ends_with(b"\n")));
    // The file of the second is 6 MB longer, its results 3 MB.
    assert!(peaks[1] < peaks[0] + 2 * 1024, "{peaks:?} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_read_as_it_is_sent() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let called = owner.release_of("-", usleep.address).arg("--nights").input(nights(4000));
    called.ends().await.with_code(0).says(&["Results of 4000 nights"]);
    assert_eq!(usleep.received().await.concat(), nights(4000).into_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_summary_are_shown_when_asked_for() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let ended = release(&owner, usleep.address, &nights(2)).print_result().ends().await.with_code(0);
    ended.says(&["\nNight 1: ", "\nNight 2: ", "Result:\nSleep quality result of 2 nights: "]);
    let report =
        release(&owner, usleep.address, &nights(2)).print_result().json().ends().await.with_code(0).json();
    assert_eq!(report["result"]["nights"], 2, "the summary alone");
    usleep.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_line_of_a_file_is_named_before_anything_is_dialled() {
    let far = nights(5000);
    let rows = [
        (format!("{far}{{}}\n{far}"), "health data phi.json: line 5001: name: missing"),
        (format!("{far}{PHI}"), "health data phi.json: line 5001: cut off, wanted a line feed at its end"),
        (format!("{far}{}\n", " ".repeat(4097)), "health data phi.json: line 5001: too long"),
        (
            format!("{far}{}\n", PHI.replace("canary-name", "B.")),
            "health data phi.json: line 5001: name: not that",
        ),
        (String::new(), "health data phi.json: no night, wanted at least one line"),
    ];
    for (text, wanted) in rows {
        let (owner, server) = (Owner::new(), Scripted::nobody());
        let ended = release(&owner, server.address, &text).ends().await.with_code(2);
        ended.with_one_complaint(&[wanted]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_line_of_standard_input_does_not_leave_and_ends_the_session_without_a_summary() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let text = format!("{}{{}}\n{}", nights(5000), nights(5000));
    let ended = owner.release_of("-", usleep.address).arg("--nights").input(text).ends().await.with_code(6);
    ended.says(&[
        "health data -: line 5001: name: missing",
        "the nights before it have been sent, and there is no summary",
    ]);
    let received = usleep.received().await.concat();
    assert!(!received.is_empty() && nights(5000).as_bytes().starts_with(&received));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nights_need_version_1_and_the_flag() {
    let (owner, server) = (Owner::new(), Scripted::nobody());
    owner.file("phi.json", nights(2));
    let ended = owner.release(server.address).arg("--nights").ends().await.with_code(2);
    ended.with_one_complaint(&["--nights needs wire version 1"]);
    let ended = owner.release_in(server.address, "1").ends().await.with_code(2);
    ended.says(&["add --nights if each line is a night"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_night_is_sent_without_the_line_feed_at_its_end() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    owner.file("phi.json", format!("{PHI}\n\n"));
    owner.release_in(usleep.address, "1").ends().await.with_code(0);
    assert_eq!(usleep.received().await, [PHI.as_bytes()]);
}

/// Takes PHI as an honest server of version 1; what it answers is the test's.
async fn taken(peer: &mut Peer1) -> String {
    let token = peer.attest(false).await;
    peer.phi().await.unwrap();
    token
}

const RESULT: &str = "{\"rules\":\"codelab\",\"first_night\":1,\"columns\":[\"total_minutes\",\"light\",\"deep\",\"rem\",\
    \"codelab\",\"recommended_total\",\"recommended_rem\",\"recommended_deep\"],\"nights\":[[510.0003,0.531,0.2639,0.205,\
    \"total\",\"recommended\",\"less\",\"good\"]]}";

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_end_a_stream_otherwise_bring_no_result() {
    type Does = fn(Peer1) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let rows: [(&str, Does, &str); 5] = [
        (
            "leaves after the first message",
            |mut peer| {
                Box::pin(async move {
                    taken(&mut peer).await;
                })
            },
            "no result after the release: the connection ended",
        ),
        (
            "refuses the data",
            |mut peer| {
                Box::pin(async move {
                    taken(&mut peer).await;
                    peer.peer.close(1008, "phi-invalid").await;
                })
            },
            "the other end closed the session: 1008 phi-invalid",
        ),
        (
            "answers for other nights",
            |mut peer| {
                Box::pin(async move {
                    taken(&mut peer).await;
                    peer.peer.say(RESULT.replace("\"first_night\":1", "\"first_night\":2")).await;
                    peer.peer.listen().await;
                })
            },
            "not the result of the nights that were sent",
        ),
        (
            "answers over the limit",
            |mut peer| {
                Box::pin(async move {
                    taken(&mut peer).await;
                    peer.peer.say(" ".repeat(1024 * 1024 + 1)).await;
                    peer.peer.listen().await;
                })
            },
            "the message is too large: wanted at most 1048576 bytes",
        ),
        (
            "ends without a receipt",
            |mut peer| {
                Box::pin(async move {
                    taken(&mut peer).await;
                    peer.peer.say(RESULT).await;
                    peer.peer.next().await;
                    peer.peer.say("{}").await;
                    peer.peer.close(1000, "").await;
                })
            },
            "no result after the release: the other end closed the session: 1000",
        ),
    ];
    for (what, does, wanted) in rows {
        let server = Scripted::version_1(does).await;
        let owner = Owner::new();
        let ended = release(&owner, server.address, &nights(1)).ends().await;
        assert_eq!(ended.code, Some(6), "{what}: {ended}");
        assert!(ended.stderr.contains(wanted), "{what}: {ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_receipt_that_lies_is_said_not_to_be_relied_on() {
    let server = Scripted::version_1(|mut peer| async move {
        let token = taken(&mut peer).await;
        peer.peer.say(RESULT).await;
        peer.peer.next().await;
        peer.peer.say("{}").await;
        let receipt = version_1::receipt(&peer.bound, &token, &[7; 64], "another");
        peer.peer.say(version_1::signed(&receipt, &peer.key).to_string()).await;
        peer.peer.listen().await;
    });
    let (owner, server) = (Owner::new(), server.await);
    let called = release(&owner, server.address, &nights(1)).args(["--result", "results.ndjson"]);
    called.ends().await.with_code(6).says(&["what is in results.ndjson is not to be relied on"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_less_in_one_session_says_so() {
    let limits = Limits { stream_bytes: 300 * 1024, ..Limits::default() };
    let (owner, usleep) = (Owner::new(), Honest::with(|mock| mock, limits).await);
    let ended = release(&owner, usleep.address, &nights(5000)).ends().await.with_code(6);
    ended.says(&["1009 too-big", "split into several files"]);
    usleep.received().await;
}
