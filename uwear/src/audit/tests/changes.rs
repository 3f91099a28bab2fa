use super::super::line::{Line, Recovered};
use super::*;

/// The same line in another place of a chain: what a forger writes who knows how it is made.
fn forged(line: &[u8], number: u64, previous: Digest) -> Vec<u8> {
    let parsed = Line::parse(line).unwrap();
    Line::new(number, previous, now(), parsed.event).to_bytes().unwrap()
}

#[test]
fn every_change_of_every_byte_is_found() {
    let bytes = Sample::with_lines().bytes();
    let last_line_begins = bytes.len() - lines(&bytes).last().unwrap().len();
    let (walked_before, _, _, _) = walked(&bytes).unwrap();
    let head = walked_before.last.unwrap().head;
    assert!(passes_for(&bytes, head));
    for at in 0..bytes.len() {
        for change in [0x01, 0x02, 0x20, 0x80, bytes[at] ^ b'\n', bytes[at] ^ b'0', bytes[at] ^ b' '] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if change == 0 {
                continue;
            }
            assert!(!passes_for(&changed, head), "byte {at} changed by {change:#04x}");
            // Without a head that is known, only of the last line nobody can tell.
            assert!(
                at >= last_line_begins || walked(&changed).is_err(),
                "byte {at} changed by {change:#04x}"
            );
        }
    }
}

#[test]
fn every_removal_insertion_and_reordering_is_found() {
    let bytes = Sample::with_lines().bytes();
    let lines = lines(&bytes);
    let (walked_before, digests, _, _) = walked(&bytes).unwrap();
    let head = walked_before.last.unwrap().head;
    let count = lines.len();
    let mut changed: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for at in 0..count {
        let without: Vec<_> = [&lines[..at], &lines[at + 1..]].concat();
        changed.push((format!("line {at} removed"), without.clone()));
        changed.push((format!("all from line {at} on removed"), lines[..at].to_vec()));
        changed.push((format!("all before line {at} removed"), lines[at..].to_vec()));
        let previous = at.checked_sub(1).map_or(Digest::default(), |before| digests[before]);
        for of in 0..count {
            let insert = |line: Vec<u8>| [&lines[..at], &[line], &lines[at..]].concat();
            changed.push((format!("line {of} again before {at}"), insert(lines[of].clone())));
            let number = u64::try_from(at).unwrap() + 1;
            changed.push((
                format!("line {of} forged before {at}"),
                insert(forged(&lines[of], number, previous)),
            ));
            if of != at {
                let mut swapped = lines.clone();
                swapped.swap(at, of);
                changed.push((format!("lines {at} and {of} swapped"), swapped));
                let mut moved = without.clone();
                moved.insert(of, lines[at].clone());
                changed.push((format!("line {at} moved to {of}"), moved));
            }
        }
        // Taken for a crash's leavings, with the note that belongs to it.
        let torn = [&lines[at][..lines[at].len() - 1], b"#\n"].concat();
        let note = Event::Recovered(Recovered { torn: Digest::of(&torn) });
        let note = Line::new(u64::try_from(at).unwrap() + 1, previous, now(), note).to_bytes().unwrap();
        changed.push((
            format!("line {at} declared torn"),
            [&lines[..at], &[torn, note], &lines[at + 1..]].concat(),
        ));
        changed.push((
            format!("an empty line before {at}"),
            [&lines[..at], &[b"\n".to_vec()], &lines[at..]].concat(),
        ));
    }
    let mut rows = 0;
    for (what, lines) in changed.into_iter().filter(|(_, changed)| *changed != lines) {
        assert!(!passes_for(&lines.concat(), head), "{what}");
        rows += 1;
    }
    assert!(rows > 80, "{rows} rows");
}

#[test]
fn a_log_cut_off_or_written_anew_is_found_by_a_head_alone() {
    let bytes = Sample::with_lines().bytes();
    let head = walked(&bytes).unwrap().0.last.unwrap().head;
    for kept in 0..4 {
        let cut = lines(&bytes)[..kept].concat();
        assert!(walked(&cut).is_ok() && !passes_for(&cut, head), "{kept} lines");
    }
    let anew = Sample::new();
    let log = anew.open();
    for number in 1..=5 {
        log.append(decided(number, true), now()).unwrap();
    }
    assert!(walked(&anew.bytes()).is_ok() && !passes_for(&anew.bytes(), head));
}

#[test]
fn what_follows_a_known_head_is_checked_but_not_vouched_for() {
    let sample = Sample::with_lines();
    let head = walked(&sample.bytes()).unwrap().0.last.unwrap().head;
    sample.open().append(ended(3, End::Lost), now()).unwrap();
    assert!(passes_for(&sample.bytes(), head));
    let appended = |line: &[u8]| walked(&[&sample.bytes()[..], line].concat()).map(drop);
    let old = lines(&sample.bytes())[0].clone();
    let rows = [
        ("an old line", old.clone(), "wanted number 7, got 1"),
        ("the right number after another line", forged(&old, 7, head), "wanted previous"),
        ("text", b"2026-01-01 all is well\n".to_vec(), "is no line of an audit log"),
        (
            "another version",
            String::from_utf8(old).unwrap().replace("\"v\":1", "\"v\":2").into_bytes(),
            "wanted version 1, got 2",
        ),
    ];
    for (what, line, wanted) in rows {
        let error = appended(&line).unwrap_err().to_string();
        assert!(error.contains(wanted), "{what}: {error}");
    }
}

#[test]
fn a_note_on_a_crash_needs_the_bytes_that_it_speaks_of() {
    let bytes = Sample::with_lines().bytes();
    let head = walked(&bytes).unwrap().0.last.unwrap().head;
    let note = |torn: &[u8]| {
        let note = Event::Recovered(Recovered { torn: Digest::of(torn) });
        Line::new(6, head, now(), note).to_bytes().unwrap()
    };
    let with = |torn: &[u8], note: Vec<u8>| {
        walked(&[&bytes[..], torn, &note].concat()).map(|(walked, ..)| walked.recovered)
    };
    assert_eq!(with(b"{\"v\":1#\n", note(b"{\"v\":1#\n")).unwrap(), 1);
    assert!(matches!(with(b"", note(b"")), Err(Broken::NothingTorn { at: 6 })));
    assert!(matches!(with(b"{\"v\":1#\n", note(b"{\"v\":2#\n")), Err(Broken::Malformed { at: 6, .. })));
    assert!(matches!(with(b"x\n", b"".to_vec()), Err(Broken::Malformed { at: 6, .. })));
}

#[test]
fn lines_that_no_release_writes_are_found() {
    let rows: [(&str, Vec<Event>); 4] = [
        ("is decided on twice", vec![decided(1, true), decided(1, true)]),
        ("ends without a decision before", vec![ended(1, End::Lost)]),
        (
            "ends without a decision before",
            vec![decided(1, true), ended(1, End::Lost), ended(1, End::Released)],
        ),
        ("was refused, and yet has another end", vec![decided(1, false), ended(1, End::Released)]),
    ];
    for (wanted, events) in rows {
        let sample = Sample::new();
        let log = sample.open();
        for event in events {
            log.append(event, now()).unwrap();
        }
        let error = walked(&sample.bytes()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn of_more_open_sessions_than_there_is_room_for_the_count_stays_right() {
    let sample = Sample::new();
    let log = sample.open();
    for number in 0..10 {
        log.append(decided(number, number != 0), now()).unwrap();
    }
    // One that is still kept in mind, and one that no longer is.
    log.append(ended(9, End::Released), now()).unwrap();
    log.append(ended(1, End::Released), now()).unwrap();
    let mut tally = Tally::with_room(3);
    chain::walk(&sample.bytes()[..], |link| tally.count(&link)).unwrap();
    let (sessions, unknown) = tally.close();
    let wanted = Sessions { decided: 10, released: 1, refused: 1, lost: 0, outcome_unknown: 8 };
    assert_eq!(sessions, wanted);
    assert_eq!(unknown.iter().map(|session| session.line).collect::<Vec<_>>(), [8, 9]);
}
