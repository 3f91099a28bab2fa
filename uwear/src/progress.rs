//! How far something has come that takes longer than a moment, on the owner's terminal and nowhere else.

use std::io::{IsTerminal as _, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less needs no bar.
const SOON: Duration = Duration::from_secs(2);

/// A bar on standard error once it has taken [`SOON`], if both outputs are a terminal: in a file or a pipe it is of no use.
/// Gone when it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    may_show: bool,
}

impl Progress {
    /// Of so many bytes, where that is known.
    pub(crate) fn of_bytes(what: &'static str, length: Option<u64>) -> Self {
        let bar = match length {
            Some(length) => ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden()),
            None => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        };
        let template = match length {
            Some(_) => "{prefix} {wide_bar} {bytes} of {total_bytes}  {msg}  {eta} left",
            None => "{prefix} {spinner} {bytes}  {msg}",
        };
        // A template that is none leaves the bar as it comes.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        let may_show = stderr().is_terminal() && stdout().is_terminal();
        Self { bar, begun: Instant::now(), may_show }
    }

    /// The same, but never shown.
    pub(crate) fn hidden(mut self) -> Self {
        self.may_show = false;
        self
    }

    /// So many bytes further.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.bar.inc(bytes as u64);
        if self.may_show && self.bar.is_hidden() && self.begun.elapsed() >= SOON {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// A word beside the bar.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
