//! What both ends know of sleep data: one night in, one result out; or many nights, a result for each and a summary.
//!
//! USleep analyses with it; UWear checks with it that what it is about to release is a night at all, before
//! anything leaves, and reads the result.
//!
//! Everything here is a function of its input: no clock, no files, no sockets, no logs, and no panic
//! on any bytes. Nothing of the input reaches an error or a `Debug`.
//!
//! - [`Night`] is an input that has been checked: it cannot hold a night that makes no sense.
//! - [`codelab()`] and [`recommended()`] are the two sets of rules, [`RuleSet`] names one of them.
//! - [`Analysis`] is the result message, which always carries what both sets say.
//! - [`Nights`] is a stream of nights of one person; [`NightResults`] and [`Summary`] are its messages.

mod codelab;
mod durations;
mod input;
mod nights;
mod reader;
mod recommended;
mod result;
mod rules;
mod stages;

pub use codelab::codelab;
pub use input::{InputError, MAX_AGE_YEARS, MAX_NAME_BYTES, MAX_NIGHT_MINUTES, Night, Shares};
pub use nights::{MAX_NIGHT_LINE_BYTES, NightResults, Nights, NightsError, Summary};
pub use recommended::recommended;
pub use result::{Analysis, NotAResult};
pub use rules::RuleSet;
