//! What is freed, and what a function leaves on the stack, is wiped: this process looks into its own memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod memory;

use std::hint::black_box;
use std::sync::Mutex;

use hardening::{WIPED_STACK_BYTES, wiping_stack};
use memory::{Canary, look};

#[global_allocator]
static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;

/// Who looks has a copy of what it looks at: one at a time.
static LOOKING: Mutex<()> = Mutex::new(());

/// Made from a number, so that it is in no file and nowhere else in this process.
fn canary(number: u64) -> Canary {
    let bytes = (number..number + 24).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    Canary::bytes(format!("canary {number}"), &bytes.collect::<Vec<u8>>())
}

fn times(canary: &Canary) -> usize {
    look(std::process::id(), std::slice::from_ref(canary)).len()
}

#[test]
fn what_is_freed_is_wiped_whatever_its_size() {
    let _alone = LOOKING.lock();
    let canary = canary(100);
    for bytes in [24, 100, 1024, 100_000, 10_000_000] {
        let mut buffer = Vec::with_capacity(bytes);
        // At the end: the allocator writes its own lists over the beginning of what is free.
        buffer.resize(bytes - 24, 0);
        buffer.extend(canary.exposed());
        assert_eq!(times(&canary), 1, "{bytes}: it can be found");
        drop(buffer);
        assert_eq!(times(&canary), 0, "{bytes}");
    }
}

#[test]
fn a_buffer_that_grows_or_shrinks_leaves_no_copy_behind() {
    let _alone = LOOKING.lock();
    let canary = canary(200);
    let mut buffer: Vec<u8> = Vec::with_capacity(100);
    buffer.resize(60, 0);
    buffer.extend(canary.exposed());
    let mut neighbours = Vec::new();
    for bytes in [200, 1000, 50_000, 300_000, 5_000_000] {
        // Takes the place behind it, so that it cannot grow where it is.
        neighbours.push(vec![1_u8; 200]);
        buffer.reserve_exact(bytes);
        assert_eq!(times(&canary), 1, "{bytes}: in the buffer alone");
    }
    buffer.shrink_to_fit();
    assert_eq!(times(&canary), 1, "in the buffer alone");
    drop(buffer);
    assert_eq!(times(&canary), 0);
}

#[test]
fn memory_that_was_asked_for_as_zeros_is_wiped_too() {
    let _alone = LOOKING.lock();
    let canary = canary(300);
    let mut buffer = vec![0_u8; 50_000];
    // Keeps the allocator from giving it back to the system.
    let _neighbour = Box::new([1_u8; 200]);
    for (to, byte) in buffer.iter_mut().skip(40_000).zip(canary.exposed()) {
        *to = byte;
    }
    assert_eq!(times(&canary), 1, "it can be found");
    drop(buffer);
    assert_eq!(times(&canary), 0);
}

/// Leaves it so deep on the stack that looking for it does not reach there.
#[inline(never)]
fn leave_on_the_stack(canary: &Canary) {
    let mut frame = [0_u8; WIPED_STACK_BYTES * 7 / 8];
    for (to, byte) in frame.iter_mut().zip(canary.exposed()) {
        *to = byte;
    }
    black_box(&mut frame);
}

#[test]
fn what_is_left_on_the_stack_is_wiped_also_after_a_panic() {
    let _alone = LOOKING.lock();
    let canary = canary(400);
    leave_on_the_stack(&canary);
    assert_ne!(times(&canary), 0, "it can be found");
    wiping_stack(|| leave_on_the_stack(&canary));
    assert_eq!(times(&canary), 0);

    let panicked = std::panic::catch_unwind(|| {
        wiping_stack(|| {
            leave_on_the_stack(&canary);
            panic!("on purpose")
        })
    });
    assert!(panicked.is_err());
    assert_eq!(times(&canary), 0);
}
