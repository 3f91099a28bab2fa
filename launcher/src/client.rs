//! HTTP/1.1 requests over the launcher's Unix socket.
//!
//! A connection serves one request at a time and lives inside its future. That makes the request cancel safe: a connection
//! is kept for the next only after a token has come over it, whole. Should a launcher ever answer one request twice, the
//! second answer may be taken for the next request's; such a token has another nonce, and its client refuses it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use attestation::message::MAX_TOKEN_BYTES;
use attestation::{Token, printable};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyperlocal::{UnixConnector, UnixStream};
use tower_service::Service as _;

use crate::error::MAX_STATUS_TEXT_BYTES;
use crate::header::{Headers, Wrong};
use crate::kept::{Kept, Open};
use crate::{LauncherError, Progress, TokenFuture, TokenRequest, TokenSource};

/// Where the launcher's socket is inside the container (google/go-tpm-tools,
/// `launcher/teeserver` and `launcher/container_runner.go`).
pub const DEFAULT_SOCKET: &str = "/run/container_launcher/teeserver.sock";

/// Time limit of a whole request. A token takes 0.3 to 2 s: a hardware quote and a call to the
/// attestation service.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(12);

/// Longest path a `sockaddr_un` holds on Linux with its terminating zero (`unix(7)`), in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Longest header section of an answer, in bytes. The launcher's own is under 200.
const MAX_HEADER_SECTION_BYTES: usize = 16 * 1024;

/// Client of the launcher that listens on one Unix socket. Clones share the connections that are kept for a second after
/// a token.
#[derive(Clone)]
pub struct Launcher {
    socket: PathBuf,
    timeout: Duration,
    kept: Kept,
    headers: Headers,
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, timeout, .. } = self;
        f.debug_struct("Launcher").field("socket", socket).field("timeout", timeout).finish_non_exhaustive()
    }
}

impl Launcher {
    /// A client for the socket at `socket`, usually [`DEFAULT_SOCKET`]. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        let (kept, headers) = (Kept::default(), Headers::default());
        Self { socket: socket.into(), timeout: DEFAULT_TIMEOUT, kept, headers }
    }

    /// Replaces the time limit of a whole request, [`DEFAULT_TIMEOUT`] unless told.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The socket this client asks at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn request_token(&self, request: &TokenRequest) -> Result<Token, LauncherError> {
        let asked = Instant::now();
        let token = tokio::time::timeout(self.timeout, self.exchange(request))
            .await
            .map_err(|_| LauncherError::Timeout { socket: self.socket.clone(), after: self.timeout })??;
        tracing::debug!(
            elapsed_ms = asked.elapsed().as_millis(),
            bytes = token.as_str().len(),
            "the launcher gave a token"
        );
        Ok(token)
    }

    async fn exchange(&self, request: &TokenRequest) -> Result<Token, LauncherError> {
        if let Some(open) = self.kept.take() {
            match self.ask(open, request).await {
                // Most likely closed while nobody asked, which shows only now. It is asked once more, at no turn of its own.
                Err(LauncherError::ConnectionLost { got: Progress::NoAnswer, .. }) => {}
                answered => return answered,
            }
        }
        let stream = self.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEADER_SECTION_BYTES)
            .handshake::<_, Full<Bytes>>(stream)
            .await
            .map_err(|error| self.lost(&error, Progress::NoAnswer))?;
        self.ask(Open { sender, connection }, request).await
    }

    async fn ask(&self, open: Open, request: &TokenRequest) -> Result<Token, LauncherError> {
        let Open { mut sender, mut connection } = open;
        let mut ended = false;
        let answered = {
            // When the connection ends first, what it has received waits for the answer to be read.
            let mut answer = pin!(async {
                let response = sender
                    .send_request(post(request))
                    .await
                    .map_err(|error| self.lost(&error, Progress::NoAnswer))?;
                self.read_answer(response).await
            });
            tokio::select! {
                answered = &mut answer => answered,
                _ = &mut connection => {
                    ended = true;
                    answer.await
                }
            }
        };
        if answered.is_ok() && !ended {
            self.kept.keep(Open { sender, connection });
        }
        answered
    }

    async fn connect(&self) -> Result<UnixStream, LauncherError> {
        // hyperlocal carries the path as hex in the host of a URI: checked first, because it panics
        // on an empty or enormous one and changes one that is no UTF-8.
        let length = self.socket.as_os_str().len();
        if self.socket.to_str().is_none() || !(1..=MAX_SOCKET_PATH_BYTES).contains(&length) {
            return Err(LauncherError::SocketPath {
                socket: self.socket.clone(),
                max: MAX_SOCKET_PATH_BYTES,
                got: length,
            });
        }
        let address = hyperlocal::Uri::new(&self.socket, "/");
        UnixConnector.call(address.into()).await.map_err(|error| {
            let socket = self.socket.clone();
            match error.kind() {
                io::ErrorKind::NotFound => LauncherError::SocketMissing { socket },
                io::ErrorKind::PermissionDenied => LauncherError::PermissionDenied { socket },
                io::ErrorKind::ConnectionRefused => LauncherError::ConnectionRefused { socket },
                kind => LauncherError::Connect { socket, kind },
            }
        })
    }

    async fn read_answer<B>(&self, response: Response<B>) -> Result<Token, LauncherError>
    where
        B: Body<Data = Bytes, Error = hyper::Error>,
    {
        let status = response.status();
        if status != StatusCode::OK {
            // The text is diagnostics only: what came before the limit or an error will do.
            let text = match read_up_to(response.into_body(), MAX_STATUS_TEXT_BYTES).await {
                Read::Whole(text) | Read::More(text) | Read::Broken(text, _) => text,
            };
            return Err(LauncherError::Status {
                socket: self.socket.clone(),
                status: status.as_u16(),
                text: printable(String::from_utf8_lossy(&text).trim_end()),
            });
        }
        match read_up_to(response.into_body(), MAX_TOKEN_BYTES).await {
            Read::Whole(bytes) => self.check_token(bytes),
            Read::More(_) => Err(LauncherError::TooLarge { socket: self.socket.clone() }),
            Read::Broken(bytes, error) => Err(self.lost(&error, Progress::PartOfBody(bytes.len()))),
        }
    }

    /// Shape only: a 200 with an error page, or a token of another type, is found here and not at the
    /// relying party.
    fn check_token(&self, bytes: Vec<u8>) -> Result<Token, LauncherError> {
        let not_jwt = |bytes: &[u8]| LauncherError::NotJwt {
            socket: self.socket.clone(),
            bytes: bytes.len(),
            segments: bytes.split(|byte| *byte == b'.').count(),
        };
        let text = String::from_utf8(bytes).map_err(|error| not_jwt(error.as_bytes()))?;
        let not_jwt = || not_jwt(text.as_bytes());

        let mut segments = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(not_jwt());
        };
        if ![payload, signature].into_iter().all(is_base64url) {
            return Err(not_jwt());
        }
        self.headers.judge(header).map_err(|wrong| match wrong {
            Wrong::NotJose => not_jwt(),
            Wrong::NoCertificateChain => LauncherError::NoCertificateChain { socket: self.socket.clone() },
        })?;
        Token::new(text).map_err(|_| LauncherError::TooLarge { socket: self.socket.clone() })
    }

    fn lost(&self, error: &hyper::Error, got: Progress) -> LauncherError {
        let socket = self.socket.clone();
        if error.is_parse() {
            LauncherError::NotHttp { socket }
        } else {
            LauncherError::ConnectionLost { socket, got }
        }
    }
}

impl TokenSource for Launcher {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(self.request_token(request))
    }
}

fn post(request: &TokenRequest) -> Request<Full<Bytes>> {
    // Strings and one unit variant: this has no way to fail. If it ever did, the launcher would
    // refuse the empty body.
    let body = serde_json::to_vec(request).unwrap_or_default();
    let mut post = Request::new(Full::new(Bytes::from(body)));
    *post.method_mut() = hyper::Method::POST;
    *post.uri_mut() = hyper::Uri::from_static("/v1/token");
    let headers = post.headers_mut();
    headers.insert(header::HOST, header::HeaderValue::from_static("localhost"));
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    post
}

/// Non-empty and of RFC 4648 §5's alphabet, without padding.
fn is_base64url(segment: &str) -> bool {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() | (*byte == b'-') | (*byte == b'_');
    // All of them, wherever the first wrong one is: so they are judged many at once.
    !segment.is_empty() && segment.as_bytes().iter().fold(true, |all, byte| all & in_alphabet(byte))
}

enum Read {
    /// The whole body.
    Whole(Vec<u8>),
    /// As much as was allowed; there is more.
    More(Vec<u8>),
    /// What came before the connection broke.
    Broken(Vec<u8>, hyper::Error),
}

/// Reads until the end or `limit`, and stops there: hyper hands over what it has in pieces of its
/// own buffer, so never more than the limit and one such piece is held.
async fn read_up_to(body: impl Body<Data = Bytes, Error = hyper::Error>, limit: usize) -> Read {
    let mut body = pin!(body);
    // As long as the launcher says it is, so that it need not grow.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut read = Vec::with_capacity(announced.min(limit));
    while let Some(frame) = body.frame().await {
        let data = match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => data,
            // Trailers say nothing we want.
            Ok(Err(_)) => continue,
            Err(error) => return Read::Broken(read, error),
        };
        let room = limit.saturating_sub(read.len());
        let (taken, _) = data.split_at(room.min(data.len()));
        read.extend_from_slice(taken);
        if data.len() > room {
            return Read::More(read);
        }
    }
    Read::Whole(read)
}
