//! Looks for canaries in all that a process can read of its own memory, through `/proc/PID/mem` (proc(5)).

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::ptr;

/// Read at once, in bytes.
const PIECE: usize = 1024 * 1024;
const PAGE: usize = 4096;

/// Bytes that nothing else has by chance. Kept inverted, so that a process that looks into itself does not find
/// what it looks with.
pub struct Canary {
    pub name: String,
    inverted: Vec<u8>,
}

impl Canary {
    pub fn bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let name = name.into();
        assert!(bytes.len() >= 8, "{name}: too short to be no chance");
        Self { name, inverted: bytes.iter().map(|byte| !byte).collect() }
    }

    pub fn text(text: &str) -> Self {
        Self::bytes(text, text.as_bytes())
    }

    /// As the processor has it.
    pub fn number(number: f64) -> Self {
        Self::bytes(format!("{number} as f64"), &number.to_le_bytes())
    }

    /// The bytes themselves, to be put somewhere.
    pub fn exposed(&self) -> impl Iterator<Item = u8> {
        self.inverted.iter().map(|byte| !byte)
    }

    fn begins(&self, bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.get(..self.inverted.len()) else { return false };
        bytes.iter().zip(&self.inverted).all(|(byte, inverted)| *byte == !inverted)
    }
}

/// A canary, and where it is.
#[derive(PartialEq)]
pub struct Found {
    pub canary: String,
    address: u64,
    /// The rest of its line in `/proc/PID/maps`: rights and, where it has one, the name.
    mapping: String,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:x} in {}", self.canary, self.address, self.mapping)
    }
}

/// Whether the memory of this process may be read, which takes CAP_SYS_PTRACE where it is not dumpable. Says so where it
/// may not; where that must not be, a failure.
pub fn may_look(process: u32, program: &str) -> bool {
    if File::open(format!("/proc/{process}/mem")).is_ok() {
        return true;
    }
    let missing = format!("the memory of {program} was not looked into: that takes root or CAP_SYS_PTRACE");
    let must = ["CI", "CANARY_MUST_RUN"].into_iter().find(|name| std::env::var_os(name).is_some());
    assert_eq!(must, None, "{missing}");
    // Not by a macro: what those of a test print is not shown when it succeeds.
    io::stderr().write_all(format!("SKIPPED: {missing}; try unshare --map-root-user\n").as_bytes()).unwrap();
    false
}

/// Every place where one of `canaries` is.
pub fn look(process: u32, canaries: &[Canary]) -> Vec<Found> {
    let searched = Searched::new(canaries);
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut piece = vec![0; PIECE];
    // Who looks into itself finds what it has just read, too.
    let own = if process == std::process::id() { piece.as_ptr_range() } else { ptr::null()..ptr::null() };
    let own = own.start.addr() as u64..own.end.addr() as u64;
    let mut found = Vec::new();
    for line in fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
        let (range, mapping) = line.split_once(' ').unwrap();
        // What is mapped from a file and cannot be written is as it was when the program started.
        let from_a_file = mapping.starts_with("r-") && mapping.contains(" /");
        if !mapping.starts_with('r') || from_a_file {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut from, to) = (address(from), address(to));
        while from < to {
            let bytes = &mut piece[..PIECE.min(usize::try_from(to - from).unwrap())];
            if read(&memory, bytes, from).is_err() {
                // The kernel's own pages, such as [vvar], and what has been unmapped meanwhile.
                break;
            }
            searched.each_in(bytes, |canary, at| {
                let (canary, address, mapping) = (canary.name.clone(), from + at as u64, mapping.to_owned());
                if !own.contains(&address) {
                    found.push(Found { canary, address, mapping });
                }
            });
            // What lies across the end is wholly in the next piece.
            let overlap = if from + (bytes.len() as u64) < to { searched.longest - 1 } else { 0 };
            from += (bytes.len() - overlap) as u64;
        }
    }
    found
}

/// The names of those that are anywhere in `bytes`.
pub fn names_in(bytes: &[u8], canaries: &[Canary]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    Searched::new(canaries).each_in(bytes, |canary, _| {
        found.insert(canary.name.clone());
    });
    found
}

struct Searched<'c> {
    canaries: &'c [Canary],
    /// Which two bytes one of them begins with.
    beginnings: Vec<bool>,
    longest: usize,
}

impl<'c> Searched<'c> {
    fn new(canaries: &'c [Canary]) -> Self {
        let mut beginnings = vec![false; 1 << 16];
        for canary in canaries {
            beginnings[first_two(!canary.inverted[0], !canary.inverted[1])] = true;
        }
        let longest = canaries.iter().map(|canary| canary.inverted.len()).max().unwrap();
        Self { canaries, beginnings, longest }
    }

    fn each_in(&self, bytes: &[u8], mut found: impl FnMut(&Canary, usize)) {
        let mut at = 0;
        while at + 1 < bytes.len() {
            // Most of a process' memory is zeros.
            if at % PAGE == 0 && bytes[at..].starts_with(&[0; PAGE]) {
                at += PAGE;
                continue;
            }
            if self.beginnings[first_two(bytes[at], bytes[at + 1])] {
                for canary in self.canaries.iter().filter(|canary| canary.begins(&bytes[at..])) {
                    found(canary, at);
                }
            }
            at += 1;
        }
    }
}

fn first_two(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

fn address(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

fn read(memory: &File, mut piece: &mut [u8], mut from: u64) -> io::Result<()> {
    while !piece.is_empty() {
        let read = memory.read_at(piece, from)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece = &mut piece[read..];
        from += read as u64;
    }
    Ok(())
}
