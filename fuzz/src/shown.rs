//! What may be shown to people: no control or invisible character, and not without end.
#![allow(dead_code, unreachable_pub)]

/// Longest text of ours in bytes: a few foreign strings of 256 characters, each escaped to at most 10 bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Asserts that a text cannot move a cursor, forge a line or reorder what is read.
#[track_caller]
pub fn assert_printable(text: &str) {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!text.contains(bad), "not printable: {text:?}");
    assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
}
