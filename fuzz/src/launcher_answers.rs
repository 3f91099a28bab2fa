//! Target `launcher_answers`: any bytes as the launcher's answer, from the first byte of HTTP to the end.
#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use attestation::message::MAX_TOKEN_BYTES;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use launcher::{Launcher, LauncherError, Token, TokenRequest, TokenSource as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

use super::shown::assert_printable;

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// The answer ends with its last byte, so nothing ever has to wait this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A socket that answers whatever it is told to.
struct World {
    runtime: Runtime,
    listener: UnixListener,
    folder: TempDir,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let _inside = runtime.enter();
        let listener = UnixListener::bind(folder.path().join("any.sock")).unwrap();
        drop(_inside);
        Self { runtime, listener, folder }
    }

    fn ask(&self, answer: &[u8]) -> Result<Token, LauncherError> {
        let request = TokenRequest::pki("uwear", NONCE).unwrap();
        let launcher = Launcher::new(self.folder.path().join("any.sock")).with_timeout(TIMEOUT);
        self.runtime.block_on(async {
            let serve = async {
                let (mut stream, _) = self.listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\"PKI\"}") {
                    assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0, "the whole request comes");
                }
                // The client may have had enough before the end.
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            };
            tokio::join!(launcher.token(&request), serve).0
        })
    }
}

/// Asserts what holds of any bytes, and says whether a token came of them.
pub fn check(data: &[u8]) -> bool {
    let answer = WORLD.with(|world| world.ask(data));
    match &answer {
        Ok(token) => assert_is_answer(token.as_str(), data),
        Err(error) => {
            assert!(!matches!(error, LauncherError::Timeout { .. }), "it waited after the end");
            assert_printable(&error.to_string());
            assert_printable(error.hint());
        }
    }
    answer.is_ok()
}

/// What is given out has the shape of a PKI token and is part of a 200.
fn assert_is_answer(token: &str, data: &[u8]) {
    assert!(token.len() <= MAX_TOKEN_BYTES);
    let segments: Vec<&str> = token.split('.').collect();
    assert_eq!(segments.len(), 3);
    let base64url = |segment: &&str| {
        !segment.is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    assert!(segments.iter().all(base64url));
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segments[0]).unwrap()).unwrap();
    assert!(!header["x5c"].is_null(), "a token without certificates");
    let status = data.windows(13).find(|window| window.starts_with(b"HTTP/1.") && window[9..12] == *b"200");
    assert!(status.is_some(), "a token without a status of 200");
    // In pieces or as a whole, each of its bytes came.
    assert!(data.len() >= token.len());
}

/// Answers to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","x5c":["AA=="]}"#));
    let no_chain = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#));
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    let sized = |body: &str| answer(&format!("200 OK\r\ncontent-length: {}", body.len()), body);
    let (first, second) = token.split_at(7);
    let chunks = format!("7\r\n{first}\r\n{:x};x=y\r\n{second}\r\n0\r\nt: u\r\n\r\n", second.len());
    [
        ("token", sized(&token)),
        ("until-the-end", answer("200 OK", &token)),
        ("chunks", answer("200 OK\r\ntransfer-encoding: chunked", &chunks)),
        ("no-chain", sized(&no_chain)),
        ("error", answer("500 Internal Server Error\r\ncontent-length: 5", "\u{1b}[2J\n")),
        ("bad-request", answer("400 Bad Request", "no such field\u{202e}")),
        ("continue", [b"HTTP/1.1 100 Continue\r\n\r\n", &sized(&token)[..]].concat()),
        ("short", answer("200 OK\r\ncontent-length: 9999", &token)),
        ("http-1.0", format!("HTTP/1.0 200 OK\r\n\r\n{token}").into_bytes()),
        ("switching", answer("101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade", &token)),
        ("not-http", b"SSH-2.0-x\r\n".to_vec()),
        ("empty", Vec::new()),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
