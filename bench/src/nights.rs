//! Made-up nights through a real session to a real USleep, and each part of that work on its own.

use std::fmt::Write as _;
use std::time::Instant;

use attestation::Phi;
use attestation::v1::CommitmentKey;
use rustix::time::{ClockId, clock_gettime};
use session::{ConnectOptions, Endpoint, Wire};
use sleep::{Nights, RuleSet};
use tokio::runtime::Builder;
use zeroize::{Zeroize, Zeroizing};

use crate::clients::{self, Judge};
use crate::process::{resident_bytes, run_seconds};
use crate::roles::Pair;

/// After so many bytes of PHI everything that grows has grown.
const SETTLED: usize = 64 << 20;

/// A message of made-up nights, a line each: at most `size` bytes, and less than a line below it.
pub fn message(size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size);
    for number in 0.. {
        let minutes = |most: usize, step: usize| (number * step % (most * 10)) as f64 / 10.0;
        let mut line = String::new();
        writeln!(
            line,
            "{{\"name\":\"Amy\",\"age\":29,\"sleep\":{{\"light\":{{\"minutes\":{}}},\"deep\":{{\"minutes\":{}}},\"rem\":{{\"minutes\":{}}}}}}}",
            200.0 + minutes(150, 7),
            60.0 + minutes(90, 11),
            50.0 + minutes(80, 13)
        )
        .unwrap();
        if text.len() + line.len() > size {
            break;
        }
        text.push_str(&line);
    }
    text.into_bytes()
}

/// What a stream cost and left.
#[derive(Debug)]
pub struct Streamed {
    /// PHI that was sent, in bytes.
    pub bytes: usize,
    /// Results that came, in bytes.
    pub results: usize,
    /// From the first message to the last result, in seconds.
    pub seconds: f64,
    /// Processor time of USleep and of the sender, in seconds.
    pub processor: [f64; 2],
    /// Resident memory of USleep and of the sender.
    pub resident: [Resident; 2],
}

/// Streams so many messages; this thread is the sender.
pub fn stream(pair: &Pair, judge: &Judge, message: &[u8], count: usize) -> Streamed {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let endpoint: Endpoint = format!("127.0.0.1:{}", pair.port).parse().unwrap();
    let options = ConnectOptions { wire: Wire::V1, ..ConnectOptions::default() };
    let phi = || Phi::new(Zeroizing::new(message.to_vec())).unwrap();
    let spent = || [run_seconds(&pair.usleep.id().to_string()), run_seconds("self")];
    runtime.block_on(async {
        let approved = clients::approved(&endpoint, &options, judge).await.unwrap();
        let (before, begun) = (spent(), Instant::now());
        let mut streaming = approved.release_stream(phi()).await.unwrap();
        let (mut results, mut memory) = (0, Memory::default());
        for number in 1..count {
            let (next, result) = streaming.send(phi()).await.unwrap();
            streaming = next;
            results += result.expose().len();
            memory.look(pair, number * message.len());
        }
        let (streamed, result) = streaming.end().await.unwrap();
        results += result.expose().len();
        let (seconds, after) = (begun.elapsed().as_secs_f64(), spent());
        memory.look_now(pair);
        let answer = streamed.summary().await.unwrap();
        assert!(answer.receipted().is_some(), "no receipt");
        Streamed {
            bytes: message.len() * count,
            results,
            seconds,
            processor: [after[0] - before[0], after[1] - before[1]],
            resident: memory.of_both,
        }
    })
}

/// Resident memory of a process over time, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// Once 64 MiB of PHI have gone by.
    pub settled: u64,
    /// The most after that.
    pub most: u64,
    /// At the end.
    pub end: u64,
}

/// Looks at both ends from [`SETTLED`] on, each time that as much has gone by.
#[derive(Default)]
struct Memory {
    looks: usize,
    of_both: [Resident; 2],
}

impl Memory {
    fn look(&mut self, pair: &Pair, sent: usize) {
        if sent / SETTLED > self.looks {
            self.look_now(pair);
        }
    }

    fn look_now(&mut self, pair: &Pair) {
        let now = [pair.usleep.resident_bytes(), resident_bytes("self")];
        for (of_one, now) in self.of_both.iter_mut().zip(now) {
            if self.looks == 0 {
                of_one.settled = now;
            }
            of_one.most = now.max(of_one.most);
            of_one.end = now;
        }
        self.looks += 1;
    }
}

/// Processor time of the parts of a stream, each on its own over the same bytes, in seconds for each byte of PHI at both
/// ends together.
#[derive(Debug)]
pub struct Parts {
    /// HMAC-SHA-256 over PHI and results, at both ends.
    pub commitment: f64,
    /// Reading, judging, and writing the results, at USleep.
    pub analysis: f64,
    /// Wiping the buffers of PHI, two, and of results, three, beside what the allocator does.
    pub wiping: f64,
    /// Length of the results to that of the PHI.
    pub results: f64,
}

/// Measures them over so many messages.
pub fn parts(message: &[u8], count: usize) -> Parts {
    let mut nights = Nights::new(RuleSet::Recommended);
    let mut result = Zeroizing::new(Vec::new());
    let bytes = (message.len() * count) as f64;
    let analysis = timed(|| {
        for _ in 0..count {
            result = nights.push(message).unwrap().to_json().unwrap();
        }
    });
    let results = result.len() as f64 / message.len() as f64;

    let key = CommitmentKey::random().unwrap();
    let (mut phi, mut of_results) = (key.commit_phi(), key.commit_result());
    let commitment = timed(|| {
        for _ in 0..count {
            phi.update(message);
            of_results.update(&result);
        }
    });
    let _ = (phi.finish(), of_results.finish());

    let mut wiping = 0.0;
    for _ in 0..count {
        let mut buffers = [
            Zeroizing::new(message.to_vec()),
            Zeroizing::new(message.to_vec()),
            result.clone(),
            result.clone(),
            result.clone(),
        ];
        wiping += timed(|| buffers.iter_mut().for_each(Zeroize::zeroize));
    }
    Parts {
        commitment: 2.0 * commitment / bytes,
        analysis: analysis / bytes,
        wiping: wiping / bytes,
        results,
    }
}

/// Processor time of this thread's work in seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let spent = clock_gettime(ClockId::ThreadCPUTime) - before;
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
