use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::thread;

use rustix::fs::{FlockOperation, Mode, flock, mkfifoat};

use super::super::line::{BEGINNING, Line, MAX_LINE_BYTES};
use super::*;

#[test]
fn each_line_names_the_one_before_and_the_head_is_the_digest_of_the_last() {
    let sample = Sample::with_lines();
    let bytes = sample.bytes();
    assert!(bytes.starts_with(BEGINNING.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
    let lines = lines(&bytes);
    let mut previous = Digest::default();
    for (number, line) in (1..).zip(&lines) {
        let parsed = Line::parse(line).unwrap();
        assert_eq!(
            (parsed.number, parsed.previous, parsed.time.to_string()),
            (number, previous, "2025-09-05T08:17:40Z".to_owned())
        );
        assert_eq!(parsed.to_bytes().unwrap(), *line);
        previous = Digest::of(line);
    }
    let (walked, digests, sessions, unknown) = walked(&bytes).unwrap();
    assert_eq!(
        walked,
        Walked { last: Some(Position { number: 5, head: previous }), recovered: 0, torn: false }
    );
    assert_eq!(digests.len(), 5);
    let wanted = Sessions { decided: 3, released: 1, refused: 1, lost: 0, outcome_unknown: 1 };
    assert_eq!(sessions, wanted);
    assert_eq!(unknown.len(), 1);
    assert_eq!((unknown[0].line, unknown[0].session.as_str()), (5, "03030303030303030303030303030303"));
}

#[test]
fn a_log_is_begun_for_its_owner_alone_and_opening_it_again_changes_nothing() {
    let sample = Sample::new();
    drop(sample.open());
    assert_eq!(fs::metadata(sample.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(sample.bytes().is_empty());
    let sample = Sample::with_lines();
    let before = sample.bytes();
    drop(sample.open());
    assert_eq!(sample.bytes(), before);
}

#[test]
fn what_is_no_log_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let log = Sample::with_lines();
    symlink(log.path(), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    mkfifoat(rustix::fs::CWD, path("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    fs::write(path("baseline.json"), "{\"allowed_aud\": []}\n").unwrap();
    fs::write(path("zeros"), [0; 100]).unwrap();
    fs::write(path("script"), "#!/bin/sh\n").unwrap();
    fs::write(path("later"), String::from_utf8(log.bytes()).unwrap().split_once('\n').unwrap().1).unwrap();
    fs::write(path("longer"), format!("{BEGINNING}{}", " ".repeat(4 << 20))).unwrap();

    let rows = [
        ("missing/audit.jsonl", "no such folder"),
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("folder", "a folder"),
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        ("baseline.json", "begins otherwise"),
        ("baseline.json/audit.jsonl", "Not a directory"),
        ("zeros", "begins otherwise"),
        ("script", "begins otherwise"),
        ("later", "begins otherwise"),
        ("longer", "a crash can leave"),
    ];
    for (name, wanted) in rows {
        let is_file = path(name).metadata().is_ok_and(|metadata| metadata.is_file());
        let before = is_file.then(|| fs::read(path(name)).unwrap());
        let error = open(&path(name)).unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
        assert!(!error.next().is_empty(), "{name}");
        if let Some(before) = before {
            assert_eq!(fs::read(path(name)).unwrap(), before, "{name}");
        }
    }
    drop(socket);
}

#[test]
fn a_lock_that_is_not_given_back_is_not_waited_for_without_end() {
    let sample = Sample::with_lines();
    let (log, before) = (sample.open(), sample.bytes());
    let other = fs::File::open(sample.path()).unwrap();
    flock(&other, FlockOperation::LockShared).unwrap();
    let log = log.with_patience(Duration::ZERO);
    assert!(matches!(log.append(decided(4, true), now()), Err(LogError::Locked { .. })));
    assert_eq!(sample.bytes(), before);
    flock(&other, FlockOperation::Unlock).unwrap();
    log.append(decided(4, true), now()).unwrap();
}

#[test]
fn nothing_is_written_into_a_file_that_has_been_removed() {
    let sample = Sample::with_lines();
    let log = sample.open();
    fs::remove_file(sample.path()).unwrap();
    assert!(matches!(log.append(decided(4, true), now()), Err(LogError::Removed)));
    assert!(!sample.path().exists());
}

#[test]
fn a_line_at_the_limit_is_written_and_read_and_one_byte_over_is_refused() {
    let sample = Sample::new();
    let log = sample.open();
    let with = |length: usize| decided_with(1, true, json!({"x": "x".repeat(length)}));
    let bare = Line::new(1, Digest::default(), now(), with(0)).to_bytes().unwrap().len();
    let fits = MAX_LINE_BYTES - bare;
    assert!(
        matches!(log.append(with(fits + 1), now()), Err(LogError::TooLong { got }) if got == MAX_LINE_BYTES + 1)
    );
    assert!(sample.bytes().is_empty());
    log.append(with(fits), now()).unwrap();
    assert_eq!(sample.bytes().len(), MAX_LINE_BYTES);
    // Its successor has to find it, and a reader to accept it.
    assert_eq!(log.append(ended(1, End::Lost), now()).unwrap().number, 2);
    walked(&sample.bytes()).unwrap();

    let too_long = format!("{}\n", " ".repeat(MAX_LINE_BYTES));
    let error = walked(&[sample.bytes(), too_long.into_bytes()].concat()).unwrap_err();
    assert!(matches!(error, Broken::TooLong { at: 3 }), "{error}");
}

#[test]
fn many_writers_at_once_make_one_chain() {
    let sample = Sample::new();
    let path = sample.path();
    thread::scope(|scope| {
        for writer in 0..8 {
            let path = &path;
            scope.spawn(move || {
                // A file of its own, as another program has: locks are between open files.
                let log = open(path).unwrap().with_patience(Duration::from_secs(60));
                for turn in 0..8 {
                    log.append(decided(writer * 8 + turn, true), now()).unwrap();
                    log.append(ended(writer * 8 + turn, End::Released), now()).unwrap();
                }
            });
        }
    });
    let (walked, _, sessions, _) = walked(&sample.bytes()).unwrap();
    assert_eq!(walked.last.unwrap().number, 128);
    assert_eq!(sessions, Sessions { decided: 64, released: 64, ..Sessions::default() });
}
