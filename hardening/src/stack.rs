//! What functions leave on the stack when they return.

use std::future::{Future, poll_fn};
use std::pin::pin;

use zeroize::zeroize_stack;

/// How much of the stack [`wiping_stack`] wipes, in bytes. The keys of a handshake are found
/// at most 15 KiB below the function that is wrapped, and several times as deep in a build without optimisation.
pub const WIPED_STACK_BYTES: usize = if cfg!(debug_assertions) { 256 * 1024 } else { 32 * 1024 };

/// Does `work`, then overwrites the [`WIPED_STACK_BYTES`] of this thread's stack on which it was done, also if it
/// panics: copies of numbers, texts being parsed or written, everything that nobody can wipe by name.
///
/// What `work` returns is not wiped, and should hold secrets behind a pointer at most. For work that waits there is
/// [`wiping_stacks`].
pub fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let _wipe = WipeOnDrop;
    apart(work)
}

/// Does `work`, which may wait and go on on other threads, and wipes their stacks as [`wiping_stack`] does, each time
/// before it waits and when it is done or dropped.
pub async fn wiping_stacks<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| wiping_stack(|| work.as_mut().poll(context))).await
}

/// A frame of its own, below the caller's, where it will be overwritten.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

struct WipeOnDrop;

impl Drop for WipeOnDrop {
    fn drop(&mut self) {
        zeroize_stack::<WIPED_STACK_BYTES>();
    }
}
