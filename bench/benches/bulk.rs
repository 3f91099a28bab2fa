//! Bulk PHI: what the frames of a stream cost beside raw TLS, what all of its work costs, and whether memory stays flat.
//!
//! The frames alone are judged by the processor time of both ends for each MiB, as the median of rounds in which raw and
//! framed take turns. Wall time stands beside it and is not judged: two ends on two cores that others use too are once
//! side by side and once one after the other, which moves it by half and processor time by a tenth.
//!
//! `cargo bench --package bench --bench bulk`; with `-- --test` it only runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::time::Duration;

use bench::clients::Judge;
use bench::framing::{self, Ends, Messages, Spent, Way};
use bench::nights::{self, Parts, Resident, Streamed};
use bench::roles::{self, Pair};
use bench::stats::{Limit, judge, median};

/// As in what ships.
#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

const MIB: usize = 1 << 20;

/// Lengths of messages in bytes.
const SIZES: [usize; 3] = [64 << 10, 256 << 10, MIB];

/// How much memory may grow in MiB, if that is more than a tenth.
const GROWTH: f64 = 2.0;

fn main() -> ExitCode {
    if let Some(ended) = framing::play().or_else(roles::play) {
        return ended;
    }
    let judged = !std::env::args().any(|argument| argument == "--test");
    let (rounds, bytes, all) = if judged { (15, 96 * MIB, 1024 * MIB) } else { (1, 2 * MIB, 4 * MIB) };
    let ends = Ends::start();

    println!(
        "frames alone: raw TLS and frames in turns, {rounds} rounds of {} MiB for each length",
        bytes / MIB
    );
    let alone = SIZES.map(|size| frames_alone(&ends, size, bytes, rounds));

    println!("\nall of a stream: {} MiB of nights for each length", all / MIB);
    let owner = Judge::of_the_mock();
    let streams = SIZES.map(|size| whole_stream(&ends, &owner, size, all, bytes));

    println!();
    let mut within = true;
    for (size, ratio) in SIZES.iter().zip(alone) {
        let name = format!("processor time, raw TLS to frames alone, messages of {} KiB", size >> 10);
        within &= judge(&name, ratio, Limit::AtLeast(0.85));
    }
    for (size, streamed) in SIZES.iter().zip(streams) {
        for (process, Resident { settled, most, end }) in ["usleep", "sender"].iter().zip(streamed.resident) {
            let [settled, most, end] = [settled, most, end].map(|bytes| mib(bytes as f64));
            let name = format!(
                "growth of {process}, messages of {} KiB, in MiB resident, from {settled:.1} after 64 MiB, {most:.1} at most",
                size >> 10
            );
            within &= judge(&name, end - settled, Limit::AtMost((settled * 0.1).max(GROWTH)));
        }
    }
    if within || !judged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Raw TLS and frames in turns; gives the median ratio of their processor time.
fn frames_alone(ends: &Ends, size: usize, bytes: usize, rounds: usize) -> f64 {
    let messages = Messages { size, count: bytes / size, answer: None };
    let turns: Vec<(Spent, Spent)> =
        (0..rounds).map(|_| (ends.send(Way::Raw, messages), ends.send(Way::Framed, messages))).collect();
    let of = |value: fn(&(Spent, Spent)) -> f64| median(turns.iter().map(value).collect());
    let speed = |seconds: f64| bytes as f64 / 1e6 / seconds;
    let each = |seconds: f64| seconds * 1e6 / mib(bytes as f64);
    let ratio = of(|(raw, framed)| raw.processor / framed.processor);
    println!(
        "{:>5} KiB  raw {:>6.0} MB/s, {:>6.1} us/MiB  framed {:>6.0} MB/s, {:>6.1} us/MiB  \
         ratio of speeds {:.3}, of processor time {ratio:.3}",
        size >> 10,
        speed(of(|(raw, _)| raw.seconds)),
        each(of(|(raw, _)| raw.processor)),
        speed(of(|(_, framed)| framed.seconds)),
        each(of(|(_, framed)| framed.processor)),
        of(|(raw, framed)| raw.seconds / framed.seconds),
    );
    let answered = Messages { answer: Some(2), ..messages };
    let turns = (0..rounds.div_ceil(3)).map(|_| {
        let raw = ends.send(Way::Raw, answered);
        raw.processor / ends.send(Way::Framed, answered).processor
    });
    println!(
        "           each message answered before the next but one is sent: {:.3}",
        median(turns.collect())
    );
    ratio
}

/// A stream through the real session to the real USleep, and its parts, each alone over messages of the same length.
fn whole_stream(ends: &Ends, owner: &Judge, size: usize, all: usize, bytes: usize) -> Streamed {
    let message = nights::message(size);
    let pair = Pair::start(Duration::ZERO, false, &["--max-phi-total=4294967296"]);
    let streamed = nights::stream(&pair, owner, &message, all / message.len());
    let Parts { commitment, analysis, wiping, results } = nights::parts(&message, bytes / message.len());
    let crossing = |way, answer| {
        let messages = Messages { size, count: bytes / size, answer };
        median((0..3).map(|_| ends.send(way, messages).processor / bytes as f64).collect())
    };
    let answer = Some((results * size as f64) as usize);
    let (tls, frames) = (crossing(Way::Raw, answer), crossing(Way::Framed, answer));

    let [usleep, sender] = streamed.processor;
    let each = (usleep + sender) / streamed.bytes as f64;
    let us = |seconds_a_byte: f64| seconds_a_byte * 1e6 * MIB as f64;
    println!(
        "{:>5} KiB  {:.0} MB/s, results {:.2} of the nights; processor time a MiB: {:.0} us, of it usleep {:.0}, sender {:.0}",
        size >> 10,
        streamed.bytes as f64 / 1e6 / streamed.seconds,
        streamed.results as f64 / streamed.bytes as f64,
        us(each),
        us(usleep / streamed.bytes as f64),
        us(sender / streamed.bytes as f64),
    );
    let known = [
        ("TLS, there and back", tls),
        ("frames", frames - tls),
        ("commitments", commitment),
        ("parsing and analysis", analysis),
        ("wiping", wiping),
    ];
    let rest = each - known.iter().map(|(_, part)| part).sum::<f64>();
    for (name, part) in known.into_iter().chain([("the rest", rest)]) {
        println!("           {name:<21} {:>6.0} us {:>5.1} %", us(part), part / each * 100.0);
    }
    streamed
}

fn mib(bytes: f64) -> f64 {
    bytes / MIB as f64
}
