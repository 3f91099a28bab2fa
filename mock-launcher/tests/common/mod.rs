//! A plain HTTP client, and the parts of a token, read without the code under test.

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mock_launcher::{Builder, MockLauncher, Pki, Running};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Base64 of 32 bytes, as USleep asks for.
pub const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// A mock in a folder of its own.
pub struct Mock {
    pub running: Running,
    _folder: TempDir,
}

impl Mock {
    pub async fn start(change: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::shared_for_tests().unwrap();
        let running =
            change(MockLauncher::builder(pki)).start(folder.path().join("teeserver.sock")).await.unwrap();
        Self { running, _folder: folder }
    }

    pub fn socket(&self) -> PathBuf {
        self.running.socket().to_owned()
    }

    pub async fn post(&self, body: &str) -> Answer {
        ask(&self.socket(), "POST", "/v1/token", body).await
    }

    /// A PKI token for uwear over [`NONCE`].
    pub async fn token(&self) -> Token {
        let answer = self.post(&body("uwear", &[NONCE], "PKI")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Token::parse(&answer.body)
    }
}

pub fn body(audience: &str, nonces: &[&str], token_type: &str) -> String {
    serde_json::json!({ "audience": audience, "nonces": nonces, "token_type": token_type }).to_string()
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Whether the body came to the end that its framing announced.
    pub whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One request, one connection, read to its end.
pub async fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: String::new(),
        whole: false,
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        (answer.body, answer.whole) = unchunk(rest);
    } else {
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        answer.whole = rest.len() == length;
        answer.body = rest.to_owned();
    }
    answer
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    (body, false)
}

pub struct Token {
    pub text: String,
    pub header: Value,
    pub claims: Value,
    pub signing_input: String,
    pub signature: Vec<u8>,
}

impl Token {
    pub fn parse(text: &str) -> Self {
        let parts: Vec<_> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("not three segments") };
        let json = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        Self {
            text: text.to_owned(),
            header: json(header),
            claims: json(claims),
            signing_input: format!("{header}.{claims}"),
            signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
        }
    }

    pub fn x5c(&self) -> Vec<Vec<u8>> {
        let entries = self.header["x5c"].as_array().unwrap();
        let decode = |entry: &Value| {
            base64::engine::general_purpose::STANDARD.decode(entry.as_str().unwrap()).unwrap()
        };
        entries.iter().map(decode).collect()
    }
}

/// Whether `signature` is sha256WithRSA over `message` by the key in the certificate `der`, according to
/// the rsa crate.
pub fn rsa_says_signed(der: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::signature::Verifier as _;
    use x509_cert::der::{Decode as _, Encode as _};

    let certificate = x509_cert::Certificate::from_der(der).unwrap();
    let key = certificate.tbs_certificate().subject_public_key_info().to_der().unwrap();
    let key = rsa::RsaPublicKey::from_public_key_der(&key).unwrap();
    let signature = rsa::pkcs1v15::Signature::try_from(signature).unwrap();
    rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(key).verify(message, &signature).is_ok()
}
