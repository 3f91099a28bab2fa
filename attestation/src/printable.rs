//! Strings from a token, a peer or the launcher, made safe to show.
//!
//! Whoever chose such a string may have put terminal escapes, line breaks or bidirectional overrides
//! into it, to forge a log line or to make one value look like another. Nothing of that kind reaches
//! a terminal, a log or a report: every foreign string goes through [`printable`] first.

/// Longest foreign string that is shown, in characters.
pub const MAX_PRINTABLE_CHARS: usize = 256;

/// Escapes control, format and bidirectional characters as `\u{…}` and cuts at
/// [`MAX_PRINTABLE_CHARS`] characters, marking the cut with `…`.
///
/// ```
/// use attestation::printable;
/// assert_eq!(printable("uwear\n\u{202e}x"), "uwear\\u{a}\\u{202e}x");
/// ```
pub fn printable(foreign: &str) -> String {
    let mut shown = String::with_capacity(foreign.len().min(MAX_PRINTABLE_CHARS));
    for (count, character) in foreign.chars().enumerate() {
        if count == MAX_PRINTABLE_CHARS {
            shown.push('…');
            break;
        }
        if misleads(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters and the invisible or reordering characters of Unicode's bidirectional
/// algorithm (UAX #9), joiners, separators, byte order mark and language tags.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(
            u32::from(character),
            0x00AD
                | 0x061C
                | 0x180E
                | 0x200B..=0x200F
                | 0x2028..=0x202E
                | 0x2060..=0x206F
                | 0xFEFF
                | 0xFFF9..=0xFFFB
                | 0xE0000..=0xE007F
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_or_reorder_text_is_escaped() {
        let rows = [
            ("plain ASCII and ünïcödé", "plain ASCII and ünïcödé"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (foreign, shown) in rows {
            assert_eq!(printable(foreign), shown);
        }
    }

    #[test]
    fn a_string_at_the_limit_is_whole_and_one_over_is_cut() {
        let at_limit = "é".repeat(MAX_PRINTABLE_CHARS);
        assert_eq!(printable(&at_limit), at_limit);
        let one_over = "é".repeat(MAX_PRINTABLE_CHARS + 1);
        assert_eq!(printable(&one_over), format!("{at_limit}…"));
    }
}
