//! What the project's load benches share: the programs as processes of their own, clients that come back as soon as
//! they are done, and what each process spent.
//!
//! Each bench is one executable that plays every part: run with a [`roles`] argument it is USleep or the mocked
//! launcher, else it is the clients and the judge. So all parts are built with the same optimisation, and each
//! part's processor time can be read from its own process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A bench that cannot measure has nothing to say.

pub mod bare;
pub mod clients;
pub mod framing;
pub mod nights;
pub mod peers;
pub mod process;
pub mod roles;
pub mod stats;
