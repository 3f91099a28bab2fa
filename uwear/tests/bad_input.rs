//! Files and flags that cannot be used: one line says what is wrong and where, another what to do, the exit code is 2,
//! and nobody is dialled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Ended, Owner, Uwear, shipped_baseline, tokens};

/// Something wrong: an option of `uwear release`, and the file that it names, made by the row.
struct Row {
    wrong: &'static str,
    option: &'static str,
    file: &'static str,
    /// None: there is no such file.
    content: Option<Vec<u8>>,
    says: &'static [&'static str],
}

fn row(
    wrong: &'static str,
    (option, file): (&'static str, &'static str),
    content: impl Into<Vec<u8>>,
    says: &'static [&'static str],
) -> Row {
    Row { wrong, option, file, content: Some(content.into()), says }
}

fn missing((option, file): (&'static str, &'static str), says: &'static [&'static str]) -> Row {
    Row { wrong: "no such file", option, file, content: None, says }
}

const PHI: (&str, &str) = ("--phi", "night.json");
const BASELINE: (&str, &str) = ("--baseline", "mine.json");
const POLICY: (&str, &str) = ("--policy", "mine.rego");
const ROOT: (&str, &str) = ("--root", "root.pem");

/// One night with one field replaced.
fn night(field: &str, value: Value) -> Vec<u8> {
    let mut night: Value = serde_json::from_str(support::PHI).unwrap();
    *night.pointer_mut(field).unwrap() = value;
    night.to_string().into_bytes()
}

/// The shipped baseline with one key replaced; null removes it.
fn baseline(key: &str, value: Value) -> Vec<u8> {
    let mut baseline: Value = serde_json::from_slice(&std::fs::read(shipped_baseline()).unwrap()).unwrap();
    mock_launcher::claims::merge(&mut baseline, &json!({ key: value }));
    baseline.to_string().into_bytes()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_ends_the_program_before_anybody_is_dialled() {
    let [leaf, intermediate, _] = &tokens::pki().x5c()[..] else { panic!("three certificates") };
    let twice = r#"{"allowed_aud":["uwear"],"allowed_aud":["anybody"]}"#;
    let rows = vec![
        // The health data. What it holds is never repeated: the check for that is in `Uwear::ends`.
        missing(PHI, &["health data night.json: ", "No such file"]),
        row("not JSON", PHI, "canary-name", &["health data night.json: top level: not JSON"]),
        row("cut off", PHI, &support::PHI[..60], &["not JSON or cut off"]),
        row("a list", PHI, "[]", &["top level: wanted an object with name, age and sleep"]),
        row("name of another type", PHI, night("/name", json!(7)), &["name: wanted a string"]),
        row(
            "minutes of another type",
            PHI,
            night("/sleep/light/minutes", json!("270.8317")),
            &["sleep.light.minutes: wanted a number of minutes from 0 to 1440"],
        ),
        row(
            "negative minutes",
            PHI,
            night("/sleep/deep/minutes", json!(-1)),
            &["sleep.deep.minutes: wanted"],
        ),
        row("absurd minutes", PHI, night("/sleep/rem/minutes", json!(1441)), &["sleep.rem.minutes: wanted"]),
        row(
            "more than a day in all",
            PHI,
            night("/sleep/rem/minutes", json!(1440)),
            &["sleep: wanted at most 1440 minutes in all"],
        ),
        row("half a year of age", PHI, night("/age", json!(29.5)), &["age: wanted a whole number"]),
        row("a field missing", PHI, night("/sleep", json!({})), &["sleep.light: missing"]),
        row(
            "an unknown field",
            PHI,
            night("/sleep/light", json!({"minutes": 1, "canary-name": 1})),
            &["sleep.light: has an unknown field"],
        ),
        row(
            "a field twice",
            PHI,
            format!(r#"{{"age":29,{}"#, &support::PHI[1..]),
            &["age: given more than once"],
        ),
        row("two nights", PHI, support::PHI.repeat(2), &["wanted nothing after the object"]),
        row("not UTF-8", PHI, b"{\"name\":\"\xff\"}", &["wanted UTF-8"]),
        row(
            "one byte over 1 MiB",
            PHI,
            vec![b' '; 1024 * 1024 + 1],
            &["too large, wanted at most 1048576 bytes"],
        ),
        // The baseline.
        missing(BASELINE, &["baseline mine.json: ", "No such file"]),
        row("not JSON", BASELINE, "{", &["mine.json: baseline: wanted a JSON object"]),
        row("a list", BASELINE, "[]", &["mine.json: baseline: wanted a JSON object"]),
        row("not UTF-8", BASELINE, b"\xff", &["baseline mine.json: not UTF-8"]),
        row("a key twice", BASELINE, twice, &["mine.json: ", "unique names", "allowed_aud"]),
        row(
            "a key missing",
            BASELINE,
            baseline("allowed_hwmodel", json!(null)),
            &["mine.json: ", "the policy reads allowed_hwmodel, which is missing"],
        ),
        row(
            "an empty list",
            BASELINE,
            baseline("allowed_aud", json!([])),
            &["mine.json: baseline allowed_aud: wanted a non-empty list", "got an empty list"],
        ),
        row(
            "a waiver without a reason",
            BASELINE,
            baseline("allowed_project_id", json!({"any": true})),
            &["allowed_project_id: wanted exactly", "with a reason"],
        ),
        row(
            "a digest of another form",
            BASELINE,
            baseline("allowed_submods_container_image_digest", json!(["sha256:ABC\u{1b}[2J"])),
            &[
                "allowed_submods_container_image_digest[0]: wanted \"sha256:\" and 64 lower-case",
                "got sha256:ABC\\u{1b}[2J",
            ],
        ),
        row(
            "a misspelt key",
            BASELINE,
            baseline("allowed_hwmodels", json!(["GCP_AMD_SEV"])),
            &["no rule reads allowed_hwmodels"],
        ),
        row("one byte over 1 MiB", BASELINE, vec![b' '; 1024 * 1024 + 1], &["too large, wanted at most"]),
        // The policy.
        missing(POLICY, &["policy mine.rego: ", "No such file"]),
        row(
            "does not parse",
            POLICY,
            "package confidential_space\nallow if {",
            &["policy mine.rego, line 2"],
        ),
        row(
            "of another package",
            POLICY,
            "package other\nimport rego.v1\nallow := true",
            &["policy mine.rego: wanted package confidential_space, got"],
        ),
        row(
            "without allow",
            POLICY,
            "package confidential_space\nimport rego.v1\nok := true",
            &["policy mine.rego: wanted a boolean rule `allow`, got none"],
        ),
        row("not UTF-8", POLICY, b"\xff", &["policy mine.rego: not UTF-8"]),
        row(
            "one byte over 256 KiB",
            POLICY,
            vec![b'#'; 256 * 1024 + 1],
            &["too large, wanted at most 262144"],
        ),
        // The root.
        missing(ROOT, &["root certificate root.pem: ", "No such file"]),
        row("empty", ROOT, "", &["root certificate root.pem: no"]),
        row(
            "no certificate",
            ROOT,
            "no certificate",
            &["root certificate root.pem: not one X.509 certificate"],
        ),
        row(
            "DER, not PEM",
            ROOT,
            tokens::pki().root(),
            &["root certificate root.pem: not one X.509 certificate"],
        ),
        row(
            "an intermediate",
            ROOT,
            pem(intermediate),
            &["root.pem: not self-signed", "never an intermediate"],
        ),
        row("a leaf", ROOT, pem(leaf), &["root.pem: not self-signed"]),
        row(
            "the root and the leaf",
            ROOT,
            tokens::pki().root_pem() + &pem(leaf),
            &["root.pem: not self-signed"],
        ),
        // The file for the result.
        row("already there", ("--result", "kept.json"), "{}", &["result file kept.json: ", "exists"]),
        missing(("--result", "no/folder.json"), &["result file no/folder.json: ", "No such file"]),
        // Folders.
        missing(("--phi", "."), &["health data .: Is a directory"]),
        missing(("--baseline", "."), &["baseline .: Is a directory"]),
        missing(("--policy", "."), &["policy .: Is a directory"]),
        missing(("--root", "."), &["root certificate .: Is a directory"]),
        missing(("--result", "."), &["result file .: "]),
    ];
    support::all_pass(rows.into_iter().map(async |Row { wrong, option, file, content, says }| {
        let owner = Owner::new();
        if let Some(content) = &content {
            owner.file(file, content);
        }
        let usleep = Nobody::new();
        let ended = usleep.release(&owner, &[(option, file)]).ends().await;
        println!("{option} {wrong}");
        ended.with_code(2).with_one_complaint(says);
        usleep.was_not_dialled();
        if let Some(content) = content {
            assert_eq!(std::fs::read(owner.path(file)).unwrap(), content, "{option} {wrong}: it was changed");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_baseline_nothing_is_accepted() {
    let (owner, usleep) = (Owner::new(), Nobody::new());
    let called = owner.uwear().arg("release").arg(usleep.address()).args(["--phi", "phi.json"]);
    called
        .ends()
        .await
        .with_code(2)
        .with_one_complaint(&["no baseline: there is no policy/baseline.json here"]);
    usleep.was_not_dialled();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_data_at_the_limit_of_1_mib_are_sent() {
    let owner = Owner::new();
    let mut phi = support::PHI.as_bytes().to_vec();
    phi.resize(1024 * 1024, b' ');
    owner.file("phi.json", &phi);
    let usleep = support::honest::Honest::start().await;
    owner.release(usleep.address).ends().await.with_code(0);
    assert!(usleep.received().await == [phi], "it did not arrive as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_cannot_be_used_is_refused_with_the_usage() {
    let rows: &[(&str, &[&str])] = &[
        ("", &["required arguments were not provided", "--phi <FILE>", "<ADDRESS>"]),
        ("release", &["required arguments were not provided"]),
        ("release ADDRESS", &["required arguments were not provided", "--phi <FILE>"]),
        ("release --phi phi.json", &["required arguments were not provided", "<ADDRESS>"]),
        ("release https://usleep/ --phi phi.json", &["<ADDRESS>", "not an address: wanted HOST, HOST:PORT"]),
        ("release usleep:65536 --phi phi.json", &["<ADDRESS>", "not an address"]),
        ("release [::1 --phi phi.json", &["<ADDRESS>", "not an address"]),
        ("release ADDRESS --phi phi.json --now 2025-09-05T08:17:40Z", &["unexpected argument '--now'"]),
        ("release ADDRESS --phi phi.json --format xml", &["invalid value 'xml'", "text, json"]),
        ("verify", &["required arguments were not provided"]),
        ("verify token.jwt", &["required arguments were not provided", "--no-nonce"]),
        ("verify token.jwt --nonce n --no-nonce", &["cannot be used with"]),
        ("verify token.jwt --no-nonce --now yesterday", &["--now", "wanted a time of RFC 3339"]),
        ("verify token.jwt --no-nonce --now 1757060260", &["--now", "wanted a time of RFC 3339"]),
        ("verify token.jwt --no-nonce --phi phi.json", &["unexpected argument '--phi'"]),
        ("inspect", &["required arguments were not provided"]),
        ("send ADDRESS", &["error"]),
    ];
    let (owner, usleep) = (Owner::new(), Nobody::new());
    for (line, says) in rows {
        let line = line.replace("ADDRESS", &usleep.address());
        let ended = owner.uwear().args(line.split_whitespace()).ends().await.with_code(2).says(says);
        assert!(ended.stdout.is_empty() && ended.stderr.contains("--help"), "{ended}");
    }
    usleep.was_not_dialled();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_cannot_be_used_is_named() {
    let owner = Owner::new();
    let limit = 128 * 1024;
    owner.file("large.jwt", "A".repeat(limit + 1));
    owner.file("larger.jwt", "A".repeat(limit + 2));
    owner.file("bytes.jwt", b"\xff\xfe");
    let rows: [(&str, &[&str]); 5] = [
        ("none.jwt", &["token none.jwt: ", "No such file"]),
        (".", &["token .: Is a directory"]),
        ("bytes.jwt", &["token bytes.jwt: not UTF-8"]),
        ("large.jwt", &["token large.jwt: token too large: wanted at most 131072 bytes, got 131073"]),
        ("larger.jwt", &["token larger.jwt: too large"]),
    ];
    for (file, says) in rows {
        verify(&owner, file).await.with_code(2).with_one_complaint(says);
        owner.uwear().args(["inspect", file]).ends().await.with_code(2).with_one_complaint(says);
    }
    // At the limit, with a line break: a token like any other, if a bad one.
    owner.file("limit.jwt", "A".repeat(limit) + "\n");
    verify(&owner, "limit.jwt").await.with_code(4).says(&["NOT AUTHENTIC"]);
}

async fn verify(owner: &Owner, token: &str) -> Ended {
    let called = owner.uwear().args(["verify", token, "--no-nonce"]);
    called.option("--baseline", shipped_baseline()).ends().await
}

/// A server that must not be dialled.
struct Nobody(TcpListener);

impl Nobody {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// A release to here in which all is well but for these options.
    fn release(&self, owner: &Owner, changed: &[(&'static str, &'static str)]) -> Uwear {
        let mut options: BTreeMap<&str, OsString> = BTreeMap::from([
            ("--phi", "phi.json".into()),
            ("--baseline", shipped_baseline().into()),
            ("--root", tokens::root_file().into()),
        ]);
        options.extend(changed.iter().map(|(option, value)| (*option, OsString::from(value))));
        let called = owner.uwear().arg("release").arg(self.address());
        options.into_iter().fold(called, |called, (option, value)| called.option(option, value))
    }

    /// The program has ended: whoever it dialled would wait here.
    #[track_caller]
    fn was_not_dialled(&self) {
        assert_eq!(self.0.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    }
}
