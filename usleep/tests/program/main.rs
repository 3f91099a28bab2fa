//! The program as its operator meets it. Its tests wait more than they work, so they wait together, in one executable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod life;
mod metrics;
mod unread;
