//! The program `mock-launcher`: serves a launcher's socket until it is told to end.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;
use mock_launcher::{Fault, MockLauncher, Pki};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Longest file of claims, in bytes: what they make of a token must stay a token.
const MAX_CLAIMS_BYTES: u64 = 64 * 1024;

/// Plays the Confidential Space launcher and Google's attestation service
///
/// Answers on a Unix socket as the launcher of a Confidential Space VM does, with tokens like the real
/// ones, signed below a root of its own. Give that root to the verifier, for instance with
/// `uwear --root DIR/root.pem`: without it, and with Google's root, every token from here is refused.
/// For trying things out on a laptop and for tests; it proves nothing about any machine.
#[derive(Debug, Parser)]
#[command(version, after_long_help = AFTER_HELP)]
struct Options {
    /// Unix socket to serve; a dead one's file is replaced, a live one's is not
    #[arg(long, value_name = "PATH", env = "MOCK_LAUNCHER_SOCKET")]
    socket: PathBuf,

    /// Folder of the root and its keys, made the first time and reused
    ///
    /// Safe to share between several mocks, also when they start at once.
    #[arg(long, value_name = "DIR", env = "MOCK_LAUNCHER_PKI_DIR")]
    pki_dir: PathBuf,

    /// JSON file of claims to change: merged into the default ones, null removes
    ///
    /// A merge patch (RFC 7396), for instance
    /// {"submods":{"container":{"image_digest":"sha256:…"}},"dbgstat":"enabled"}. claims/uwear.json in this program's
    /// source makes it the launcher of a UWear, for mutual mode.
    #[arg(long, value_name = "FILE", env = "MOCK_LAUNCHER_CLAIMS")]
    claims: Option<PathBuf>,

    /// How long each token takes, such as 340ms or 1.5s
    #[arg(long, value_name = "DURATION", env = "MOCK_LAUNCHER_LATENCY", default_value = "0ms", value_parser = duration)]
    latency: Duration,

    /// Make one token at a time, as the real launcher's quote lock does
    #[arg(long, env = "MOCK_LAUNCHER_SERIALIZE", value_parser = BoolishValueParser::new())]
    serialize: bool,

    /// Misbehave in one way
    ///
    /// expired, not-yet-valid, wrong-nonce, wrong-key, no-x5c, extra-certificate, foreign-root,
    /// debug-image: the token is wrong. http-500, quota, hang, cut-body: the answer is.
    #[arg(long, value_name = "NAME", env = "MOCK_LAUNCHER_FAULT")]
    fault: Option<Fault>,
}

const AFTER_HELP: &str = "\
Prints one line when it is ready. SIGTERM or SIGINT end it and remove the socket.

Exit status: 0 ended as told, 1 unexpected, 2 options, files or folders that cannot be used.

Try it:
  mock-launcher --socket /tmp/teeserver.sock --pki-dir /tmp/mock-pki &
  curl --unix-socket /tmp/teeserver.sock http://localhost/v1/token \\
    -d '{\"audience\":\"uwear\",\"nonces\":[\"0123456789\"],\"token_type\":\"PKI\"}'";

/// What went wrong and the exit status for it.
struct Failure {
    code: u8,
    message: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&mut std::io::stderr(), &format!("mock-launcher: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    // First of all, so that nobody who waits for the line below can be too early.
    let mut terminate = signal(SignalKind::terminate()).map_err(unexpected)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unexpected)?;

    let claims = options.claims.as_ref().map_or_else(|| Ok(serde_json::json!({})), read_claims)?;
    if !Pki::exists(&options.pki_dir) {
        say(&mut std::io::stderr(), "making an RSA-4096 root and intermediate, once ...");
    }
    let pki_dir = options.pki_dir.clone();
    let pki = tokio::select! {
        made = tokio::task::spawn_blocking(move || Pki::load_or_create(&pki_dir)) => made,
        // Keys in the making cannot be interrupted: leave without them.
        _ = terminate.recv() => std::process::exit(0),
        _ = interrupt.recv() => std::process::exit(0),
    };
    let pki = pki.map_err(unexpected)?.map_err(|error| unusable(format!("PKI folder: {error}")))?;

    let running = MockLauncher::builder(pki)
        .claims(claims)
        .fault(options.fault)
        .latency(options.latency)
        .serialize(options.serialize)
        .start(&options.socket)
        .await
        .map_err(|error| unusable(format!("socket: {error}")))?;
    let (socket, root) = (options.socket.display(), Pki::root_path(&options.pki_dir));
    say(
        &mut std::io::stdout(),
        &format!("mock-launcher listens on {socket}, its root is {}", root.display()),
    );

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(running);
    Ok(())
}

fn read_claims(path: &PathBuf) -> Result<Value, Failure> {
    let unusable = |what: String| unusable(format!("claims file {}: {what}", path.display()));
    let length = fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
    if length > MAX_CLAIMS_BYTES {
        return Err(unusable(format!("wanted at most {MAX_CLAIMS_BYTES} bytes, got {length}")));
    }
    let text = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let claims: Value = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    if !claims.is_object() {
        return Err(unusable("wanted a JSON object".to_owned()));
    }
    Ok(claims)
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("wanted a duration such as 340ms or 1.5s, got {text:?}"))
}

/// One line. Somebody who closed the other end does not want it.
fn say(to: &mut dyn std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}

fn unusable(message: String) -> Failure {
    Failure { code: 2, message }
}

fn unexpected(error: impl std::error::Error) -> Failure {
    Failure { code: 1, message: error.to_string() }
}
