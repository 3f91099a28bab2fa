//! Whether clients should be sent here: only while tokens are to be had.
//!
//! A token that a session got says so; where none has come for a minute, USleep asks for one of its own. So an idle
//! server behind a balancer knows when the launcher is back, and cannot stay out for want of sessions. Its own requests go
//! through the same desk, within the same rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::Nonce;
use attestation::v1::HelloNonce;
use launcher::{DeskError, Failure, Token, TokenDesk, TokenRequest};
use rustls_pki_types::UnixTime;
use tracing::{debug, info, warn};

use crate::self_look::{AUDIENCE, SelfLook};

/// How long a token says that the next will come.
const FRESH: Duration = Duration::from_secs(60);

/// From a failed request of our own to the next. The desk has repeated it by then.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether tokens are to be had.
#[derive(Debug)]
pub struct Readiness {
    desk: TokenDesk,
    fresh: Duration,
    pause: Duration,
    last: Mutex<Last>,
}

/// What became of the last request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    NotYet,
    Given,
    Failed(&'static str),
}

impl session::server::Readiness for Readiness {
    fn ready(&self) -> Result<(), &'static str> {
        if self.desk.snapshot().since_success.is_some_and(|since| since <= self.fresh) {
            return Ok(());
        }
        match self.last() {
            Last::NotYet => Err("starting"),
            // The next one is on its way.
            Last::Given => Ok(()),
            Last::Failed(why) => Err(why),
        }
    }
}

impl Readiness {
    /// Not ready before the first token.
    pub fn new(desk: TokenDesk) -> Arc<Self> {
        Self::with_times(desk, FRESH, PAUSE)
    }

    fn with_times(desk: TokenDesk, fresh: Duration, pause: Duration) -> Arc<Self> {
        Arc::new(Self { desk, fresh, pause, last: Mutex::new(Last::NotYet) })
    }

    /// Asks whenever it has to, until it is dropped. The first token is also looked at.
    pub async fn keep(self: Arc<Self>, look: SelfLook) {
        let mut look = Some(look);
        loop {
            let fresh_for = self.fresh_for();
            if look.is_none() && !fresh_for.is_zero() {
                tokio::time::sleep(fresh_for).await;
                continue;
            }
            match self.ask().await {
                Ok((token, nonce)) => {
                    self.given();
                    if let Some(look) = look.take() {
                        look_apart(look, token, nonce).await;
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }

    /// How long nobody has to ask.
    fn fresh_for(&self) -> Duration {
        let since = self.desk.snapshot().since_success;
        since.map_or(Duration::ZERO, |since| self.fresh.saturating_sub(since))
    }

    /// A token of our own, and the nonce that it must carry.
    async fn ask(&self) -> Result<(Token, Nonce), DeskError> {
        let nonce = Nonce::from_text(fresh_nonce().ok_or(DeskError::Closed)?);
        let request = TokenRequest::pki(AUDIENCE, nonce.as_str())?;
        Ok((self.desk.token(request).await?, nonce))
    }

    fn last(&self) -> Last {
        // A word is whole whatever panicked while it was held.
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given(&self) {
        if self.note(Last::Given) {
            info!("ready: the launcher gives tokens");
        }
    }

    fn failed(&self, error: &DeskError) {
        let why = word(error);
        if self.note(Last::Failed(why)) {
            warn!(why, next = error.hint(), "not ready: {error}");
        } else {
            debug!(why, "still not ready: {error}");
        }
    }

    /// Remembers; whether that is news.
    fn note(&self, now: Last) -> bool {
        let before = std::mem::replace(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner), now);
        before != now
    }
}

/// Milliseconds of work, for which no session should wait.
async fn look_apart(look: SelfLook, token: Token, nonce: Nonce) {
    let span = tracing::Span::current();
    let looking = tokio::task::spawn_blocking(move || {
        span.in_scope(|| look.look(&token, nonce, UnixTime::now()).log());
    });
    // A panic is in the log already.
    let _ = looking.await;
}

/// 64 hexadecimal digits; `None`: the system gives no random bytes.
fn fresh_nonce() -> Option<String> {
    let nonce = HelloNonce::random().ok()?;
    Some(nonce.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Why there is no token, in a word that anybody may read: never the launcher's own.
fn word(error: &DeskError) -> &'static str {
    match error {
        DeskError::Launcher(error) | DeskError::Deadline { last: Some(error), .. } => {
            Failure::of(error).name()
        }
        DeskError::Quota(_) => Failure::Quota.name(),
        DeskError::Deadline { last: None, .. } => Failure::Timeout.name(),
        DeskError::Full { .. } => "busy",
        DeskError::Request(_) | DeskError::Closed => "fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicU32, Ordering};

    use launcher::{DeskOptions, LauncherError, TokenFuture, TokenSource};
    use session::server::Readiness as _;
    use tokio::time::{Instant, sleep};

    use attestation::Anchors;

    /// A launcher that gives tokens or not, and counts how often it is asked.
    #[derive(Default)]
    struct Source {
        failure: Mutex<Option<LauncherError>>,
        asked: AtomicU32,
    }

    impl Source {
        fn fail(&self, failure: Option<LauncherError>) {
            *self.failure.lock().unwrap() = failure;
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl TokenSource for Source {
        fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            assert!(request.audience() != AUDIENCE || request.nonce().len() == 64);
            let failure = self.failure.lock().unwrap().clone();
            Box::pin(async move { failure.map_or_else(|| Ok(Token::new("a.b.c").unwrap()), Err) })
        }
    }

    fn refused() -> LauncherError {
        LauncherError::Status { socket: "/x".into(), status: 400, text: "their words".into() }
    }

    fn kept(source: &Arc<Source>) -> (Arc<Readiness>, TokenDesk) {
        let desk = TokenDesk::new(Arc::clone(source) as Arc<dyn TokenSource>, DeskOptions::default());
        let readiness = Readiness::new(desk.clone());
        tokio::spawn(Arc::clone(&readiness).keep(SelfLook::new(Anchors::google())));
        (readiness, desk)
    }

    /// Waits in the clock of the test, which is ahead of everybody's.
    async fn becomes(readiness: &Readiness, wanted: Result<(), &'static str>) -> Duration {
        let start = Instant::now();
        while readiness.ready() != wanted {
            assert!(start.elapsed() < Duration::from_secs(300), "never {wanted:?}: {:?}", readiness.ready());
            sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_with_its_first_token_and_asks_for_the_next_a_minute_later() {
        let source = Arc::<Source>::default();
        let (readiness, _desk) = kept(&source);
        assert_eq!(readiness.ready(), Err("starting"));
        becomes(&readiness, Ok(())).await;
        assert_eq!(source.asked(), 1);
        sleep(FRESH - Duration::from_secs(1)).await;
        assert_eq!(source.asked(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((source.asked(), readiness.ready()), (2, Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sessions_token_spares_its_own() {
        let source = Arc::<Source>::default();
        let (readiness, desk) = kept(&source);
        becomes(&readiness, Ok(())).await;
        for _ in 0..10 {
            sleep(FRESH / 2).await;
            desk.token(TokenRequest::pki("uwear", "0123456789").unwrap()).await.unwrap();
        }
        assert_eq!(source.asked(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_ready_without_tokens_says_why_in_a_word_and_comes_back_by_itself() {
        let source = Arc::<Source>::default();
        source.fail(Some(refused()));
        let (readiness, _desk) = kept(&source);
        becomes(&readiness, Err("refused")).await;
        source.fail(None);
        assert!(becomes(&readiness, Ok(())).await <= PAUSE + Duration::from_millis(200));
        // One failure of a session says little; a minute without a token says much.
        source.fail(Some(refused()));
        assert!(becomes(&readiness, Err("refused")).await >= FRESH - Duration::from_secs(1));
        source.fail(None);
        becomes(&readiness, Ok(())).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_sessions_token_makes_it_ready_at_once() {
        let source = Arc::<Source>::default();
        source.fail(Some(refused()));
        let (readiness, desk) = kept(&source);
        becomes(&readiness, Err("refused")).await;
        source.fail(None);
        desk.token(TokenRequest::pki("uwear", "0123456789").unwrap()).await.unwrap();
        assert_eq!(readiness.ready(), Ok(()));
    }

    #[test]
    fn a_word_is_never_the_launchers_own() {
        let last = Some(refused());
        let within = Duration::from_secs(12);
        let rows = [
            (DeskError::Launcher(refused()), "refused"),
            (DeskError::Quota(refused()), "quota"),
            (DeskError::Deadline { within, last }, "refused"),
            (DeskError::Deadline { within, last: None }, "timeout"),
            (DeskError::Full { max: 1 }, "busy"),
            (DeskError::Closed, "fault"),
        ];
        for (error, wanted) in rows {
            assert_eq!(word(&error), wanted, "{error}");
        }
    }
}
