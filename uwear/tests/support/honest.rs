//! An honest USleep: the project's own server behind the mock launcher, which keeps what it received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::Phi;
use launcher::{DeskOptions, Launcher, TokenDesk};
use mock_launcher::{Builder, MockLauncher, Running};
use session::server::{About, ClientAttestation, ClientJudge, DocumentStream, PhiInvalid, Reply};
use session::{Identity, Limits, Server, Workload};
use sleep::{Analysis, Night, Nights, RuleSet};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub struct Honest {
    pub address: SocketAddr,
    received: Received,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _mock: Running,
    _folder: TempDir,
}

type Received = Arc<Mutex<Vec<Vec<u8>>>>;

struct Analyst(Received);

impl Workload for Analyst {
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        self.0.lock().unwrap().push(phi.expose().to_vec());
        let night = Night::parse(phi.expose()).map_err(|error| PhiInvalid(error.to_string()))?;
        let json = Analysis::new(&night, RuleSet::Codelab).to_json().unwrap();
        Ok(Reply::new(Zeroizing::new(String::from_utf8(json.to_vec()).unwrap())))
    }

    fn documents(&self) -> Option<Box<dyn DocumentStream>> {
        Some(Box::new(NightAfterNight(Nights::new(RuleSet::Codelab), Arc::clone(&self.0))))
    }

    fn about(&self) -> About {
        About { rules: "codelab".to_owned(), program: "usleep of the tests".to_owned() }
    }
}

struct NightAfterNight(Nights, Received);

impl DocumentStream for NightAfterNight {
    fn push(&mut self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        self.1.lock().unwrap().push(phi.expose().to_vec());
        let results = self.0.push(phi.expose()).map_err(|error| PhiInvalid(error.to_string()))?;
        Ok(Reply::new(Zeroizing::new(String::from_utf8(results.to_json().unwrap().to_vec()).unwrap())))
    }

    fn finish(self: Box<Self>) -> Result<Reply, PhiInvalid> {
        let summary = self.0.finish().map_err(|error| PhiInvalid(error.to_string()))?;
        Ok(Reply::new(Zeroizing::new(String::from_utf8(summary.to_json().unwrap().to_vec()).unwrap())))
    }
}

impl Honest {
    pub async fn start() -> Self {
        Self::with(|mock| mock, Limits::default()).await
    }

    pub async fn with(mock: impl FnOnce(Builder) -> Builder, limits: Limits) -> Self {
        Self::configured(mock, limits, "uwear", ClientAttestation::Never).await
    }

    /// One that wants its clients to prove themselves, and makes its own tokens for this audience.
    pub async fn mutual(judge: ClientJudge, audience: &str) -> Self {
        let clients = ClientAttestation::Required(Arc::new(judge));
        Self::configured(|mock| mock, Limits::default(), audience, clients).await
    }

    async fn configured(
        mock: impl FnOnce(Builder) -> Builder,
        limits: Limits,
        audience: &str,
        clients: ClientAttestation,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mock = mock(MockLauncher::builder(super::tokens::pki()));
        let mock = mock.start(folder.path().join("teeserver.sock")).await.unwrap();
        let received = Received::default();
        // As fast as the launcher is: its quota is not what these tests are about.
        let options = DeskOptions { tokens_per_second: 10_000.0, ..DeskOptions::default() };
        let server = Server::new(
            Identity::generate().unwrap(),
            TokenDesk::new(Arc::new(Launcher::new(mock.socket())), options),
            audience,
            Analyst(Arc::clone(&received)),
            limits,
        )
        .unwrap()
        .with_client_attestation(clients);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, shutdown.clone(), Duration::from_secs(10)));
        Self { address, received, shutdown, serving, _mock: mock, _folder: folder }
    }

    /// Lets the sessions under way end, and says which messages of PHI arrived.
    pub async fn received(self) -> Vec<Vec<u8>> {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        std::mem::take(&mut self.received.lock().unwrap())
    }
}
