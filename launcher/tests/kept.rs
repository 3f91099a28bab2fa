//! Which connections are kept for the next request, and for how long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use launcher::{Launcher, TokenRequest, TokenSource as _};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A launcher that answers the requests of each connection with these, then closes it; tells when a connection has ended.
struct Scripted {
    socket: PathBuf,
    accepted: Arc<AtomicUsize>,
    ended: mpsc::UnboundedReceiver<()>,
    _folder: TempDir,
}

impl Scripted {
    fn start(answers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("scripted.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answers: Arc<Vec<String>> = Arc::new(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let accepted = Arc::new(AtomicUsize::new(0));
        let (tell, ended) = mpsc::unbounded_channel();
        let counted = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (answers, tell) = (Arc::clone(&answers), tell.clone());
                tokio::spawn(async move {
                    for answer in answers.iter() {
                        let mut request = Vec::new();
                        while !request.ends_with(b"\"PKI\"}") {
                            if stream.read_buf(&mut request).await.unwrap() == 0 {
                                let _ = tell.send(());
                                return;
                            }
                        }
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    let _ = tell.send(());
                });
            }
        });
        Self { socket, accepted, ended, _folder: folder }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn token() -> String {
    http("200 OK", &format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(r#"{"x5c":["leaf"]}"#)))
}

fn request() -> TokenRequest {
    TokenRequest::pki("uwear", "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=").unwrap()
}

#[tokio::test]
async fn the_next_requests_go_over_the_connection_of_the_first() {
    let scripted = Scripted::start(&[&token(), &token(), &token()]);
    let launcher = Launcher::new(&scripted.socket);
    for _ in 0..3 {
        launcher.token(&request()).await.unwrap();
    }
    assert_eq!(scripted.accepted(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_launcher_has_closed_costs_no_request() {
    let mut scripted = Scripted::start(&[&token()]);
    let launcher = Launcher::new(&scripted.socket);
    for asked in 1..=3 {
        launcher.token(&request()).await.unwrap();
        assert_eq!(scripted.accepted(), asked);
        scripted.ended.recv().await.unwrap();
    }
}

#[tokio::test]
async fn after_anything_but_a_token_the_connection_is_not_kept() {
    let lie = http("200 OK", "<html>");
    let refused = http("400 Bad Request", "wanted a nonce");
    for answer in [http("500 Internal Server Error", ""), refused, lie, "HTTP/1.1 200 OK\r\n\r\n".to_owned()]
    {
        let scripted = Scripted::start(&[&answer, &token()]);
        // The last answer has no end: it is given up.
        let launcher = Launcher::new(&scripted.socket).with_timeout(Duration::from_millis(300));
        launcher.token(&request()).await.unwrap_err();
        launcher.token(&request()).await.unwrap_err();
        assert_eq!(scripted.accepted(), 2, "{answer}");
    }
}

#[tokio::test]
async fn requests_at_the_same_time_have_a_connection_each_and_share_none() {
    let scripted = Scripted::start(&[&token(), &token()]);
    let launcher = Launcher::new(&scripted.socket);
    let request = request();
    let (one, other) = tokio::join!(launcher.token(&request), launcher.token(&request));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(scripted.accepted(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_over_is_closed_after_a_second() {
    let mut scripted = Scripted::start(&[&token(), &token(), &token()]);
    let launcher = Launcher::new(&scripted.socket);
    launcher.token(&request()).await.unwrap();
    launcher.token(&request()).await.unwrap();
    let asked = Instant::now();
    scripted.ended.recv().await.unwrap();
    let kept = asked.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_millis(2_100)).contains(&kept), "{kept:?}");
}

#[tokio::test]
async fn none_is_kept_longer_than_its_client() {
    let mut scripted = Scripted::start(&[&token(), &token()]);
    let launcher = Launcher::new(&scripted.socket);
    launcher.token(&request()).await.unwrap();
    drop(launcher);
    scripted.ended.recv().await.unwrap();
}
