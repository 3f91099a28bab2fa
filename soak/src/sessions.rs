//! Owners who verify in full, release, and check that the answer is to what they sent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestation::{Anchors, Expectation, Phi, Verifier};
use policy::{Baseline, Policy, PolicySource};
use rustls_pki_types::UnixTime;
use session::client::{AnswerError, ReleaseError};
use session::{ConnectError, ConnectOptions, Endpoint, LinkError, Wire, connect};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::account::{AFTER_RELEASE, Account, End};

/// What is in all health data of a run and in nothing else.
#[derive(Clone, Debug)]
pub struct Canary(Arc<[String; 2]>);

impl Canary {
    fn new(rng: &mut fastrand::Rng) -> Self {
        let name: String = std::iter::repeat_with(|| rng.lowercase()).take(12).collect();
        Self(Arc::new([format!("Quetzal{name}"), format!("41829{:07}", rng.u32(0..10_000_000))]))
    }

    /// Whether health data is in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let found = |needle: &String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        self.0.iter().any(found)
    }

    /// Length of the longest part that is looked for.
    pub fn longest(&self) -> usize {
        self.0.iter().map(String::len).max().unwrap_or_default()
    }
}

/// Owners of one mind: what they trust, what they approve of, and their data.
pub struct Owners {
    verifier: Verifier,
    policy: Policy,
    canary: Canary,
    nights: AtomicU64,
}

impl Owners {
    /// They trust this root alone and approve of the mocked launcher's identity.
    pub fn new(root: &Path, rng: &mut fastrand::Rng) -> Self {
        let anchors = Anchors::from_pem(&std::fs::read(root).unwrap()).unwrap();
        let verifier = Verifier::new(anchors, Expectation::default());
        let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
        let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
        Self { verifier, policy, canary: Canary::new(rng), nights: AtomicU64::new(0) }
    }

    /// What is in all of their data.
    pub fn canary(&self) -> &Canary {
        &self.canary
    }

    /// A night like no other, and its minutes in all.
    pub fn night(&self) -> (Vec<u8>, f64) {
        let number = self.nights.fetch_add(1, Ordering::Relaxed);
        let [name, digits] = &*self.canary.0;
        let light = format!("{}.{digits}", 200 + number % 200);
        let deep = 60 + number / 200 % 200;
        let json = format!(
            r#"{{"name":"{name}","age":29,"sleep":{{"light":{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{{"minutes":105}}}}}}"#
        );
        (json.into_bytes(), light.parse::<f64>().unwrap() + deep as f64 + 105.0)
    }

    /// One whole session.
    pub async fn session(&self, address: SocketAddr, wire: Wire) -> End {
        self.try_session(address, wire).await.map_or_else(|end| end, |()| End::Answered)
    }

    async fn try_session(&self, address: SocketAddr, wire: Wire) -> Result<(), End> {
        let endpoint: Endpoint = address.to_string().parse().unwrap();
        let options = ConnectOptions { wire, ..ConnectOptions::default() };
        let connected = connect(&endpoint, &options).await.map_err(|error| not_connected(&error))?;
        let presented = connected.receive_token().await.map_err(|error| link("no token: ", &error))?;
        let attested = match presented.attest(&self.verifier, UnixTime::now()) {
            Ok(attested) => attested,
            Err(unproven) => {
                unproven.close().await;
                return Err(End::refused("its token is no proof"));
            }
        };
        let approved = match attested.decide(&self.policy, "uwear", UnixTime::now()) {
            Ok(approved) => approved,
            Err(denied) => {
                denied.close().await;
                return Err(End::refused("its token is not acceptable"));
            }
        };
        let (night, minutes) = self.night();
        let phi = Phi::new(Zeroizing::new(night)).unwrap();
        let released = approved.release(phi).await.map_err(|error| match error {
            ReleaseError::NotBegun(error) => link("before the release: ", &error),
            ReleaseError::Interrupted(error) => link(AFTER_RELEASE, &error),
            other => End::refused(other),
        })?;
        let answer = released.result().await.map_err(|error| match error {
            AnswerError::Link(error) => link(AFTER_RELEASE, &error),
            other => End::lost(format_args!("{AFTER_RELEASE}{other}")),
        })?;
        let result: serde_json::Value = serde_json::from_str(answer.expose()).unwrap_or_default();
        let total = result.get("total_minutes").and_then(serde_json::Value::as_f64);
        let ours = total.is_some_and(|total| (total - minutes).abs() < 1e-3);
        if ours && answer.receipted().is_some() == (wire == Wire::V1) {
            Ok(())
        } else {
            Err(End::refused("the answer is to another night"))
        }
    }
}

/// By kind: addresses and the system's words would make a name of their own for each.
fn not_connected(error: &ConnectError) -> End {
    match error {
        ConnectError::Busy { .. } => End::lost("no connection: busy, 503"),
        ConnectError::Unreachable { .. } => End::lost("no connection: nobody listens"),
        ConnectError::ConnectTimeout { .. } | ConnectError::HandshakeTimeout { .. } => {
            End::lost("no connection: nothing came in time")
        }
        ConnectError::Lost(_) | ConnectError::NotWebsocket(_) | ConnectError::Hello(_) => {
            End::lost("no connection: it ended while it was made")
        }
        other => End::refused(other),
    }
}

fn link(stage: &str, error: &LinkError) -> End {
    match error {
        LinkError::Closed { code: Some(1003 | 1008 | 1009), .. } => {
            End::refused(format_args!("{stage}{error}"))
        }
        LinkError::Closed { .. } | LinkError::Ended | LinkError::Timeout { .. } => {
            End::lost(format_args!("{stage}{error}"))
        }
        other => End::refused(format_args!("{stage}{other}")),
    }
}

/// So many sessions, at most `at_once` under way, both versions of the wire by turns. Every one of them is accounted for.
pub async fn crowd(owners: &Arc<Owners>, address: SocketAddr, count: usize, at_once: usize) -> Account {
    let mut account = Account::default();
    account.ask(count);
    let room = Arc::new(Semaphore::new(at_once));
    let mut sessions = JoinSet::new();
    for number in 0..count {
        let (owners, room) = (Arc::clone(owners), Arc::clone(&room));
        let wire = if number % 2 == 0 { Wire::V0 } else { Wire::V1 };
        sessions.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            owners.session(address, wire).await
        });
    }
    while let Some(ended) = sessions.join_next().await {
        match ended {
            Ok(end) => account.ended(end),
            Err(error) => account.wrong(format_args!("an owner's session broke off: {error}")),
        }
    }
    account
}
