use super::super::line::{BEGINNING, MAX_LINE_BYTES};
use super::super::tail::MAX_TORN_BYTES;
use super::*;

/// What the file is after a crash has cut it off there, and the next program has added a line.
fn mended(bytes: &[u8]) -> (Sample, Vec<u8>) {
    let sample = Sample::new();
    sample.write(bytes);
    sample.open().append(decided(9, true), now()).unwrap();
    let after = sample.bytes();
    assert!(after.starts_with(bytes), "what a crash left has been changed");
    (sample, after)
}

#[test]
fn wherever_a_crash_cuts_a_line_off_the_next_program_notes_it_and_goes_on() {
    let sample = Sample::with_lines();
    let bytes = sample.bytes();
    let (_, digests, _, _) = walked(&bytes).unwrap();
    // Everywhere in what makes a file a log, and about the end of each line; in between nothing is different.
    let feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let cuts = feeds.flat_map(|feed| feed.saturating_sub(20)..feed + 30).chain(0..BEGINNING.len() + 10);
    for cut in cuts.filter(|cut| *cut < bytes.len()) {
        let left = &bytes[..cut];
        let whole = left.iter().filter(|byte| **byte == b'\n').count();
        let torn = left.last().is_some_and(|last| *last != b'\n');

        // Before anybody has gone on, the end is known to be torn, and nothing else is wrong.
        let (before, _, _, _) = walked(left).unwrap_or_else(|broken| panic!("cut at {cut}: {broken}"));
        assert_eq!((before.torn, before.recovered), (torn, 0), "cut at {cut}");

        let (_, after) = mended(left);
        let (after, found, _, _) = walked(&after).unwrap_or_else(|broken| panic!("cut at {cut}: {broken}"));
        assert_eq!(found[..whole], digests[..whole], "cut at {cut}");
        let added = 1 + usize::from(torn);
        assert_eq!(
            (found.len(), after.recovered, after.torn),
            (whole + added, u64::from(torn), false),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_decision_whose_line_feed_alone_is_missing_was_never_written() {
    let sample = Sample::new();
    sample.open().append(decided(1, true), now()).unwrap();
    let whole = sample.bytes();
    let (_, after) = mended(&whole[..whole.len() - 1]);
    let (_, _, sessions, unknown) = walked(&after).unwrap();
    assert_eq!((sessions.decided, sessions.outcome_unknown), (1, 1));
    assert_eq!(unknown[0].session, session(9).to_string());
}

#[test]
fn a_crash_while_another_is_being_noted_is_noted_too() {
    let bytes = Sample::with_lines().bytes();
    let torn = &bytes[..bytes.len() - 10];
    let (_, once) = mended(torn);
    let note_ends = torn.len()
        + once[torn.len()..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    for cut in torn.len()..=note_ends {
        let (_, twice) = mended(&once[..cut]);
        let (walked, found, _, _) = walked(&twice).unwrap_or_else(|broken| panic!("cut at {cut}: {broken}"));
        assert_eq!((walked.recovered, found.len()), (1, 4 + 2), "cut at {cut}");
    }
}

#[test]
fn a_line_that_a_failing_disk_has_filled_with_zeros_is_passed_over() {
    let bytes = Sample::with_lines().bytes();
    let (_, after) = mended(&[&bytes[..], &[0; 700], b"\n"].concat());
    let (walked, found, _, _) = walked(&after).unwrap();
    assert_eq!((walked.recovered, found.len()), (1, 7));
}

#[test]
fn what_a_crash_leaves_is_looked_for_up_to_its_limit_and_no_further() {
    let sample = Sample::new();
    let log = sample.open();
    // The longest line, so that all of what is looked at is needed to find it.
    log.append(decided(1, true), now()).unwrap();
    let bare = sample.bytes().len();
    log.append(
        decided_with(2, true, json!({"aud": "uwear", "x": "x".repeat(MAX_LINE_BYTES - bare - 7)})),
        now(),
    )
    .unwrap();
    let whole = sample.bytes();
    assert_eq!(whole.len(), bare + MAX_LINE_BYTES);

    let (_, after) = mended(&[&whole[..], &vec![b'x'; MAX_TORN_BYTES - 2]].concat());
    // A reader takes no line that is so long.
    assert!(matches!(walked(&after), Err(Broken::TooLong { .. })));
    let halves = [vec![b'x'; MAX_LINE_BYTES - 1], b"\n".to_vec(), vec![b'x'; MAX_LINE_BYTES - 2]].concat();
    let (_, after) = mended(&[&whole[..], &halves].concat());
    assert_eq!(walked(&after).unwrap().0.recovered, 1);

    for more in [halves.len() + 1, MAX_TORN_BYTES, 4 * MAX_TORN_BYTES] {
        let sample = Sample::new();
        sample.write(&[&whole[..], &vec![b'x'; more]].concat());
        assert!(matches!(open(&sample.path()), Err(LogError::Damaged)), "{more}");
    }
}
