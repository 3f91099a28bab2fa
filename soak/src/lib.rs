//! Bad days, played over and over: real programs under load, while launchers, servers and owners are killed, the network is
//! cut, descriptors run out and hundreds of peers dawdle. Nothing that ships depends on it.
//!
//! - [`Stand`](stand::Stand): a mocked launcher and a USleep, each a process of its own, and the owners who ask it.
//! - [`scenes`]: one kind of bad day each. A scene says which ends of its sessions are right, and counts them all.
//! - [`rounds`]: every scene in a random order, again and again, and what must hold after each round.
//! - [`Account`](account::Account): every session that was asked for has exactly one end, by name.
//!
//! All chance comes from one seed, which is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A fault suite that cannot run has nothing to say.

pub mod account;
pub mod launcher;
pub mod network;
pub mod owners;
pub mod peers;
pub mod programs;
pub mod proofs;
pub mod relay;
pub mod rounds;
pub mod scenes;
pub mod sessions;
pub mod stand;
pub mod usleep;
