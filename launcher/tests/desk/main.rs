//! The token desk: what it asks for, when, and who is told what. Time is tokio's paused clock: it passes only while
//! everybody waits, and nothing here waits for real.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod batches;
mod fairness;
mod limits;
mod mock;
mod properties;
mod rate;
mod retries;
mod script;
