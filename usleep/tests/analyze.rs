//! The command `usleep analyze`, run as a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use assert_cmd::Command;
use tempfile::TempDir;

const AMY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sleep/testdata/amy.json");

struct Ran {
    stdout: String,
    stderr: String,
    code: i32,
}

fn analyze(arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut command = Command::cargo_bin("usleep").unwrap();
    let output = command.arg("analyze").args(arguments).write_stdin(stdin).output().unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

/// Runs it on a file of that content and gives the file's path too.
fn analyze_content(content: &[u8]) -> (Ran, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("night.json");
    fs::write(&file, content).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (analyze(&[&file], b""), file)
}

#[test]
fn the_codelabs_rules_say_what_the_codelabs_transcript_says() {
    let ran = analyze(&[AMY, "--rules", "codelab"], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "Sleep quality result: total sleep time is less than 8 hours");
    assert!(
        lines[1].starts_with("Rules recommended say: total sleep of 8 h 30 min is within the 7 to 9 hours")
    );
    assert!(lines[4].starts_with("Why they differ: "));
}

#[test]
fn the_recommended_rules_are_the_default() {
    let ran = analyze(&[AMY], b"");
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout.starts_with("Sleep quality result: total sleep of 8 h 30 min is within"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout, analyze(&[AMY, "--rules", "recommended"], b"").stdout);
}

#[test]
fn a_dash_reads_standard_input() {
    let ran = analyze(&["-"], &fs::read(AMY).unwrap());
    assert_eq!((ran.code, ran.stdout), (0, analyze(&[AMY], b"").stdout));
    let refused = analyze(&["-"], b"{}");
    assert_eq!(refused.stderr, "usleep: standard input: name: missing, wanted a string of 1 to 256 bytes\n");
}

#[test]
fn json_is_one_object_on_one_line() {
    for rules in ["codelab", "recommended"] {
        let ran = analyze(&[AMY, "--format", "json", "--rules", rules], b"");
        assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1));
        let result: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(result["rules"], rules);
        assert_eq!(result["total_minutes"], 510.0);
    }
}

#[test]
fn a_bad_file_is_one_line_with_its_name_the_place_and_what_was_wanted() {
    let amy = fs::read_to_string(AMY).unwrap();
    let rows = [
        ("nonsense".to_owned(), "top level: not JSON or cut off, wanted an object with name, age and sleep"),
        (amy.replace("270", "-270"), "sleep.light.minutes: wanted a number of minutes from 0 to 1440"),
        (amy.replace("135", "\"many\""), "sleep.deep.minutes: wanted a number of minutes from 0 to 1440"),
        (amy.replace("105", "1400"), "sleep: wanted at most 1440 minutes in all"),
        (amy.replace("29", "290"), "age: wanted a whole number of years from 0 to 130"),
    ];
    for (content, wanted) in rows {
        let (ran, file) = analyze_content(content.as_bytes());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{content}");
        assert_eq!(ran.stderr, format!("usleep: {file}: {wanted}\n"));
    }
}

#[test]
fn a_file_of_one_mebibyte_is_read_and_one_byte_more_is_refused() {
    let mut content = fs::read(AMY).unwrap();
    content.resize(1 << 20, b' ');
    assert_eq!(analyze_content(&content).0.code, 0);
    content.push(b' ');
    let (ran, file) = analyze_content(&content);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr, format!("usleep: {file}: too large, wanted at most 1048576 bytes\n"));
}

#[cfg(unix)]
#[test]
fn a_file_without_end_is_refused_without_reading_to_its_end() {
    let ran = analyze(&["/dev/zero"], b"");
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr, "usleep: /dev/zero: too large, wanted at most 1048576 bytes\n");
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = TempDir::new().unwrap();
    for path in [folder.path().join("missing.json"), folder.path().to_owned()] {
        let path = path.to_str().unwrap();
        let ran = analyze(&[path], b"");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.starts_with(&format!("usleep: {path}: ")), "{}", ran.stderr);
        assert!(ran.stderr.ends_with("; name a file that this user may read\n"), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1);
    }
}

#[test]
fn a_file_name_cannot_forge_a_line() {
    let ran = analyze(&["no\nsuch\u{1b}[2Jfile"], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("usleep: no\\u{a}such\\u{1b}[2Jfile: "), "{}", ran.stderr);
}

#[test]
fn many_nights_get_a_result_each_and_a_summary() {
    let amy = fs::read_to_string(AMY).unwrap();
    let other = amy.replace("270", "260").replace("135", "90");
    let three = format!("{amy}{other}{amy}");
    let ran = analyze(&["-", "--nights"], three.as_bytes());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("Night 1: total as recommended, REM less than good"), "{}", lines[0]);
    assert!(lines[1].starts_with("Night 2: ") && lines[2].starts_with("Night 3: "));
    assert!(lines[3].starts_with("Sleep quality result of 3 nights: average sleep of "), "{}", lines[3]);
    assert!(lines.last().unwrap().starts_with("Average: "));

    let ran = analyze(&["-", "--nights", "--format", "json", "--rules", "codelab"], three.as_bytes());
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["nights"].as_array().unwrap().len()), (2, 3));
    assert_eq!((&lines[1]["nights"], &lines[1]["rules"]), (&3.into(), &"codelab".into()));
}

/// Ten times what one message may carry, read from a pipe.
#[test]
fn many_nights_may_be_longer_than_a_message() {
    let amy = fs::read_to_string(AMY).unwrap();
    let count = 10 * (1 << 20) / amy.len();
    let ran = analyze(&["-", "--nights", "--format", "json"], amy.repeat(count).as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let summary: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["nights"], count);
}

#[test]
fn a_wrong_line_of_many_nights_is_named_and_there_is_no_summary() {
    let amy = fs::read_to_string(AMY).unwrap();
    let rows = [
        (String::new(), "no night, wanted at least one line"),
        (amy.trim_end().to_owned(), "line 1: cut off, wanted a line feed at its end"),
        (
            format!("{amy}{}", amy.replace("29", "290")),
            "line 2: age: wanted a whole number of years from 0 to 130",
        ),
        (
            format!("{amy}{amy}{}", amy.replace("Amy", "Ben")),
            "line 3: name: not that of line 1, wanted the nights of one person",
        ),
    ];
    for (content, wanted) in rows {
        let ran = analyze(&["-", "--nights"], content.as_bytes());
        assert_eq!((ran.code, ran.stderr), (2, format!("usleep: standard input: {wanted}\n")));
        assert!(!ran.stdout.contains("nights"), "{}", ran.stdout);
    }
    let ran = analyze(&["/nowhere", "--nights"], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("usleep: /nowhere: "), "{}", ran.stderr);
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for arguments in
        [&[][..], &[AMY, "--rules", "mine"], &[AMY, "--format", "xml"], &[AMY, AMY], &[AMY, "--now"]]
    {
        let ran = analyze(arguments, b"");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_exit_1() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = assert_cmd::cargo::cargo_bin("usleep");
    let output = std::process::Command::new(program).args(["analyze", AMY]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("usleep: writing the result: "));
}

#[test]
fn help_teaches_with_an_example_that_works() {
    let ran = analyze(&["--help"], b"");
    assert_eq!(ran.code, 0);
    let example = ran.stdout.lines().find(|line| line.trim_start().starts_with('{')).unwrap();
    assert_eq!(analyze(&["-"], example.trim().as_bytes()).code, 0);
    assert!(ran.stdout.contains("usleep analyze amy.json --rules codelab"));
    assert!(ran.stdout.contains("Exit status: 0"));
}
