//! The client against the mock launcher, and against listeners that no launcher would be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::message::MAX_TOKEN_BYTES;
use launcher::{Launcher, LauncherError, MAX_STATUS_TEXT_BYTES, Progress, Token, TokenRequest, TokenSource};
use mock_launcher::{Builder, Fault, MockLauncher, Pki, Running};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

fn request() -> TokenRequest {
    TokenRequest::pki("uwear", NONCE).unwrap()
}

async fn ask(socket: &Path) -> Result<Token, LauncherError> {
    Launcher::new(socket).token(&request()).await
}

async fn mock(change: impl FnOnce(Builder) -> Builder) -> (TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let mock = change(MockLauncher::builder(Pki::shared_for_tests().unwrap()));
    let running = mock.start(folder.path().join("teeserver.sock")).await.unwrap();
    (folder, running)
}

/// A listener that reads the request, then does to the connection what a test wants.
struct Hostile {
    socket: PathBuf,
    _folder: TempDir,
}

impl Hostile {
    fn start<F>(answer: impl FnOnce(UnixStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("hostile.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\"PKI\"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the whole request comes");
            }
            answer(stream).await;
        });
        Self { socket, _folder: folder }
    }

    /// Sends these bytes and closes.
    fn sends(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(async move |mut stream| {
            // The client may have had enough before the end.
            let _ = stream.write_all(&bytes).await;
        })
    }

    /// A 200 with this body.
    fn answers(body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        Self::sends([head.as_bytes(), body].concat())
    }

    async fn asked(&self) -> Result<Token, LauncherError> {
        ask(&self.socket).await
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone()
    }
}

#[tokio::test]
async fn the_mock_gives_a_token_over_this_nonce_and_audience() {
    let (_folder, running) = mock(|mock| mock).await;
    let token = ask(running.socket()).await.unwrap();
    assert!((10_000..=11_500).contains(&token.as_str().len()));
    assert_eq!(running.issued(), 1);
    let claims = token.as_str().split('.').nth(1).unwrap();
    let claims = String::from_utf8(decode(claims)).unwrap();
    assert!(claims.contains(r#""aud":"uwear""#) && claims.contains(&format!(r#""eat_nonce":"{NONCE}""#)));
}

fn decode(segment: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(segment).unwrap()
}

#[tokio::test]
async fn a_source_behind_dyn_and_arc_serves_many_at_once() {
    let (_folder, running) = mock(|mock| mock).await;
    let source: std::sync::Arc<dyn TokenSource> = std::sync::Arc::new(Launcher::new(running.socket()));
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let source = std::sync::Arc::clone(&source);
            tokio::spawn(async move { source.token(&request()).await })
        })
        .collect();
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(running.issued(), 8);
}

#[tokio::test]
async fn faults_of_the_mock_have_names_of_their_own() {
    let (_folder, running) = mock(|mock| mock).await;
    let socket = running.socket().to_owned();
    let launcher = Launcher::new(&socket).with_timeout(Duration::from_millis(300));

    running.set_fault(Some(Fault::Http500));
    let error = launcher.token(&request()).await.unwrap_err();
    let LauncherError::Status { status: 500, text, .. } = &error else { panic!("{error}") };
    assert!(text.starts_with("failed to retrieve custom attestation service token: "), "{text}");
    assert!(error.is_transient() && error.hint().contains("roles/confidentialcomputing.workloadUser"));

    running.set_fault(Some(Fault::NoX5c));
    let error = launcher.token(&request()).await.unwrap_err();
    assert_eq!(error, LauncherError::NoCertificateChain { socket: socket.clone() });

    running.set_fault(Some(Fault::Hang));
    let error = launcher.token(&request()).await.unwrap_err();
    let after = Duration::from_millis(300);
    assert_eq!(error, LauncherError::Timeout { socket: socket.clone(), after });

    running.set_fault(Some(Fault::CutBody));
    let error = Launcher::new(&socket).token(&request()).await.unwrap_err();
    let LauncherError::ConnectionLost { got: Progress::PartOfBody(bytes), .. } = error else {
        panic!("{error}")
    };
    assert!((4_000..7_000).contains(&bytes), "{bytes}");

    running.set_fault(None);
    launcher.token(&request()).await.unwrap();
}

#[tokio::test]
async fn a_request_the_launcher_refuses_says_what_the_launcher_said() {
    let (_folder, running) = mock(|mock| mock).await;
    let reserved = TokenRequest::pki("https://sts.googleapis.com", NONCE).unwrap();
    let error = Launcher::new(running.socket()).token(&reserved).await.unwrap_err();
    let LauncherError::Status { status: 500, text, .. } = error else { panic!("{error}") };
    assert!(text.ends_with("audience is reserved"), "{text}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nothing.sock");
    let error = ask(&socket).await.unwrap_err();
    assert_eq!(error, LauncherError::SocketMissing { socket: socket.clone() });
    assert_eq!(error.to_string(), format!("no launcher socket at {}", socket.display()));
}

#[tokio::test]
async fn a_socket_nobody_listens_on_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(ask(&socket).await, Err(LauncherError::ConnectionRefused { socket }));
}

#[tokio::test]
async fn a_file_that_is_no_socket_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("file");
    std::fs::write(&socket, "no socket").unwrap();
    assert_eq!(ask(&socket).await, Err(LauncherError::ConnectionRefused { socket }));
}

#[tokio::test]
async fn a_socket_this_user_may_not_use_is_a_matter_of_permission() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("closed.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    let wanted = LauncherError::PermissionDenied { socket: socket.clone() };
    let launcher = Launcher::new(&socket).with_timeout(Duration::from_millis(300));
    match launcher.token(&request()).await {
        // The superuser may connect to anything; nobody accepts.
        Err(LauncherError::Timeout { .. }) => eprintln!("not shown: this user may open every socket"),
        other => assert_eq!(other, Err(wanted)),
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_socket_is_refused_before_connecting() {
    use std::os::unix::ffi::OsStrExt as _;

    let long = "/".to_owned() + &"s".repeat(107);
    let not_utf8 = std::ffi::OsStr::from_bytes(b"/run/\xff.sock");
    for path in [Path::new(""), Path::new(&long), Path::new(not_utf8)] {
        let got = path.as_os_str().len();
        let wanted = LauncherError::SocketPath { socket: path.to_owned(), max: 107, got };
        assert_eq!(ask(path).await, Err(wanted));
    }
    let longest = PathBuf::from("/".to_owned() + &"s".repeat(106));
    assert_eq!(ask(&longest).await, Err(LauncherError::SocketMissing { socket: longest }));
}

#[tokio::test]
async fn another_kind_of_failure_to_connect_keeps_the_systems_word() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let socket = folder.path().join("file/teeserver.sock");
    let kind = io::ErrorKind::NotADirectory;
    assert_eq!(ask(&socket).await, Err(LauncherError::Connect { socket, kind }));
}

#[tokio::test]
async fn a_refusal_is_shown_escaped_and_cut() {
    let long = "x".repeat(10 * MAX_STATUS_TEXT_BYTES);
    let rows = [
        ("\u{1b}[2Jbad\nrequest\n".to_owned(), "\\u{1b}[2Jbad\\u{a}request".to_owned()),
        (long, format!("{}…", "x".repeat(attestation::MAX_PRINTABLE_CHARS))),
        (String::new(), String::new()),
    ];
    for (body, text) in rows {
        let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", body.len());
        let hostile = Hostile::sends(head + &body);
        let error = hostile.asked().await.unwrap_err();
        assert_eq!(error, LauncherError::Status { socket: hostile.socket(), status: 400, text });
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_refusal_without_end_is_not_read_to_its_end() {
    let hostile = Hostile::start(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while stream.write_all(b"5\r\nagain\r\n").await.is_ok() {}
    });
    let error = hostile.asked().await.unwrap_err();
    assert!(matches!(error, LauncherError::Status { status: 500, .. }), "{error}");
}

#[tokio::test]
async fn a_body_without_end_is_given_up_at_the_longest_token() {
    let hostile = Hostile::start(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while stream.write_all(b"8\r\neyJhbGci\r\n").await.is_ok() {}
    });
    assert_eq!(hostile.asked().await, Err(LauncherError::TooLarge { socket: hostile.socket() }));
}

#[tokio::test]
async fn a_token_is_taken_at_the_limit_and_refused_one_over() {
    let token = |length: usize| {
        let header = "eyJ4NWMiOltdfQ"; // {"x5c":[]}
        format!("{header}.{}.AA", "A".repeat(length - header.len() - 4))
    };
    let hostile = Hostile::answers(token(MAX_TOKEN_BYTES).as_bytes());
    assert_eq!(hostile.asked().await.unwrap().as_str().len(), MAX_TOKEN_BYTES);
    let hostile = Hostile::answers(token(MAX_TOKEN_BYTES + 1).as_bytes());
    assert_eq!(hostile.asked().await, Err(LauncherError::TooLarge { socket: hostile.socket() }));
}

#[tokio::test]
async fn a_body_that_is_no_jwt_is_told_apart_by_its_shape() {
    let rows: [(&[u8], usize); 13] = [
        (b"", 1),
        (b"<html>all is well</html>", 1),
        (b"eyJ4NWMiOltdfQ.e30", 2),
        (b"eyJ4NWMiOltdfQ.e30.AA.AA", 4),
        (b"eyJ4NWMiOltdfQ.e30.", 3),
        (b"eyJ4NWMiOltdfQ..AA", 3),
        (b"eyJ4NWMiOltdfQ.e30.AA\n", 3),
        (b"eyJ4NWMiOltdfQ==.e30.AA", 3),
        (b"eyJ4NWMiOltdfQ.e3+.AA", 3),
        // A header that is no JSON object.
        (b"AAAA.e30.AA", 3),
        (b"eyJ4NWMiOltdfQ.\xff\xfe.AA", 3),
        // One with x5c twice, and one that is not UTF-8 beside its x5c.
        (b"eyJ4NWMiOltdLCJ4NWMiOltdfQ.e30.AA", 3),
        (b"eyJ4NWMiOlsi_yJdfQ.e30.AA", 3),
    ];
    for (body, segments) in rows {
        let hostile = Hostile::answers(body);
        let wanted = LauncherError::NotJwt { socket: hostile.socket(), bytes: body.len(), segments };
        assert_eq!(hostile.asked().await, Err(wanted), "{}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn a_token_without_a_chain_is_of_another_type() {
    let null = "eyJ4NWMiOm51bGx9"; // {"x5c":null}
    for header in ["e30", null] {
        let hostile = Hostile::answers(format!("{header}.e30.AA").as_bytes());
        let wanted = LauncherError::NoCertificateChain { socket: hostile.socket() };
        assert_eq!(hostile.asked().await, Err(wanted));
    }
}

#[tokio::test]
async fn half_an_answer_says_how_far_it_came() {
    let rows: [(&str, Progress); 6] = [
        ("", Progress::NoAnswer),
        ("HTTP/1.1 200 O", Progress::NoAnswer),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n", Progress::NoAnswer),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Progress::PartOfBody(0)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\neyJh", Progress::PartOfBody(4)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\neyJh\r\n", Progress::PartOfBody(4)),
    ];
    for (bytes, got) in rows {
        let hostile = Hostile::sends(bytes);
        let error = hostile.asked().await.unwrap_err();
        assert_eq!(error, LauncherError::ConnectionLost { socket: hostile.socket(), got }, "{bytes:?}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be_none() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(64 * 1024));
    for bytes in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "\0\0\0\0\0\0", endless_head.as_str()] {
        let hostile = Hostile::sends(bytes);
        assert_eq!(hostile.asked().await, Err(LauncherError::NotHttp { socket: hostile.socket() }));
    }
}

#[tokio::test]
async fn the_time_limit_is_for_the_whole_answer_however_it_trickles() {
    let hostile = Hostile::start(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
        while stream.write_all(b"e").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let after = Duration::from_millis(200);
    let launcher = Launcher::new(hostile.socket()).with_timeout(after);
    let wanted = LauncherError::Timeout { socket: hostile.socket(), after };
    assert_eq!(launcher.token(&request()).await, Err(wanted));
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    let (ended, end) = tokio::sync::oneshot::channel();
    let (began, begin) = tokio::sync::oneshot::channel();
    let hostile = Hostile::start(async move |mut stream| {
        began.send(()).unwrap();
        let read = stream.read(&mut [0; 16]).await;
        ended.send(read.unwrap()).unwrap();
    });
    let socket = hostile.socket();
    let asking = tokio::spawn(async move { ask(&socket).await });
    begin.await.unwrap();
    asking.abort();
    assert_eq!(end.await.unwrap(), 0, "end of stream");
}

#[tokio::test]
async fn an_answer_after_which_the_launcher_keeps_the_connection_open_is_complete() {
    let hostile = Hostile::start(async |mut stream| {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\neyJ4NWMiOltdfQ.e30.AA";
        stream.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(hostile.asked().await.unwrap().as_str(), "eyJ4NWMiOltdfQ.e30.AA");
}
