//! USleep, the workload: analyses health data inside a Confidential Space VM.
//!
//! [`serve`] is the server, [`analyze`] applies the same rules to a file. What is written, and where:
//! [`report`] is the program's report on standard output, [`logging`] the operator's log on standard
//! error. Neither ever holds health data; the cargo feature `walkthrough` adds the one flag that does,
//! and what ships is built without it.

pub mod analyze;
pub mod clients;
pub mod identity;
mod json_log;
pub mod logging;
pub mod metrics;
pub mod operation;
mod output;
pub mod readiness;
pub mod report;
pub mod self_look;
pub mod serve;
#[cfg(feature = "walkthrough")]
pub mod walkthrough;
pub mod workload;
