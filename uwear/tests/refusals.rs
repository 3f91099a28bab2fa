//! Tokens that are not good enough: which check or rule says so, with which values, which exit code, and that no byte
//! of health data left. Each token is the mock's, wrong in one way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mock_launcher::{Fault, MockLauncher};
use serde_json::{Value, json};
use session::Limits;
use support::honest::Honest;
use support::scripted::{Peer, Scripted};
use support::{Ended, Owner, Uwear, named, set, tokens};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;

/// The checks whose failure leaves nothing authentic for those after them.
const AUTHENTICITY: [&str; 12] = [
    "size",
    "shape",
    "header",
    "algorithm",
    "critical",
    "x5c",
    "root_pinned",
    "chain",
    "root_validity",
    "leaf_key",
    "signature",
    "claims",
];

/// The checks of the session, which run with the policy's rules.
const SESSION: [&str; 3] = ["session_nonce", "session_audience", "session_claim_absent"];

/// A check or rule that fails, what the report says it found, what it says it wanted.
type Fails = (&'static str, &'static str, &'static str);

/// Some text or other.
const ANY: &str = "";

struct Row {
    name: &'static str,
    patch: fn(&str) -> Value,
    exit: i32,
    fails: &'static [Fails],
}

const fn row(name: &'static str, patch: fn(&str) -> Value, exit: i32, fails: &'static [Fails]) -> Row {
    Row { name, patch, exit, fails }
}

const MOCK_DIGEST: &str = "sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e";
const OTHER_DIGEST: &str = "sha256:1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e44d0";
const STABLE: &str = "STABLE";

const ROWS: &[Row] = &[
    row(
        "another image",
        |_| json!({"submods": {"container": {"image_digest": OTHER_DIGEST}}}),
        5,
        &[("image_digest_verified", OTHER_DIGEST, MOCK_DIGEST)],
    ),
    row(
        "no image",
        |_| json!({"submods": {"container": {"image_digest": null}}}),
        5,
        &[("image_digest_verified", "absent", MOCK_DIGEST)],
    ),
    row(
        "another audience",
        |_| json!({"aud": "anotherCompany.com"}),
        5,
        &[
            ("session_audience", "anotherCompany.com", "uwear"),
            ("audience_verified", "anotherCompany.com", "uwear"),
        ],
    ),
    row(
        "two audiences, one of them ours",
        |_| json!({"aud": ["uwear", "anotherCompany.com"]}),
        5,
        &[
            ("session_audience", "uwear, anotherCompany.com", "uwear"),
            ("audience_verified", "uwear, anotherCompany.com", "uwear"),
        ],
    ),
    row(
        "another nonce",
        |_| json!({"eat_nonce": "bm90IHRoaXMgc2Vzc2lvbg=="}),
        5,
        &[
            ("session_nonce", "bm90IHRoaXMgc2Vzc2lvbg==", ANY),
            ("nonce_verified", "bm90IHRoaXMgc2Vzc2lvbg==", ANY),
        ],
    ),
    row(
        "two nonces, one of them ours",
        |nonce| json!({"eat_nonce": [nonce, "bm90IHRoaXMgc2Vzc2lvbg=="]}),
        5,
        &[("session_nonce", "bm90IHRoaXMgc2Vzc2lvbg==", ANY), ("nonce_verified", ANY, ANY)],
    ),
    row(
        "no nonce",
        |_| json!({"eat_nonce": null}),
        5,
        &[("session_nonce", "absent", ANY), ("nonce_verified", "absent", ANY)],
    ),
    row(
        "hardware without memory encryption",
        |_| json!({"hwmodel": "GCP_SHIELDED_VM"}),
        5,
        &[
            ("hw_verified", "GCP_SHIELDED_VM", "GCP_INTEL_TDX, GCP_AMD_SEV"),
            ("memory_encryption_verified", "GCP_SHIELDED_VM", ANY),
        ],
    ),
    row(
        "hardware that the owner did not approve",
        |_| json!({"hwmodel": "GCP_AMD_SEV_ES"}),
        5,
        &[("hw_verified", "GCP_AMD_SEV_ES", "GCP_INTEL_TDX, GCP_AMD_SEV")],
    ),
    row(
        "a debug image",
        |_| json!({"dbgstat": "enabled"}),
        5,
        &[("debug_status_verified", "enabled", "disabled-since-boot")],
    ),
    row(
        "an image out of support",
        |_| json!({"submods": {"confidential_space": {"support_attributes": ["USABLE"]}}}),
        5,
        &[("support_attributes_verified", "USABLE", STABLE)],
    ),
    row(
        "an experimental image",
        |_| json!({"submods": {"confidential_space": {"support_attributes": ["STABLE", "EXPERIMENTAL"]}}}),
        5,
        &[("support_attributes_verified", "STABLE, EXPERIMENTAL", STABLE)],
    ),
    row(
        "no word on support",
        |_| json!({"submods": {"confidential_space": {"support_attributes": null}}}),
        5,
        &[("support_attributes_verified", "absent", STABLE)],
    ),
    row("no Secure Boot", |_| json!({"secboot": false}), 5, &[("secboot_verified", "false", "true")]),
    row(
        "a plain Confidential VM",
        |_| json!({"swname": "GCE"}),
        5,
        &[("sw_name_verified", "GCE", "CONFIDENTIAL_SPACE")],
    ),
    row(
        "another operator's project",
        |_| json!({"submods": {"gce": {"project_id": "somebody-else"}}}),
        5,
        &[("project_verified", "somebody-else", "mock-usleep-project")],
    ),
    row(
        "another operator's account",
        |_| json!({"google_service_accounts": ["root@somebody-else.iam.gserviceaccount.com"]}),
        5,
        &[(
            "service_account_verified",
            "root@somebody-else.iam.gserviceaccount.com",
            "workload-sa@mock-usleep-project.iam.gserviceaccount.com",
        )],
    ),
    row(
        "an overridden environment, whose value is nobody's business",
        |_| json!({"submods": {"container": {"env_override": {"USLEEP_RULES": "canary-name"}}}}),
        5,
        &[("env_override_verified", "USLEEP_RULES", "none")],
    ),
    row(
        "an overridden command",
        |_| json!({"submods": {"container": {"cmd_override": ["sh", "-c", "id"]}}}),
        5,
        &[("cmd_override_verified", "sh, -c, id", "false")],
    ),
    row(
        "a claim with the name of our facts",
        |nonce| json!({"session": {"nonce": nonce, "now": 0}}),
        5,
        &[("session_claim_absent", ANY, "absent")],
    ),
    row(
        "the unauthorized workload of the codelab, and every reason at once",
        |_| {
            json!({
                "aud": "anotherCompany.com",
                "submods": {"container": {"image_digest": OTHER_DIGEST}},
            })
        },
        5,
        &[
            ("session_audience", "anotherCompany.com", "uwear"),
            ("image_digest_verified", OTHER_DIGEST, MOCK_DIGEST),
            ("audience_verified", "anotherCompany.com", "uwear"),
        ],
    ),
    row(
        "values that would move the cursor",
        |_| json!({"swname": "CONFIDENTIAL_SPACE\u{1b}[2J\u{202e}"}),
        5,
        &[("sw_name_verified", "CONFIDENTIAL_SPACE\\u{1b}[2J\\u{202e}", "CONFIDENTIAL_SPACE")],
    ),
    // What the verifier refuses, whatever the policy.
    row(
        "another issuer",
        |_| json!({"iss": "https://confidentialcomputing.googleapis.com.evil"}),
        4,
        &[(
            "issuer",
            "https://confidentialcomputing.googleapis.com.evil",
            "https://confidentialcomputing.googleapis.com",
        )],
    ),
    row(
        "issued ten minutes ago",
        |_| json!({"iat": tokens::now() - 600, "nbf": tokens::now() - 600, "exp": tokens::now() + 3000}),
        4,
        &[("age", "too old: issued 60", "issued at most 360 s ago")],
    ),
    row(
        "a clock an hour ahead",
        |_| json!({"iat": tokens::now() + 3600, "nbf": tokens::now() + 3600, "exp": tokens::now() + 7200}),
        4,
        &[
            ("not_before", "ahead of the clock", "nbf at most 60 s ahead"),
            ("issued_at", "ahead of the clock", "iat at most 60 s ahead"),
        ],
    ),
    row(
        "valid for a day",
        |_| json!({"exp": tokens::now() + 86_400}),
        4,
        &[("lifetime", "86400 s", "1 to 3600 s from iat to exp")],
    ),
    row("no times", |_| json!({"exp": null}), 4, &[("claims", "claim exp is missing", ANY)]),
    row(
        "an audience of another type",
        |_| json!({"aud": 7}),
        4,
        &[("claims", "claim aud has the wrong type", ANY)],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_not_acceptable_is_named_with_what_was_found_and_wanted() {
    support::all_pass(ROWS.iter().map(async |row| {
        let server = || Scripted::websocket(|peer| show(peer, row.patch));
        let refused = Refused { name: row.name, exit: row.exit, fails: row.fails };

        let usleep = server().await;
        refused.in_text(Owner::new().release(usleep.address).ends().await);
        usleep.seen().await.no_data(row.name);

        let usleep = server().await;
        refused.in_json(Owner::new().release(usleep.address).json().ends().await);
        usleep.seen().await.no_data(row.name);
    }))
    .await;
}

/// A server that passes on whatever its launcher gives, and what the owner must say of it.
const FAULTS: &[(Fault, i32, &[Fails])] = &[
    (
        Fault::Expired,
        4,
        &[("expiry", "expired: exp passed 36", "60 s"), ("age", "too old: issued 72", "360 s")],
    ),
    (
        Fault::NotYetValid,
        4,
        &[("not_before", "not valid yet", "60 s"), ("issued_at", "in the future", "60 s")],
    ),
    (Fault::WrongNonce, 5, &[("session_nonce", "bm90", ANY), ("nonce_verified", "bm90", ANY)]),
    (Fault::WrongKey, 4, &[("signature", "the signature is not the leaf's", "RS256 by the leaf's key")]),
    (Fault::NoX5c, 4, &[("x5c", "no x5c in the header", "3 certificates")]),
    (Fault::ExtraCertificate, 4, &[("x5c", "wanted 3 certificates, got 4", "3 certificates")]),
    (Fault::ForeignRoot, 4, &[("root_pinned", "the root is not pinned", "sha256 ")]),
    (
        Fault::DebugImage,
        5,
        &[
            ("debug_status_verified", "enabled", "disabled-since-boot"),
            ("support_attributes_verified", "absent", STABLE),
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_token_is_refused_by_its_name() {
    support::all_pass(FAULTS.iter().map(async |&(fault, exit, fails)| {
        let folder = tempfile::tempdir().unwrap();
        let launcher = MockLauncher::builder(tokens::pki()).fault(fault);
        let launcher = launcher.start(folder.path().join("teeserver.sock")).await.unwrap();
        let usleep = async || {
            let socket = launcher.socket().to_owned();
            Scripted::websocket(move |peer| pass_on(peer, socket.clone())).await
        };
        let refused = Refused { name: fault.name(), exit, fails };

        let server = usleep().await;
        refused.in_text(Owner::new().release(server.address).ends().await);
        server.seen().await.no_data(fault.name());

        let server = usleep().await;
        refused.in_json(Owner::new().release(server.address).json().ends().await);
        server.seen().await.no_data(fault.name());
        assert_eq!(launcher.issued(), 2, "{fault}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_with_a_faulty_launcher_gets_nothing_either() {
    support::all_pass(Fault::ALL.map(async |fault| {
        // An honest server passes no token on that it can see is none.
        let no_token =
            matches!(fault, Fault::Http500 | Fault::Quota | Fault::Hang | Fault::CutBody | Fault::NoX5c);
        // It asks again until its time is over.
        let limits = Limits { launcher: Duration::from_millis(300), ..Limits::default() };
        let limits = if no_token { limits } else { Limits::default() };
        let usleep = Honest::with(|mock| mock.fault(fault), limits).await;
        let ended = Owner::new().release(usleep.address).ends().await;
        if no_token {
            ended.with_code(3).says(&["1011 attestation-unavailable", "nothing was sent"]);
        } else {
            let (_, exit, fails) = FAULTS.iter().find(|(named, ..)| *named == fault).unwrap();
            Refused { name: fault.name(), exit: *exit, fails }.in_text(ended);
        }
        assert!(usleep.received().await.is_empty(), "{fault}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_under_googles_root_only_is_wanted_unless_told_otherwise() {
    let (owner, usleep) = (Owner::new(), Honest::start().await);
    let called = owner.uwear().arg("release").arg(usleep.address.to_string()).args(["--phi", "phi.json"]);
    let ended = called.option("--baseline", support::shipped_baseline()).ends().await;
    ended.with_code(4).says(&[
        "root_pinned",
        "148b293821bb0c6a317f413c8ba475814091cb22d49b9e3c94198db8e8f86c39",
        "against mock-launcher give its root with --root",
    ]);
    assert!(usleep.received().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_policy_lets_another_session_or_another_audience_pass() {
    let allow = "package confidential_space\nimport rego.v1\nallow := true";
    let session: fn(&str) -> Value = |_| json!({"eat_nonce": "bm90IHRoaXMgc2Vzc2lvbg=="});
    let sessions: fn(&str) -> Value = |nonce| json!({"eat_nonce": [nonce, nonce]});
    let audience: fn(&str) -> Value = |_| json!({"aud": "anotherCompany.com"});
    let rows = [
        ("allow everything", session, vec!["session_nonce"]),
        ("allow everything", sessions, vec!["session_nonce"]),
        ("allow everything", audience, vec!["session_audience"]),
        ("codelab", session, vec!["session_nonce", "nonce_verified"]),
        ("codelab", audience, vec!["session_audience", "audience_verified"]),
    ];
    for (policy, patch, fails) in rows {
        let owner = Owner::new();
        owner.file("mine.rego", allow);
        let usleep = Scripted::websocket(move |peer| show(peer, patch)).await;
        let called = owner.release(usleep.address).json();
        let called =
            if policy == "codelab" { codelab(called) } else { called.args(["--policy", "mine.rego"]) };
        let report = called.ends().await.with_code(5).json();
        assert_eq!(named(&report, Some(false)), set(&fails), "{policy}");
        assert_eq!(
            report["rules"][0],
            json!({"name": "allow", "ok": policy != "codelab", "wanted": "", "got": ""})
        );
        usleep.seen().await.no_data(policy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_does_not_say_true_denies() {
    let rows = [
        ("allow := false", "[ allow ]: false"),
        ("allow if input.nothing == 1", "[ allow ]: undefined"),
        ("allow := \"true\"", "[ allow ]: error: "),
        ("allow := 1", "[ allow ]: error: "),
        ("allow if 1 / 0 == 1", "[ allow ]: "),
    ];
    for (rule, says) in rows {
        let owner = Owner::new();
        owner.file("mine.rego", format!("package confidential_space\nimport rego.v1\n{rule}"));
        let usleep = Scripted::websocket(|peer| show(peer, |_| json!({}))).await;
        let called = owner.release(usleep.address).args(["--policy", "mine.rego"]);
        called.ends().await.with_code(5).says(&[says, "Policy check FAILED", "REFUSED: nothing was sent."]);
        usleep.seen().await.no_data(rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codelabs_policy_lets_a_debug_image_pass_which_is_why_it_is_not_the_default() {
    let usleep = Honest::with(|mock| mock.fault(Fault::DebugImage), Limits::default()).await;
    let ended = codelab(Owner::new().release(usleep.address)).ends().await;
    ended.with_code(0).says(&["Policy check PASSED", "Sent payload."]);
    assert_eq!(usleep.received().await, [support::PHI.as_bytes()]);
}

fn codelab(called: Uwear) -> Uwear {
    // The shipped baseline has the codelab's keys too.
    called.args(["--policy", "codelab"])
}

/// What a refusal must say.
struct Refused<'a> {
    name: &'a str,
    exit: i32,
    fails: &'a [Fails],
}

impl Refused<'_> {
    /// The report for people has what was found next to what was wanted, for each failure, and says what next.
    #[track_caller]
    fn in_text(&self, ended: Ended) {
        let verdict = if self.exit == 5 { "Policy check FAILED" } else { "Failed to validate PKI token" };
        let shown = format!("{}: {ended}", self.name);
        ended.with_code(self.exit).says(&[verdict, "REFUSED: nothing was sent."]);
        for (name, found, wanted) in self.fails {
            // A rule that says the same speaks for both.
            if let Some((_, twin)) = TWINS.iter().find(|(check, _)| check == name)
                && self.fails.iter().any(|(name, ..)| name == twin)
            {
                continue;
            }
            let lines: Vec<&str> = shown.lines().collect();
            let heading = format!("  {name} ");
            let at = lines.iter().position(|line| line.starts_with(&heading)).expect(&shown);
            let [found_line, wanted_line, next] = lines[at + 1..at + 4] else { panic!("{shown}") };
            assert!(lines[at].len() > 30, "no meaning: {shown}");
            assert!(found_line.starts_with("      found    ") && found_line.contains(found), "{shown}");
            assert!(wanted_line.starts_with("      wanted   ") && wanted_line.contains(wanted), "{shown}");
            assert!(next.starts_with("      next     "), "{shown}");
        }
        for line in ["Sent payload.", "Policy check PASSED", "JWT is authorized."] {
            assert!(!shown.contains(line), "{shown}");
        }
        assert!(!shown.contains('\x1b') && !shown.contains('\u{202e}'), "{shown}");
    }

    /// The report for programs has exactly these failures; what lost its ground has not run.
    #[track_caller]
    fn in_json(&self, ended: Ended) {
        let report = ended.with_code(self.exit).json();
        let shown = format!("{}: {report:#}", self.name);
        let failed: BTreeSet<String> = self.fails.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(named(&report, Some(false)), failed, "{shown}");
        assert_eq!(named(&report, None), self.not_run(&report), "{shown}");
        assert_eq!(report["exit_code"], self.exit, "{shown}");
        assert_eq!(report["outcome"], if self.exit == 5 { "not-acceptable" } else { "not-proven" });
        assert_eq!(report["released"], false, "{shown}");
        assert!(report.get("result").is_none(), "{shown}");
        let allow = &report["rules"][0];
        let wanted =
            if self.exit == 5 { json!(self.fails[0].0 == "session_claim_absent") } else { json!(null) };
        assert_eq!((&allow["name"], &allow["ok"]), (&json!("allow"), &wanted), "{shown}");
        for (name, found, wanted) in self.fails {
            let rows = ["checks", "rules"].into_iter().flat_map(|part| report[part].as_array().unwrap());
            let row = rows.into_iter().find(|row| row["name"] == *name).unwrap();
            assert!(row["got"].as_str().unwrap().contains(found), "{shown}");
            assert!(row["wanted"].as_str().unwrap().contains(wanted), "{shown}");
            for words in ["meaning", "next"] {
                assert!(row[words].as_str().is_some_and(|words| words.len() > 20), "{shown}");
            }
        }
    }

    fn not_run(&self, report: &Value) -> BTreeSet<String> {
        if self.exit == 5 {
            return BTreeSet::new();
        }
        let rules = report["rules"].as_array().unwrap().iter().filter(|row| row["name"] != "allow");
        let rules: Vec<&str> = rules.map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(rules.len(), 15);
        let checks = report["checks"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
        let checks: Vec<&str> = checks.collect();
        let first = checks.iter().position(|name| *name == self.fails[0].0).unwrap();
        let checks = if AUTHENTICITY.contains(&checks[first]) { &checks[first + 1..] } else { &SESSION };
        set(checks).into_iter().chain(set(&rules)).collect()
    }
}

/// A check and the rule that says the same.
const TWINS: [(&str, &str); 2] =
    [("session_nonce", "nonce_verified"), ("session_audience", "audience_verified")];

/// Shows an authentic token for this session, but for the patch.
async fn show(mut peer: Peer, patch: fn(&str) -> Value) {
    let token = tokens::token(&peer.nonce, &patch(&peer.nonce));
    peer.send(Message::text(token)).await;
    peer.listen().await;
}

/// Asks the launcher for a token as a program does that looks at nothing, and passes on what comes.
async fn pass_on(mut peer: Peer, socket: impl AsRef<Path>) {
    let body = json!({"audience": "uwear", "nonces": [peer.nonce], "token_type": "PKI"}).to_string();
    let length = body.len();
    let mut launcher = UnixStream::connect(socket).await.unwrap();
    // HTTP/1.0 has no chunks: the body ends with the connection.
    let request =
        format!("POST /v1/token HTTP/1.0\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
    launcher.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    launcher.read_to_string(&mut answer).await.unwrap();
    let (_, token) = answer.split_once("\r\n\r\n").unwrap();
    peer.say(token).await;
    peer.listen().await;
}
