//! Owners who verify in full, release, and check that the answer is to what they sent.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestation::{Anchors, Expectation, Phi, Verifier};
use mock_launcher::Pki;
use policy::{Baseline, Policy, PolicySource};
use rustls_pki_types::UnixTime;
use session::client::{Answer, AnswerError, Approved, PartResult, ProveError, ReleaseError};
use session::{Attest, ConnectError, ConnectOptions, Endpoint, LinkError, Wire, connect};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::account::{AFTER_RELEASE, Account, End};
use crate::proofs::{Proofs, Wrong};

/// Messages of a stream.
const MESSAGES: usize = 3;

/// Nights in each of them.
const NIGHTS_OF_A_MESSAGE: usize = 4;

/// What an owner does in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends a night, in wire version 0.
    Codelab,
    /// Sends a night, in wire version 1.
    Night,
    /// Proves herself first.
    Mutual,
    /// Sends many nights, in several messages.
    Nights,
    /// Proves herself wrongly, and sends a night all the same.
    Forger(Wrong),
}

impl Kind {
    /// Those that are to be answered.
    pub const HONEST: [Self; 4] = [Self::Codelab, Self::Night, Self::Mutual, Self::Nights];

    /// For accounts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Codelab => "night, version 0",
            Self::Night => "night, version 1",
            Self::Mutual => "mutual",
            Self::Nights => "many nights",
            Self::Forger(_) => "forged client",
        }
    }

    fn options(self) -> ConnectOptions {
        let wire = if self == Self::Codelab { Wire::V0 } else { Wire::V1 };
        let attest = match self {
            Self::Mutual | Self::Forger(_) => Attest::Required,
            Self::Codelab | Self::Night | Self::Nights => Attest::Never,
        };
        ConnectOptions { wire, attest, ..ConnectOptions::default() }
    }
}

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
    proofs: Arc<Proofs>,
    canary: Canary,
    nights: AtomicU64,
}

impl Owners {
    /// They trust the root of these keys alone, approve of the mocked launcher's identity, and prove themselves with the same
    /// keys.
    pub fn new(pki: &Path, rng: &mut fastrand::Rng) -> Self {
        let anchors = Anchors::from_pem(&std::fs::read(Pki::root_path(pki)).unwrap()).unwrap();
        let verifier = Verifier::new(anchors, Expectation::default());
        let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
        let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
        let proofs = Proofs::new(&Pki::load_or_create(pki).unwrap());
        Self { verifier, policy, proofs, canary: Canary::new(rng), nights: AtomicU64::new(0) }
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
    pub async fn session(&self, address: SocketAddr, kind: Kind) -> End {
        self.try_session(address, kind).await.map_or_else(|end| end, |()| End::Answered)
    }

    async fn try_session(&self, address: SocketAddr, kind: Kind) -> Result<(), End> {
        let endpoint: Endpoint = address.to_string().parse().unwrap();
        let connected = connect(&endpoint, &kind.options()).await.map_err(|error| not_connected(&error))?;
        let presented = connected.receive_token().await.map_err(|error| link("no token: ", &error))?;
        let attested = match presented.attest(&self.verifier, UnixTime::now()) {
            Ok(attested) => attested,
            Err(unproven) => {
                unproven.close().await;
                return Err(End::refused("its token is no proof"));
            }
        };
        let mut approved = match attested.decide(&self.policy, "uwear", UnixTime::now()) {
            Ok(approved) => approved,
            Err(denied) => {
                denied.close().await;
                return Err(End::refused("its token is not acceptable"));
            }
        };
        let wrong = if let Kind::Forger(wrong) = kind { Some(wrong) } else { None };
        if kind == Kind::Mutual || wrong.is_some() {
            let prover = self.proofs.prover(wrong);
            approved = approved.prove(&prover, "usleep").await.map_err(|error| match error {
                ProveError::Link(error) => link("before the release: ", &error),
                other => End::refused(other),
            })?;
        }
        match kind {
            Kind::Nights => self.send_nights(approved).await,
            _ => self.send_night(approved, kind).await,
        }
    }

    async fn send_night(&self, approved: Approved, kind: Kind) -> Result<(), End> {
        let (night, minutes) = self.night();
        let phi = Phi::new(Zeroizing::new(night)).unwrap();
        let released = approved.release(phi).await.map_err(not_released)?;
        let answer = released.result().await.map_err(not_answered)?;
        let total = number(answer.expose(), "total_minutes");
        ours(total, minutes)?;
        receipted(&answer, kind)
    }

    async fn send_nights(&self, approved: Approved) -> Result<(), End> {
        let (first, minutes) = self.message();
        let mut all = minutes.clone();
        let mut unanswered = minutes;
        let mut streaming = approved.release_stream(first).await.map_err(not_released)?;
        for _ in 1..MESSAGES {
            let (next, minutes) = self.message();
            all.extend(&minutes);
            let (on, result) = streaming.send(next).await.map_err(not_answered)?;
            streaming = on;
            answers(&result, &unanswered)?;
            unanswered = minutes;
        }
        let (streamed, last) = streaming.end().await.map_err(not_answered)?;
        answers(&last, &unanswered)?;
        let answer = streamed.summary().await.map_err(not_answered)?;
        ours(number(answer.expose(), "nights"), all.len() as f64)?;
        let average = all.iter().sum::<f64>() / all.len() as f64;
        ours(number(answer.expose(), "average_minutes"), average)?;
        receipted(&answer, Kind::Nights)
    }

    /// A message of a stream, and the minutes of each of its nights.
    fn message(&self) -> (Phi, Vec<f64>) {
        let nights: Vec<_> = (0..NIGHTS_OF_A_MESSAGE).map(|_| self.night()).collect();
        let mut lines = Zeroizing::new(Vec::new());
        for (night, _) in &nights {
            lines.extend_from_slice(night);
            lines.push(b'\n');
        }
        (Phi::new(lines).unwrap(), nights.iter().map(|(_, minutes)| *minutes).collect())
    }
}

fn number(json: &str, name: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(json).ok()?.get(name)?.as_f64()
}

/// Whether an answer is to what was sent.
fn ours(got: Option<f64>, sent: f64) -> Result<(), End> {
    let ours = got.is_some_and(|got| (got - sent).abs() < 1e-3);
    if ours { Ok(()) } else { Err(End::refused("the answer is to another night")) }
}

/// The first column of a message's results is the total of each night.
fn answers(result: &PartResult, sent: &[f64]) -> Result<(), End> {
    let json: serde_json::Value = serde_json::from_str(result.expose()).unwrap_or_default();
    let rows = json.get("nights").and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice);
    if rows.len() != sent.len() {
        return Err(End::refused("the answer is to another number of nights"));
    }
    rows.iter()
        .zip(sent)
        .try_for_each(|(row, sent)| ours(row.get(0).and_then(serde_json::Value::as_f64), *sent))
}

fn receipted(answer: &Answer, kind: Kind) -> Result<(), End> {
    let wanted = kind != Kind::Codelab;
    if answer.receipted().is_some() == wanted {
        Ok(())
    } else {
        Err(End::refused("a receipt too many, or none"))
    }
}

fn not_released(error: ReleaseError) -> End {
    match error {
        ReleaseError::NotBegun(error) => link("before the release: ", &error),
        ReleaseError::Interrupted(error) => link(AFTER_RELEASE, &error),
        other => End::refused(other),
    }
}

fn not_answered(error: AnswerError) -> End {
    match error {
        AnswerError::Link(error) => link(AFTER_RELEASE, &error),
        other => End::refused(format_args!("{AFTER_RELEASE}{other}")),
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

/// So many sessions of honest owners, at most `at_once` under way, every kind by turns. Every one of them is accounted for.
pub async fn crowd(owners: &Arc<Owners>, address: SocketAddr, count: usize, at_once: usize) -> Account {
    crowd_of(&Kind::HONEST, owners, address, count, at_once).await
}

/// The same, of these kinds by turns.
pub async fn crowd_of(
    kinds: &[Kind],
    owners: &Arc<Owners>,
    address: SocketAddr,
    count: usize,
    at_once: usize,
) -> Account {
    let mut account = Account::default();
    let room = Arc::new(Semaphore::new(at_once));
    let mut sessions = JoinSet::new();
    for kind in kinds.iter().copied().cycle().take(count) {
        let (owners, room) = (Arc::clone(owners), Arc::clone(&room));
        account.ask(kind.name());
        sessions.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            (kind, owners.session(address, kind).await)
        });
    }
    while let Some(ended) = sessions.join_next().await {
        match ended {
            Ok((kind, end)) => account.ended(kind.name(), end),
            Err(error) => account.wrong(format_args!("an owner's session broke off: {error}")),
        }
    }
    account
}
