//! Nothing left behind at the owner's end: once the data has been handed to TLS, the running `uwear` does not hold it any
//! more, however long the server takes to answer.
//!
//! Reading its memory takes CAP_SYS_PTRACE: run this as root, or with
//! `unshare --map-root-user cargo test --package uwear --test canary`. Where that is missing it says so; if `CI` or
//! `CANARY_MUST_RUN` is set, it fails. `UWEAR_PROGRAM` names another program than this build's: what is left on a stack
//! depends on the optimisation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../hardening/tests/memory/mod.rs"]
mod memory;
mod support;

use std::future::Future;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use attestation::message::MAX_PHI_BYTES;
use memory::{Canary, look, may_look};
use rustix::io::ioctl_fionread;
use serde_json::json;
use support::scripted::{Peer, Scripted};
use support::{Owner, PHI, Uwear, tokens};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

fn canaries() -> Vec<Canary> {
    let texts = ["canary-name", "270.8317", "134.6229", "104.5457"].map(Canary::text);
    texts.into_iter().chain([270.8317, 134.6229, 104.5457, 510.0003].map(Canary::number)).collect()
}

/// Longer than anything here takes, also beside other work; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of it; a panic that says what was waited for if nothing does.
async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, done).await;
    done.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Where a session is.
#[derive(Debug, PartialEq)]
enum Now {
    Verifying,
    Released,
}

/// Says where the session is, and goes on when told to: before the token, and before the answer.
async fn stepwise(mut peer: Peer, tell: UnboundedSender<Now>, go_on: Arc<Semaphore>) {
    tell.send(Now::Verifying).unwrap();
    go_on.acquire().await.unwrap().forget();
    let token = tokens::token(&peer.nonce, &json!({}));
    peer.say(token).await;
    assert!(matches!(peer.next().await, Some(Message::Binary(phi)) if phi.ends_with(PHI.as_bytes())));
    tell.send(Now::Released).unwrap();
    go_on.acquire().await.unwrap().forget();
    peer.close(1000, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_released_is_not_in_the_owners_memory_any_more() {
    let longest = " ".repeat(MAX_PHI_BYTES - PHI.len()) + PHI;
    for (file, content) in [("phi.json", ""), ("-", PHI), ("-", &longest)] {
        let (tell, mut now) = unbounded_channel();
        let go_on = Arc::new(Semaphore::new(0));
        let released = Arc::clone(&go_on);
        let server =
            Scripted::websocket(move |peer| stepwise(peer, tell.clone(), Arc::clone(&released))).await;
        let owner = Owner::new();
        let called = owner.uwear().arg("release").arg(server.address.to_string()).args(["--wire", "0"]);
        let called = called.args(["--phi", file]).option("--baseline", support::shipped_baseline());
        let Uwear { mut command, .. } = called.option("--root", tokens::root_file());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The end by itself, once the program has read the rest.
        let (most, end) = content.split_at(content.len() - PHI.len().min(content.len()));
        let read = async {
            stdin.write_all(most.as_bytes()).await.unwrap();
            while ioctl_fionread(&stdin).unwrap() > 0 {
                tokio::task::yield_now().await;
            }
            stdin.write_all(end.as_bytes()).await.unwrap();
        };
        soon("uwear to read its standard input", read).await;
        drop(stdin);
        let process = child.id().unwrap();
        if !may_look(process, "uwear") {
            return;
        }

        assert_eq!(soon("the session to begin", now.recv()).await, Some(Now::Verifying));
        let found = look(process, &canaries());
        let texts: Vec<_> = found.iter().map(|found| found.canary.as_str()).collect();
        assert_eq!(
            texts,
            ["canary-name", "270.8317", "134.6229", "104.5457"],
            "in one buffer alone: {found:?}"
        );

        go_on.add_permits(1);
        assert_eq!(soon("the release", now.recv()).await, Some(Now::Released));
        let mut looks = (0..20).map(|_| look(process, &canaries()));
        assert_eq!(looks.find(Vec::is_empty).unwrap_or_else(|| look(process, &canaries())), []);

        go_on.add_permits(1);
        let ended = soon("uwear's end", child.wait_with_output()).await.unwrap();
        assert_eq!(ended.status.code(), Some(0));
    }
}
