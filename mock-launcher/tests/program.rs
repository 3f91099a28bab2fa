//! The program: one line when it is ready, a clean end, and an exit status for each kind of failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mock_launcher::Pki;
use tempfile::TempDir;

/// A started program that is killed when a test fails half-way.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mock-launcher"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Its first line.
    fn ready(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end: status and what it wrote to stderr.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.0.stderr.as_mut().unwrap().read_to_string(&mut errors).unwrap();
        (self.0.wait().unwrap().code(), errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a copy of the shared PKI in `pki`.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    std::fs::create_dir(&pki).unwrap();
    for file in std::fs::read_dir(Pki::shared_folder_for_tests().unwrap()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), pki.join(file.file_name())).unwrap();
    }
    (folder, pki)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn it_says_when_it_is_ready_and_ends_as_told() {
    for signal in ["TERM", "INT"] {
        let (folder, pki) = folder();
        let socket = folder.path().join("teeserver.sock");
        let mut program = Program::start(&["--socket", text(&socket), "--pki-dir", text(&pki)]);
        let root = pki.join("root.pem");
        let wanted =
            format!("mock-launcher listens on {}, its root is {}\n", socket.display(), root.display());
        assert_eq!(program.ready(), wanted);
        UnixStream::connect(&socket).unwrap();
        program.signal(signal);
        assert_eq!(program.end(), (Some(0), String::new()));
        assert!(!socket.exists(), "the socket is removed");
    }
}

#[test]
fn a_dead_socket_is_replaced() {
    let (folder, pki) = folder();
    let socket = folder.path().join("teeserver.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let mut program = Program::start(&["--socket", text(&socket), "--pki-dir", text(&pki)]);
    assert!(program.ready().starts_with("mock-launcher listens on "));
    UnixStream::connect(&socket).unwrap();
}

#[test]
fn what_cannot_be_used_is_named_and_left_alone() {
    let (folder, pki) = folder();
    let path = |name: &str| folder.path().join(name);
    let socket = path("teeserver.sock");
    let _live = UnixListener::bind(path("live.sock")).unwrap();
    std::fs::write(path("file"), "precious").unwrap();
    std::fs::write(path("claims.json"), "{").unwrap();
    std::fs::write(path("array.json"), "[]").unwrap();
    let (file, array) = (path("file"), path("array.json"));
    let (live, broken) = (path("live.sock"), path("claims.json"));
    std::fs::create_dir(path("other")).unwrap();
    std::fs::write(path("other/file"), "precious").unwrap();
    let other = path("other");

    let (socket, pki, live, file) = (text(&socket), text(&pki), text(&live), text(&file));
    let rows: [(&[&str], &str); 8] = [
        (&["--socket", live, "--pki-dir", pki], "another server listens there"),
        (&["--socket", file, "--pki-dir", pki], "wanted a socket or nothing, got another kind of file"),
        (&["--socket", socket, "--pki-dir", file], "PKI folder: "),
        (&["--socket", socket, "--pki-dir", pki, "--claims", text(&broken)], "claims.json: EOF"),
        (&["--socket", socket, "--pki-dir", pki, "--claims", text(&array)], "wanted a JSON object"),
        (
            &["--socket", socket, "--pki-dir", pki, "--claims", "/nowhere"],
            "claims file /nowhere: No such file",
        ),
        (
            &["--socket", socket, "--pki-dir", pki, "--fault", "sleepy"],
            "unknown fault: wanted one of expired, ",
        ),
        (
            &["--socket", socket, "--pki-dir", pki, "--latency", "soon"],
            "wanted a duration such as 340ms or 1.5s",
        ),
    ];
    for (arguments, wanted) in rows {
        let (status, errors) = Program::start(arguments).end();
        assert_eq!(status, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(wanted), "{arguments:?}: {errors}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
    assert!(UnixStream::connect(live).is_ok());

    // A folder with other things in it is not taken over either.
    let (status, errors) = Program::start(&["--socket", socket, "--pki-dir", text(&other)]).end();
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("got one with other files"), "{errors}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn two_that_start_at_once_make_one_root_that_only_their_user_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    let sockets = ["a.sock", "b.sock"].map(|name| folder.path().join(name));
    let mut programs =
        sockets.each_ref().map(|socket| Program::start(&["--socket", text(socket), "--pki-dir", text(&pki)]));
    for program in &mut programs {
        assert!(program.ready().starts_with("mock-launcher listens on "));
    }
    let roots: Vec<_> = sockets.iter().map(|socket| root_of_a_token(socket)).collect();
    assert_eq!(roots[0], roots[1]);
    assert_eq!(roots[0], Pki::load_or_create(&pki).unwrap().root());

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&pki), 0o700);
    for file in std::fs::read_dir(&pki).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no temporary folder is left: {left:?}");
}

fn root_of_a_token(socket: &Path) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use std::io::Write as _;

    let body = r#"{"audience":"uwear","token_type":"PKI"}"#;
    let mut stream = UnixStream::connect(socket).unwrap();
    // HTTP/1.0 has no chunks.
    write!(stream, "POST /v1/token HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let token = answer.split("\r\n\r\n").nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    STANDARD.decode(header["x5c"][2].as_str().unwrap()).unwrap()
}
