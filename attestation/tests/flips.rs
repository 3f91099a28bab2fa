//! No token that differs from a genuine one in a single bit, or lacks one of its ends, verifies.
//!
//! Every bit of a whole token of Google's size is flipped: about 90 000 tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod catalogue;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use attestation::{Anchors, Check, Expectation, Token, Verifier};
use rustls_pki_types::UnixTime;

use catalogue::Forge;

const NOW: u64 = 1_750_688_561;

/// How many tokens ended at which check.
type Ends = BTreeMap<Check, usize>;

struct Target {
    token: String,
    verifier: Verifier,
    now: UnixTime,
}

impl Target {
    fn new() -> Self {
        let forge = Forge::new(NOW);
        let verifier = Verifier::new(Anchors::from_der([forge.root()]).unwrap(), Expectation::default());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        let target = Self { token: forge.token(), verifier, now };
        assert!(target.verify(&target.token).is_ok());
        assert!((10_000..=11_500).contains(&target.token.len()), "{} bytes", target.token.len());
        target
    }

    fn verify(&self, token: &str) -> Result<(), Check> {
        let token = Token::new(token).unwrap();
        self.verifier.verify(&token, self.now).map(drop).map_err(|error| error.check())
    }

    /// Flips all bits of these bytes, one at a time.
    fn flip(&self, bytes: Range<usize>) -> Ends {
        let mut ends = Ends::new();
        let mut flipped = self.token.clone().into_bytes();
        for (at, bit) in bytes.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            flipped[at] ^= 1 << bit;
            // What is not UTF-8 is no text message and cannot become a token at all.
            let check = match std::str::from_utf8(&flipped) {
                Err(_) => Check::Shape,
                Ok(text) => match self.verify(text) {
                    Err(check) => check,
                    Ok(()) => panic!("verifies with bit {bit} of byte {at} flipped"),
                },
            };
            *ends.entry(check).or_default() += 1;
            flipped[at] ^= 1 << bit;
        }
        ends
    }

    /// The same by several threads.
    fn flip_in_parallel(&self, bytes: Range<usize>) -> Ends {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let share = bytes.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let shares = bytes.clone().step_by(share);
            let running: Vec<_> = shares
                .map(|from| scope.spawn(move || self.flip(from..bytes.end.min(from + share))))
                .collect();
            let mut all = Ends::new();
            for ends in running.into_iter().map(|thread| thread.join().unwrap()) {
                for (check, count) in ends {
                    *all.entry(check).or_default() += count;
                }
            }
            all
        })
    }
}

#[test]
fn every_single_bit_flip_of_a_token_is_refused_before_any_claim_is_read() {
    let target = Target::new();
    let header_end = target.token.find('.').unwrap();
    let payload_end = target.token.rfind('.').unwrap();

    let header = target.flip_in_parallel(0..header_end);
    let payload = target.flip_in_parallel(header_end..payload_end);
    let signature = target.flip_in_parallel(payload_end..target.token.len());
    println!("header {header:?}\npayload {payload:?}\nsignature {signature:?}");

    assert_eq!(header.values().sum::<usize>(), header_end * 8);
    assert!(header.keys().all(|check| *check <= Check::Signature), "{header:?}");
    assert_eq!(payload.values().sum::<usize>(), (payload_end - header_end) * 8);
    assert_eq!(signature.values().sum::<usize>(), (target.token.len() - payload_end) * 8);
    for ends in [payload, signature] {
        assert_eq!(ends.into_keys().collect::<Vec<_>>(), [Check::Shape, Check::Signature]);
    }
}

#[test]
fn every_truncation_of_a_token_is_refused_at_either_end() {
    let target = Target::new();
    for cut in 0..target.token.len() {
        let (head, tail) = target.token.split_at(cut);
        assert!(target.verify(head).is_err(), "the first {cut} bytes verify");
        assert!(cut == 0 || target.verify(tail).is_err(), "without its first {cut} bytes it verifies");
    }
}
