//! What a function leaves on the stack when it returns.

use zeroize::Zeroize as _;

/// How much of the stack [`wipe_stack`] wipes, in bytes. Parsing a night, analysing it and writing the result
/// reach WIP deep in a build without optimisation.
pub const WIPED_STACK_BYTES: usize = 64 * 1024;

/// Overwrites the next [`WIPED_STACK_BYTES`] of this thread's stack: what the functions that the caller has called
/// before have left there.
///
/// To be called by the very function that called them, with nothing asynchronous in between: another thread has
/// another stack.
#[inline(never)]
pub fn wipe_stack() {
    // Volatile writes, so that none is left out because nobody reads them; of words, so that there are few.
    [0_u64; WIPED_STACK_BYTES / size_of::<u64>()].zeroize();
}
