//! What a process does so that nothing of the data it held is left behind: in freed memory, on its stack, in
//! a core file, in the words of a panic.
//!
//! A program that holds PHI begins like this:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: hardening::WipingAllocator = hardening::WIPING_ALLOCATOR;
//!
//! fn main() -> Result<(), hardening::NotHardened> {
//!     hardening::begin()?;
//!     // …
//! #   Ok(())
//! }
//! ```
//!
//! What it does not reach: memory that is still in use, registers, what the kernel holds for sockets and pipes,
//! and pages that the system has written to swap.

mod stack;

use std::alloc::System;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroizing_alloc::ZeroAlloc;

pub use stack::{WIPED_STACK_BYTES, wiping_stack, wiping_stacks};

/// The system's allocator, which wipes what is given back to it, for all that the program and its libraries
/// allocate through Rust. A buffer that grows is copied to a new place, and the old one wiped.
pub type WipingAllocator = ZeroAlloc<System>;

/// The one value of [`WipingAllocator`], for `#[global_allocator]`.
pub const WIPING_ALLOCATOR: WipingAllocator = ZeroAlloc(System);

/// The system did not let the process protect itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHardened {
    /// Core dumps stay possible.
    #[error(
        "core dumps cannot be turned off: {0}; allow setrlimit(RLIMIT_CORE) in the sandbox that runs this program"
    )]
    CoreDumps(rustix::io::Errno),
    /// The process can still be traced and read by its user.
    #[error(
        "the process can still be traced: {0}; allow prctl(PR_SET_DUMPABLE) in the sandbox that runs this program"
    )]
    Dumpable(rustix::io::Errno),
}

/// To be called first of all, before there is anything to protect: no core dumps, no tracing and no reading of this
/// process' memory by others of the same user, and panics that say where and nothing else.
///
/// Both limits are needed: a core pattern that pipes to a program (core(5)) ignores the size limit, and a
/// privileged tracer ignores that the process is not dumpable. Both last until the next `execve`.
///
/// # Errors
/// [`NotHardened`]; a program that gets it should end.
pub fn begin() -> Result<(), NotHardened> {
    report_panics(|place| {
        // Nobody may be reading.
        let _ = writeln!(io::stderr(), "panicked at {place}");
    });
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(NotHardened::CoreDumps)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(NotHardened::Dumpable)
}

/// From now on a panic is reported by its place in the source alone, file, line and column: its words may quote
/// what was being worked on, and so may a backtrace's.
pub fn report_panics(report: impl Fn(&str) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |panic| {
        report(&panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string));
    }));
}

/// Standard input without the buffer of [`std::io::stdin`], which keeps a copy of what has passed through it for as long
/// as the process lives. Not to be mixed with that one.
///
/// # Errors
/// The system's, if there is no standard input or no descriptor left.
pub fn unbuffered_stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}
