//! `--retry-for`: what is tried again, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::scripted::Scripted;
use support::{Owner, tokens};

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
