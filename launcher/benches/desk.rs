//! What the desk itself costs a session: processor time beside a launcher that answers at once.
//!
//! Wall-clock time would say little, since the desk mostly waits. Each round runs every kind one after the other, and the
//! result is the median of the rounds.
//!
//! `cargo bench --package launcher --bench desk`; it judges nothing. With `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use attestation::v1::{Leaf, MAX_BATCH};
use launcher::{DeskOptions, TOKENS_PER_SECOND, Token, TokenDesk, TokenFuture, TokenRequest, TokenSource};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A launcher that has a token at hand, of a real one's length.
struct Instantly;

impl TokenSource for Instantly {
    fn token<'a>(&'a self, _: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(async { Ok(Token::new("t".repeat(11_000)).unwrap()) })
    }
}

/// What is measured: so many sessions, each in a task of its own.
#[derive(Clone, Copy)]
enum Kind {
    /// The source asked without a desk.
    Bare,
    /// A token of its own from the desk.
    Alone,
    /// A share of a token.
    Shared,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let (rounds, sessions) = if quick { (1, 64) } else { (15, MAX_BATCH) };
    let runtime = Runtime::new().unwrap();

    let rows = [
        ("a token of its own, without a desk", Kind::Bare),
        ("a token of its own from the desk", Kind::Alone),
        ("a share of a token, 4096 at once", Kind::Shared),
    ];
    let mut took = vec![Vec::new(); rows.len()];
    for _ in 0..rounds {
        for ((_, kind), took) in rows.iter().zip(&mut took) {
            took.push(runtime.block_on(round(*kind, sessions)));
        }
    }
    for ((name, _), took) in rows.iter().zip(&mut took) {
        let (processor, wall) = (median(took, |of| of.0), median(took, |of| of.1));
        println!(
            "{name:40} {processor:7.2} us of processor time a session, {wall:7.2} us of wall-clock time"
        );
    }
}

/// Processor and wall-clock time of one session, in microseconds.
async fn round(kind: Kind, sessions: u32) -> (f64, f64) {
    let source: Arc<dyn TokenSource> = Arc::new(Instantly);
    let options = DeskOptions { tokens_per_second: *TOKENS_PER_SECOND.end(), ..DeskOptions::default() };
    let desk = TokenDesk::new(Arc::clone(&source), options);
    let (began, used) = (Instant::now(), processor_time());
    let mut tasks = JoinSet::new();
    for number in 0..sessions {
        let (desk, source) = (desk.clone(), Arc::clone(&source));
        tasks.spawn(async move {
            let request = TokenRequest::pki("uwear", NONCE).unwrap();
            match kind {
                Kind::Bare => drop(source.token(&request).await.unwrap()),
                Kind::Alone => drop(desk.token(request).await.unwrap()),
                Kind::Shared => {
                    let mut hash = [0; 32];
                    hash[..4].copy_from_slice(&number.to_be_bytes());
                    drop(desk.share("uwear", Leaf::from_bytes(hash)).await.unwrap());
                }
            }
        });
    }
    tasks.join_all().await;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(sessions);
    (each(processor_time() - used), each(began.elapsed()))
}

/// Of all threads of this process (`/proc/PID/schedstat`, Documentation/scheduler/sched-stats.rst).
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or_default()
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn median(of: &mut [(f64, f64)], part: impl Fn(&(f64, f64)) -> f64) -> f64 {
    of.sort_by(|one, other| part(one).total_cmp(&part(other)));
    part(&of[of.len() / 2])
}
