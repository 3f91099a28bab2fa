//! `--retry-for`: what is tried again, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::honest::Honest;
use support::scripted::Scripted;
use support::{Owner, PHI, tokens};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// HTTP 503, with a `Retry-After` of so many seconds.
async fn busy(retry_after: &'static str) -> Scripted {
    Scripted::tls(move |mut tls| async move {
        let mut request = [0; 2048];
        let _ = tls.read(&mut request).await;
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = tls.write_all(answer.as_bytes()).await;
        let _ = tls.shutdown().await;
        tls.listen().await;
    })
    .await
}

#[tokio::test]
async fn a_busy_server_is_asked_again_until_the_time_is_up() {
    let server = busy("0").await;
    let owner = Owner::new();
    let ended = owner.release(server.address).args(["--retry-for", "2s"]).ends().await;
    ended.with_code(3).says(&["the server is busy (HTTP 503)", "trying again in"]);
    let seen = server.seen().await;
    assert!(seen.connections >= 2, "{} connections", seen.connections);
}

#[tokio::test]
async fn who_asks_for_more_time_than_there_is_is_not_waited_for() {
    for retry_after in ["3600", "18446744073709551615"] {
        let server = busy(retry_after).await;
        let ended = Owner::new().release(server.address).args(["--retry-for", "5m"]).ends().await;
        ended.with_code(3);
        assert_eq!(server.seen().await.connections, 1);
    }
}

#[tokio::test]
async fn who_says_when_to_come_back_is_not_asked_before() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    let server = Scripted::tls(move |mut tls| {
        times.lock().unwrap().push(Instant::now());
        async move {
            let _ = tls.read(&mut [0; 2048]).await;
            let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
            tls.listen().await;
        }
    });
    let server = server.await;
    // Without a word of the server's, the third try would come within two seconds.
    Owner::new().release(server.address).args(["--retry-for", "6s"]).ends().await.with_code(3);
    let asked = asked.lock().unwrap();
    assert!(asked.len() >= 2, "{} connections", asked.len());
    for pair in asked.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(2), "{:?}", pair[1] - pair[0]);
    }
}

/// What ends a session before anything is sent: each cause of exit code 3, and what stands beside them.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_nothing_else_is() {
    let rows = [
        (Some((1001, "draining")), 3),
        (Some((1011, "attestation-unavailable")), 3),
        (Some((1013, "busy")), 3),
        (None, 3),
        (Some((1003, "type")), 6),
        (Some((1008, "refused")), 6),
        (Some((1008, "client-attestation-required")), 6),
    ];
    support::all_pass(rows.map(async |(close, code)| {
        let server = Scripted::websocket(move |peer| async move {
            if let Some((code, reason)) = close {
                peer.close(code, reason).await;
            }
        })
        .await;
        Owner::new().release(server.address).args(["--retry-for", "3s"]).ends().await.with_code(code);
        let connections = server.seen().await.connections;
        assert_eq!(connections > 1, code == 3, "{close:?}: {connections} connections");
    }))
    .await;
}

#[tokio::test]
async fn without_the_flag_there_is_one_try() {
    let server = busy("0").await;
    Owner::new().release(server.address).ends().await.with_code(3);
    assert_eq!(server.seen().await.connections, 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_never_asked_for_again() {
    // Not acceptable, and not authentic.
    for (patch, garbage, code) in [(json!({"dbgstat": "enabled"}), "", 5), (json!({}), "x", 4)] {
        let server = Scripted::websocket(move |mut peer| {
            let patch = patch.clone();
            async move {
                let token = tokens::token(&peer.nonce, &patch);
                peer.say(format!("{garbage}{token}")).await;
                peer.listen().await;
            }
        })
        .await;
        let ended = Owner::new().release(server.address).args(["--retry-for", "5m"]).ends().await;
        ended.with_code(code);
        let seen = server.seen().await;
        assert_eq!(seen.connections, 1);
        seen.no_data("retry");
    }
}

/// Takes the data and leaves, each time; `close` is its last word.
async fn leaves(close: Option<(u16, &'static str)>) -> Scripted {
    Scripted::version_1(move |mut peer| async move {
        peer.attest(false).await;
        if peer.phi().await.is_some()
            && let Some((code, reason)) = close
        {
            peer.peer.close(code, reason).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_has_left_is_sent_again_only_if_the_owner_says_so_and_the_session_was_lost() {
    let rows = [
        (None, false, false),
        (None, true, true),
        (Some((1001, "draining")), true, true),
        (Some((1013, "busy")), true, true),
        (Some((1008, "phi-invalid")), true, false),
        (Some((1008, "client-refused")), true, false),
        (Some((1003, "type")), true, false),
    ];
    support::all_pass(rows.map(async |(close, flag, again)| {
        let (owner, server) = (Owner::new(), leaves(close).await);
        let called = owner.release_in(server.address, "1").args(["--retry-for", "3s"]);
        let called = if flag { called.arg("--retry-after-release") } else { called };
        let ended = called.json().ends().await.with_code(6);
        assert_eq!(ended.json()["released"], true, "{close:?}");
        let seen = server.seen().await;
        assert_eq!(seen.connections > 1, again, "{close:?} {flag}: {} connections", seen.connections);
    }))
    .await;
}

/// Carries bytes both ways between a client and a server; the first connection is cut after its first so many bytes from
/// the client.
async fn cut_once(to: SocketAddr, after: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let first = connections.fetch_add(1, Ordering::Relaxed) == 0;
            open.spawn(async move {
                let server = tokio::net::TcpStream::connect(to).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = async {
                    let (mut buffer, mut carried) = ([0; 4096], 0);
                    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                        carried += count;
                        if (first && carried > after) || to_server.write_all(&buffer[..count]).await.is_err()
                        {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_is_sent_again_from_its_first_night_in_a_new_session() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let nights = format!("{PHI}\n").repeat(5000);
    owner.file("phi.json", &nights);
    let address = cut_once(usleep.address, 400 * 1024).await;
    let called = owner.release_in(address, "1").args(["--nights", "--result", "results.ndjson"]);
    let called = called.args(["--audit-log", "audit.jsonl", "--retry-for", "30s", "--retry-after-release"]);
    called.ends().await.with_code(0).says(&["trying again in", "Results of 5000 nights"]);
    // The results of the first session are gone from the file.
    let results = std::fs::read_to_string(owner.path("results.ndjson")).unwrap();
    let results: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let firsts: Vec<u64> = results.iter().filter_map(|result| result["first_night"].as_u64()).collect();
    assert!(firsts[0] == 1 && firsts.windows(2).all(|pair| pair[0] < pair[1]), "{firsts:?}");
    assert_eq!(results.last().unwrap()["nights"], 5000);
    // A decision and an end for each session, and a token of its own.
    let log = std::fs::read_to_string(owner.path("audit.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 4, "{log}");
    let received = usleep.received().await.concat();
    assert!(received.len() > nights.len() && received.ends_with(nights.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_from_a_pipe_cannot_be_sent_again() {
    let (owner, server) = (Owner::new(), Scripted::nobody());
    let called = owner.release_of("-", server.address).args(["--nights", "--retry-after-release"]);
    called.input(format!("{PHI}\n")).ends().await.with_code(2).says(&["cannot send nights again"]);
}
