//! How much memory a stream of nights takes: a hundred thousand take that of the first thousand.
//!
//! Counted by the allocator, so this program is one test and has no harness, whose threads would count too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use peak_alloc::PeakAlloc;
use sleep::{Nights, RuleSet};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Nights in one message, and messages.
const NIGHTS: u32 = 1000;
const MESSAGES: u32 = 100;

fn main() {
    let message = |first: u32| -> String {
        let line = |number: u32| {
            let light = 200 + number * 7 % 97;
            format!(
                "{{\"name\":\"Amy\",\"age\":29,\"sleep\":{{\"light\":{{\"minutes\":{light}.25}},\"deep\":{{\"minutes\":80}},\"rem\":{{\"minutes\":110}}}}}}\n"
            )
        };
        (first..first + NIGHTS).map(line).collect()
    };
    // What is allocated once in a program's life is not counted.
    Nights::new(RuleSet::Recommended).push(message(0).as_bytes()).unwrap();
    let mut nights = Nights::new(RuleSet::Recommended);
    // What is held after each message, and the most that was held while it was read.
    let mut step = |first: u32| {
        let message = message(first);
        // Cut within a line, so that the beginning of a line waits each time.
        let (one, other) = message.as_bytes().split_at(message.len() - 50);
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        for part in [one, other] {
            let results = nights.push(part).unwrap();
            assert!(results.to_json().unwrap().len() <= message.len() + 256);
        }
        (ALLOCATOR.current_usage() - before, ALLOCATOR.peak_usage() - before)
    };
    let (held, most_of_first) = step(0);
    // Of the person only: a name of the longest there can be.
    assert!(held <= 256, "{held}");
    for at in 1..MESSAGES {
        let (held, most) = step(at * NIGHTS);
        assert_eq!(held, 0, "message {at}");
        assert!(most <= most_of_first, "message {at}: {most}, the first: {most_of_first}");
    }
    assert_eq!(nights.finish().unwrap().nights(), NIGHTS * MESSAGES);
    println!("{most_of_first} bytes at most for each message of {NIGHTS} nights, {held} bytes held");
}
