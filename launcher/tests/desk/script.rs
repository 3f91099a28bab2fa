//! A token source that does as it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestation::v1::Leaf;
use launcher::{
    DeskError, DeskOptions, LauncherError, Share, Token, TokenDesk, TokenFuture, TokenRequest, TokenSource,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a real launcher takes for a token.
pub const LATENCY: Duration = Duration::from_millis(340);
/// The audience of the sessions.
pub const UWEAR: &str = "uwear";
/// The audience of those who want a token of their own, so that the requests can be told apart.
pub const LONE: &str = "lone";

/// What becomes of a request, and after how long.
#[derive(Clone, Debug)]
pub enum Step {
    Token(Duration),
    Fail(Duration, LauncherError),
    Hang,
    Panic,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// When, since the source was made, in milliseconds.
    pub at: u64,
    pub audience: String,
    pub nonce: String,
}

pub struct Script {
    began: Instant,
    /// For one request each, in their order; afterwards `always`.
    steps: Mutex<VecDeque<Step>>,
    always: Mutex<Step>,
    calls: Mutex<Vec<Call>>,
    under_way: Mutex<(usize, usize)>,
}

impl Script {
    /// Does these steps, then gives tokens like a real launcher.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            steps: Mutex::new(steps.into_iter().collect()),
            always: Mutex::new(Step::Token(LATENCY)),
            calls: Mutex::default(),
            under_way: Mutex::default(),
        })
    }

    /// Does this every time.
    pub fn always(step: Step) -> Arc<Self> {
        let script = Self::new([]);
        script.set_always(step);
        script
    }

    pub fn set_always(&self, step: Step) {
        *self.always.lock().unwrap() = step;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// When it was asked, in milliseconds.
    pub fn times(&self) -> Vec<u64> {
        self.calls().iter().map(|call| call.at).collect()
    }

    /// Most requests that were under way at once.
    pub fn most_under_way(&self) -> usize {
        self.under_way.lock().unwrap().1
    }

    async fn answer(&self, request: &TokenRequest) -> Result<Token, LauncherError> {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        let (audience, nonce) = (request.audience().to_owned(), request.nonce().to_owned());
        self.calls.lock().unwrap().push(Call { at, audience, nonce });
        let _under_way = UnderWay::of(self);
        let step = self.steps.lock().unwrap().pop_front();
        match step.unwrap_or_else(|| self.always.lock().unwrap().clone()) {
            Step::Token(after) => {
                tokio::time::sleep(after).await;
                Ok(Token::new(format!("{}|{}", request.audience(), request.nonce())).unwrap())
            }
            Step::Fail(after, error) => {
                tokio::time::sleep(after).await;
                Err(error)
            }
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("on purpose"),
        }
    }
}

impl TokenSource for Script {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(self.answer(request))
    }
}

/// Counts while it lives.
struct UnderWay<'a>(&'a Script);

impl<'a> UnderWay<'a> {
    fn of(script: &'a Script) -> Self {
        let (now, most) = &mut *script.under_way.lock().unwrap();
        *now += 1;
        *most = (*most).max(*now);
        Self(script)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}

/// A desk that is not held up by its rate.
pub fn fast(script: &Arc<Script>) -> TokenDesk {
    desk(script, DeskOptions { tokens_per_second: 10_000.0, ..DeskOptions::default() })
}

/// A desk at the default rate.
pub fn normal(script: &Arc<Script>) -> TokenDesk {
    desk(script, DeskOptions::default())
}

pub fn desk(script: &Arc<Script>, options: DeskOptions) -> TokenDesk {
    let source: Arc<dyn TokenSource> = Arc::clone(script) as _;
    TokenDesk::new(source, options)
}

pub fn leaf(number: u32) -> Leaf {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    Leaf::from_bytes(hash)
}

/// A session that shares, in a task of its own.
pub fn share(desk: &TokenDesk, number: u32) -> JoinHandle<Result<Share, DeskError>> {
    share_for(desk, UWEAR, number)
}

pub fn share_for(
    desk: &TokenDesk,
    audience: &'static str,
    number: u32,
) -> JoinHandle<Result<Share, DeskError>> {
    let desk = desk.clone();
    tokio::spawn(async move { desk.share(audience, leaf(number)).await })
}

/// Somebody who wants a token of its own, in a task of its own.
pub fn lone(desk: &TokenDesk, number: u32) -> JoinHandle<Result<Token, DeskError>> {
    let desk = desk.clone();
    tokio::spawn(async move { desk.token(lone_request(number)).await })
}

pub fn lone_request(number: u32) -> TokenRequest {
    TokenRequest::pki(LONE, &format!("lone request {number}")).unwrap()
}

/// Lets so much time pass; everything that can happen in it happens.
pub async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Checks that a share proves its own leaf in the tree that its token carries; says how many share it.
pub fn proves(share: &Share, audience: &str, number: u32) -> u32 {
    let nonce = share.proof.nonce(&leaf(number));
    assert_eq!(share.token.as_str(), format!("{audience}|{}", nonce.as_str()), "session {number}");
    assert_eq!(share.proof.size(), share.batch_size);
    share.batch_size
}

pub fn status(status: u16, text: &str) -> LauncherError {
    LauncherError::Status { socket: socket(), status, text: text.to_owned() }
}

/// What the service says of a used-up quota, as the launcher passes it on.
pub fn quota() -> LauncherError {
    let text = "failed to retrieve custom attestation service token: calling v1.VerifyConfidentialSpace in us-west1: \
                googleapi: Error 429: Quota exceeded for quota metric 'Requests'";
    status(500, text)
}

pub fn socket() -> PathBuf {
    PathBuf::from("/run/container_launcher/teeserver.sock")
}

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
