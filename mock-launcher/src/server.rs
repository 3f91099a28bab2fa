//! Serves the launcher's API on a Unix socket.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::service::Service;
use crate::{Fault, Pki, StartError, socket};

/// How long accepting rests after it failed, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The mock launcher. [`MockLauncher::builder`] is the way in.
#[derive(Debug)]
pub struct MockLauncher;

/// How the mock is to behave.
#[derive(Clone, Debug)]
pub struct Builder {
    pki: Arc<Pki>,
    claims: Value,
    fault: Option<Fault>,
    latency: Duration,
    serialize: bool,
}

/// A mock that serves. Dropping it ends it, open connections too, and removes its socket.
pub struct Running {
    socket: PathBuf,
    service: Arc<Service>,
    accepting: JoinHandle<()>,
}

impl MockLauncher {
    /// A mock that signs with this PKI; tests share [`Pki::shared_for_tests`].
    pub fn builder(pki: impl Into<Arc<Pki>>) -> Builder {
        Builder { pki: pki.into(), claims: json!({}), fault: None, latency: Duration::ZERO, serialize: false }
    }
}

impl Builder {
    /// Claims that replace the default ones, as a merge patch (RFC 7396): null removes.
    #[must_use]
    pub fn claims(self, overrides: Value) -> Self {
        Self { claims: overrides, ..self }
    }

    /// One fault, until [`Running::set_fault`] changes it.
    #[must_use]
    pub fn fault(self, fault: impl Into<Option<Fault>>) -> Self {
        Self { fault: fault.into(), ..self }
    }

    /// How long each token takes; the real one's takes 0.3 to 2 s.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Whether tokens are made one at a time, as under the real launcher's quote lock.
    #[must_use]
    pub fn serialize(self, serialize: bool) -> Self {
        Self { serialize, ..self }
    }

    /// Starts to serve at `path`, in a task of the current runtime. When this returns, connections are
    /// accepted.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self, path: impl AsRef<Path>) -> Result<Running, StartError> {
        if !self.claims.is_object() {
            return Err(StartError::Claims);
        }
        let service = Service::new(self.pki, self.claims, self.latency, self.serialize, self.fault)?;
        let service = Arc::new(service);
        let listener = socket::listen(path.as_ref()).await?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&service)));
        Ok(Running { socket: path.as_ref().to_owned(), service, accepting })
    }
}

impl Running {
    /// How many tokens were issued, faulty ones included.
    pub fn issued(&self) -> u64 {
        self.service.issued()
    }

    /// Changes the fault of the tokens from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.service.set_fault(fault, None);
    }

    /// The next `requests` tokens have this fault, and all is well after them.
    pub fn set_fault_for(&self, requests: u32, fault: Fault) {
        self.service.set_fault(Some(fault), Some(requests));
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
        // Nothing to be done if it is gone already.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Accepts until it is aborted; the connections end with it.
async fn accept(listener: UnixListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&service)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: UnixStream, service: Arc<Service>) {
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    // A client that goes away, or a body cut on purpose: nothing to report.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
