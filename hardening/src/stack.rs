//! What functions leave on the stack when they return.

use zeroize::Zeroize as _;

/// How much of the stack [`wiping_stack`] wipes, in bytes. Reading a night, analysing it and writing the result
/// reaches a fifth of it in a build without optimisation.
pub const WIPED_STACK_BYTES: usize = 64 * 1024;

/// Does `work`, then overwrites the [`WIPED_STACK_BYTES`] of this thread's stack on which it was done, also if it
/// panics: copies of numbers, texts being parsed or written, everything that nobody can wipe by name.
///
/// What `work` returns is not wiped, and should hold PHI behind a pointer at most. Work that waits for anything is done
/// by several threads, each with a stack of its own; this is for the part in between.
pub fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let _wipe = WipeOnDrop;
    apart(work)
}

/// A frame of its own, below the caller's, where it will be overwritten.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

struct WipeOnDrop;

impl Drop for WipeOnDrop {
    fn drop(&mut self) {
        wipe();
    }
}

#[inline(never)]
fn wipe() {
    // Volatile writes, so that none is left out because nobody reads them; of words, so that there are few.
    [0_u64; WIPED_STACK_BYTES / size_of::<u64>()].zeroize();
}
