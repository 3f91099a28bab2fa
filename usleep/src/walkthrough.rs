//! `--unsafe-log-phi`: shows what was received and what came of it, for a walk-through with made-up data.
//!
//! Exists only under the cargo feature `walkthrough`. Whoever reads standard output reads health data:
//! in a VM that is its operator.

use std::sync::atomic::{AtomicU64, Ordering};

use attestation::{MAX_PRINTABLE_CHARS, Phi, printable};

use crate::report;

/// Shows PHI and results on standard output, and counts the bytes of PHI.
#[derive(Debug, Default)]
pub struct Walkthrough {
    bytes: AtomicU64,
}

impl Walkthrough {
    /// A message of PHI has come, valid or not.
    pub(crate) fn received(&self, phi: &Phi) {
        let bytes = u64::try_from(phi.expose().len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        report::line(&format!("Received content from other side, {}", shown(phi.expose())));
    }

    /// It has been analysed.
    pub(crate) fn analysed(&self, result: &str) {
        report::text_with_line_break(result);
    }

    /// The last line: how many bytes of PHI came in all.
    pub fn ended(&self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        report::line(&format!("USleep received {bytes} bytes of PHI"));
    }
}

/// The whole text, its line breaks kept, everything else that could move a cursor escaped.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

/// [`printable`] cuts what is longer than a line should be: given piece by piece, nothing is lost.
fn escaped(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let cut = rest.char_indices().nth(MAX_PRINTABLE_CHARS).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(cut);
        shown.push_str(&printable(piece));
        rest = after;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_received_but_for_what_moves_the_cursor() {
        let long = "é".repeat(3 * MAX_PRINTABLE_CHARS + 1);
        let rows = [
            ("", ""),
            ("{\n  \"name\": \"Amy\"\n}\n", "{\n  \"name\": \"Amy\"\n}\n"),
            ("\u{1b}[2J\r\n", "\\u{1b}[2J\\u{d}\n"),
            (&long, &long),
        ];
        for (received, wanted) in rows {
            assert_eq!(shown(received.as_bytes()), wanted);
        }
        assert_eq!(shown(b"\xff"), "\u{fffd}");
    }
}
