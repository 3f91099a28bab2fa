//! The same checks offline: `uwear verify` on token files, of the mock and of Google, and `uwear inspect`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
#[path = "../../attestation/tests/vectors/mod.rs"]
mod vectors;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::scripted::{Peer, Scripted};
use support::{Ended, Owner, Uwear, named, set, shipped_baseline, tokens};

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// `uwear verify token.jwt` with the mock's root.
fn verify(owner: &Owner) -> Uwear {
    let called = owner.uwear().args(["verify", "token.jwt"]).option("--root", tokens::root_file());
    called.option("--baseline", shipped_baseline())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_is_accepted() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    let ended = verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(0);
    assert!(ended.stdout.starts_with("AUTHENTIC, accepted by policy\n"), "{ended}");
    assert!(ended.stderr.is_empty() && !ended.stdout.contains('\u{1b}'), "{ended}");
    ended.says(&[
        "chain      Mock Confidential Space Leaf Certificate",
        "trusted by --root",
        "workload   sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e",
        "where      GCP_AMD_SEV, production image 250800, support LATEST STABLE USABLE, us-west1-b",
        "who        project mock-usleep-project, workload-sa@mock-usleep-project.iam.gserviceaccount.com",
        "checks     21 of 21\n",
        "rules      15 of 15\n",
        "policy confidential_space.rego sha256 ",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_the_nonce_out_is_said() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    let ended = verify(&owner).arg("--no-nonce").ends().await.with_code(0);
    assert!(ended.stdout.starts_with("AUTHENTIC, accepted by policy    (not checked: nonce, --no-nonce)\n"));
    ended.says(&["checks     20 of 20, 1 not run"]);

    let report = verify(&owner).arg("--no-nonce").json().ends().await.with_code(0).json();
    assert!(named(&report, None).contains("session_nonce"), "{report:#}");
    assert_eq!(named(&report, Some(false)), set(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_authentic_from_acceptable() {
    let patched = |patch: Value| tokens::token(NONCE, &patch);
    let minutes_ago = |minutes: i64| tokens::token_at(NONCE, &json!({}), tokens::now() - 60 * minutes);
    let (head, signature) =
        patched(json!({})).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let flipped = format!("{head}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    let rows: Vec<(&str, String, &str, i32, &[&str])> = vec![
        (
            "another nonce",
            patched(json!({"eat_nonce": "bm90IHRoaXM="})),
            NONCE,
            5,
            &["session_nonce", "nonce_verified"],
        ),
        (
            "another audience",
            patched(json!({"aud": "x"})),
            NONCE,
            5,
            &["session_audience", "audience_verified"],
        ),
        ("a debug image", patched(json!({"dbgstat": "enabled"})), NONCE, 5, &["debug_status_verified"]),
        ("a claim of our name", patched(json!({"session": 1})), NONCE, 5, &["session_claim_absent"]),
        ("seven minutes old", minutes_ago(7), NONCE, 4, &["age"]),
        ("two hours old", minutes_ago(120), NONCE, 4, &["expiry", "age"]),
        ("another issuer", patched(json!({"iss": "x"})), NONCE, 4, &["issuer"]),
        ("a flipped signature", flipped, NONCE, 4, &["signature"]),
        ("an OIDC token", tokens::oidc_token(NONCE), NONCE, 4, &["x5c"]),
        ("nothing", String::new(), NONCE, 4, &["shape"]),
        ("garbage", "garbage".to_owned(), NONCE, 4, &["shape"]),
    ];
    support::all_pass(rows.into_iter().map(async |(name, token, nonce, exit, fails)| {
        let owner = Owner::new();
        owner.file("token.jwt", token);
        let called = || verify(&owner).args(["--nonce", nonce]);
        let report = called().json().ends().await.with_code(exit).json();
        assert_eq!(named(&report, Some(false)), set(fails), "{name}");
        assert_eq!(report["exit_code"], exit, "{name}");
        let verdict = if exit == 5 {
            "AUTHENTIC, but not acceptable\n"
        } else {
            "NOT AUTHENTIC, or not valid at this time\n"
        };
        let ended = called().ends().await.with_code(exit);
        assert!(ended.stdout.starts_with(verdict), "{name}: {ended}");
        assert!(ended.stdout.contains("\n      wanted   "), "{name}: {ended}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_googles_root_a_token_of_the_mock_is_not_authentic() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    let called = owner.uwear().args(["verify", "token.jwt", "--no-nonce"]);
    let ended = called.option("--baseline", shipped_baseline()).ends().await.with_code(4);
    ended.says(&[
        "NOT AUTHENTIC",
        "root_pinned",
        "148b293821bb0c6a317f413c8ba475814091cb22d49b9e3c94198db8e8f86c39",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_come_from_standard_input_and_end_in_a_line_break() {
    let owner = Owner::new();
    let token = tokens::token(NONCE, &json!({}));
    for end in ["", "\n", "\r\n"] {
        let called =
            owner.uwear().args(["verify", "-", "--nonce", NONCE]).option("--root", tokens::root_file());
        let called = called.option("--baseline", shipped_baseline()).input(format!("{token}{end}"));
        called.ends().await.with_code(0);
        owner.file("token.jwt", format!("{token}{end}"));
        verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_is_judged_as_of_any_time_that_is_named() {
    let owner = Owner::new();
    // Within the certificates' dates, which begin the day before they were made.
    let iat = tokens::now() - 3600 - 7200;
    owner.file("token.jwt", tokens::token_at(NONCE, &json!({}), iat));
    let rows = [(-61, 4), (-60, 0), (10, 0), (360, 0), (361, 4)];
    for (after, exit) in rows {
        let now = rfc3339(iat + after);
        verify(&owner).args(["--nonce", NONCE, "--now", &now]).ends().await.with_code(exit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_time_can_be_named_and_the_certificates_are_dated_by_it() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    let rows = [
        ("1970-01-01T00:00:00Z", "not valid yet"),
        ("2000-02-29T23:59:59Z", "not valid yet"),
        ("2100-01-01T00:00:00+14:00", "expired"),
        ("9999-12-31T23:59:59Z", "expired"),
    ];
    for (now, says) in rows {
        let ended = verify(&owner).args(["--nonce", NONCE, "--now", now]).ends().await.with_code(4);
        let leaf = ended.stdout.lines().find(|line| line.starts_with("chain ")).unwrap();
        assert!(leaf.ends_with(says), "{now}: {ended}");
        assert!(!ended.stdout.contains("warning: the certificate"), "{now}: {ended}");
    }
    // The reason has the date, which nobody has to work out from seconds.
    let at = |now| verify(&owner).args(["--nonce", NONCE, "--now", now]).ends();
    at("9999-12-31T23:59:59Z").await.says(&["the token's leaf certificate ended on 20"]);
    at("1970-01-01T00:00:00Z").await.says(&["the token's leaf certificate begins on 20"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_future_is_told_by_how_much() {
    let owner = Owner::new();
    let iat = tokens::now();
    owner.file("token.jwt", tokens::token_at(NONCE, &json!({}), iat));
    for (behind, words) in [(61, "1 min 1 s"), (600, "10 min"), (7500, "2 h 5 min")] {
        let now = rfc3339(iat - behind);
        let called = || verify(&owner).args(["--nonce", NONCE, "--now", &now]);
        let meaning =
            format!("the token comes from the future: the clock here is {words} behind the token's");
        called().ends().await.with_code(4).says(&[
            &meaning,
            &format!("iat is {behind} s ahead of the clock, wanted at most 60 s"),
            "set this machine's clock; if it is right, do not trust what answered",
        ]);
        let report = called().json().ends().await.with_code(4).json();
        assert_eq!(named(&report, Some(false)), set(&["not_before", "issued_at"]));
        for row in report["checks"].as_array().unwrap().iter().filter(|row| row["ok"] == false) {
            assert_eq!(row["meaning"], meaning);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_an_image_that_is_not_approved_is_ready_to_be_pasted() {
    let digest = "sha256:1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e1b7e44d0";
    let paste = format!(
        "if it is sound, add \"{digest}\" to allowed_submods_container_image_digest of your baseline"
    );
    // What is no digest must not get into a baseline by way of our advice.
    let capitals = digest.replace("b7e", "B7E");
    let rows =
        [(digest, true), (&*capitals, false), (&digest[..70], false), ("sha256:\", \"", false), ("", false)];
    for (digest, pastes) in rows {
        let owner = Owner::new();
        let patch = json!({"submods": {"container": {"image_digest": digest}}});
        owner.file("token.jwt", tokens::token(NONCE, &patch));
        let ended = verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(5);
        let found = format!("      found    {}", if digest.is_empty() { "nothing" } else { digest });
        assert!(ended.stdout.lines().any(|line| line == found), "{ended}");
        assert_eq!(ended.stdout.contains(&paste), pastes, "{ended}");
        assert!(ended.stdout.contains("audit "), "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_near_their_end_are_warned_of_if_they_are_genuine() {
    const DAY: i64 = 86_400;
    let iat = tokens::now();
    for (days, warns, flipped) in
        [(63, true, false), (89, true, false), (91, false, false), (63, false, true)]
    {
        let now = time::OffsetDateTime::from_unix_timestamp(iat).unwrap();
        let mut spec = tokens::pki().chain_spec(now).unwrap();
        spec.intermediates[0].not_after = now + time::Duration::seconds(days * DAY + 600);
        let mint = mock_launcher::Mint::chain(&spec.issue().unwrap()).unwrap();
        let claims = mock_launcher::claims::default_claims("uwear", &[NONCE.to_owned()], iat);
        let token = mint.token(&claims).unwrap();
        let owner = Owner::new();
        owner.file("token.jwt", if flipped { token[..token.len() - 2].to_owned() + "AA" } else { token });
        let exit = if flipped { 4 } else { 0 };
        let report = verify(&owner).args(["--nonce", NONCE]).json().ends().await.with_code(exit).json();
        let ends = (now + time::Duration::seconds(days * DAY + 600)).date();
        let warning = format!(
            "the certificate Mock Confidential Space Intermediate CA ends in {days} days, on {ends}: from then on \
             tokens that come with it are refused"
        );
        let mut warnings = vec![support::other_roots()];
        warnings.extend(warns.then(|| warning.clone()));
        assert_eq!(report["warnings"], json!(warnings), "{days} days");
        let ended = verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(exit);
        assert_eq!(ended.stdout.contains(&format!("warning: {warning}")), warns, "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_warns_of_certificates_near_their_end_however_it_ends() {
    let issued = |patch: Value| {
        move |mut peer: Peer| {
            let patch = patch.clone();
            async move {
                let now = time::OffsetDateTime::now_utc();
                let mut spec = tokens::pki().chain_spec(now).unwrap();
                spec.intermediates[0].not_after =
                    now + time::Duration::days(63) + time::Duration::minutes(10);
                let mint = mock_launcher::Mint::chain(&spec.issue().unwrap()).unwrap();
                let nonce = peer.nonce.clone();
                let mut claims =
                    mock_launcher::claims::default_claims("uwear", &[nonce], now.unix_timestamp());
                mock_launcher::claims::merge(&mut claims, &patch);
                peer.say(mint.token(&claims).unwrap()).await;
                let _ = peer.next().await;
            }
        }
    };
    let rows = [(json!({}), 0), (json!({"iss": "x"}), 4), (json!({"dbgstat": "enabled"}), 5)];
    for (patch, exit) in rows {
        let (owner, server) = (Owner::new(), Scripted::websocket(issued(patch)).await);
        let says = "warning: the certificate Mock Confidential Space Intermediate CA ends in 63 days";
        owner.release(server.address).ends().await.with_code(exit).says(&[says]);
        let report = owner.release(server.address).json().ends().await.with_code(exit).json();
        let warnings = report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap());
        let of_ends = warnings.filter(|warning| warning.starts_with(&says["warning: ".len()..]));
        assert_eq!(of_ends.count(), 1, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_not_trusted_is_not_said_to_be_pinned() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({})));
    let called = owner.uwear().args(["verify", "token.jwt", "--no-nonce"]);
    let ended = called.option("--baseline", shipped_baseline()).ends().await.with_code(4);
    let root = ended.stdout.lines().find(|line| line.contains("Mock Confidential Space Root CA")).unwrap();
    assert!(root.ends_with("   not trusted"), "{ended}");
    assert!(!ended.stdout.contains("pinned, built in") && !ended.stdout.contains("--root:"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_named_like_a_check_says_nothing_of_the_check() {
    let owner = Owner::new();
    let policy = "package confidential_space\nimport rego.v1\nallow := false\nsession_nonce := true\n\
                  signature := false\nsize := false";
    owner.file("mine.rego", policy);
    // The nonce is another session's, whatever the rule of that name says.
    owner.file("token.jwt", tokens::token("bm90IHRoaXM=", &json!({})));
    let called = verify(&owner).args(["--nonce", NONCE, "--policy", "mine.rego"]);
    let report = called.json().ends().await.with_code(5).json();
    let ok = |part: &str, name: &str| {
        let row = report[part].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
        (row["ok"].clone(), row.get("meaning").is_some())
    };
    for (part, name, wanted) in [
        ("checks", "session_nonce", (json!(false), true)),
        ("rules", "session_nonce", (json!(true), false)),
        ("checks", "signature", (json!(true), false)),
        ("rules", "signature", (json!(false), false)),
        ("checks", "size", (json!(true), false)),
        ("rules", "size", (json!(false), false)),
    ] {
        assert_eq!(ok(part, name), wanted, "{part} {name}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_what_held_and_what_was_not_run() {
    let owner = Owner::new();
    let token = tokens::token(NONCE, &json!({"dbgstat": "enabled", "hwmodel": "GCP_AMD_SEV_ES"}));
    owner.file("token.jwt", &token);
    let ended = verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(5);
    ended.says(&[
        "\n  hw_verified ",
        "\n  debug_status_verified ",
        "\nheld: size, shape, header, algorithm, critical, x5c, root_pinned, chain, root_validity, leaf_key, \
         signature, claims, issuer, not_before, expiry, issued_at, age, lifetime, session_nonce, \
         session_audience, session_claim_absent, image_digest_verified, ",
    ]);
    owner.file("token.jwt", token[..token.len() - 2].to_owned() + "AA");
    let ended = verify(&owner).args(["--nonce", NONCE]).ends().await.with_code(4);
    ended.says(&[
        "\n  signature ",
        "\nheld: size, shape, header, algorithm, critical, x5c, root_pinned, chain, root_validity, leaf_key\n",
        "\nnot run: claims, issuer, not_before, expiry, issued_at, age, lifetime, session_nonce, \
         session_audience, session_claim_absent, and no rule of the policy\n",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_the_same_text_with_and_without_colour() {
    let owner = Owner::new();
    owner.file("token.jwt", tokens::token(NONCE, &json!({"dbgstat": "enabled"})));
    // Standard output is no terminal here.
    let now = rfc3339(tokens::now());
    let called = || verify(&owner).args(["--nonce", NONCE, "--now", &now]);
    let piped = called().ends().await.with_code(5).stdout;
    let no_colour = called().env("NO_COLOR", "1").ends().await.with_code(5).stdout;
    let coloured = called().env("CLICOLOR_FORCE", "1").ends().await.with_code(5).stdout;
    assert_eq!(piped, no_colour);
    assert!(!piped.contains('\u{1b}') && coloured.contains("\u{1b}["));
    let mut plain = String::new();
    for (number, part) in coloured.split('\u{1b}').enumerate() {
        plain.push_str(if number == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, piped);
}

/// Seconds since 1970 as `uwear` takes them.
fn rfc3339(seconds: i64) -> String {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    OffsetDateTime::from_unix_timestamp(seconds).unwrap().format(&Rfc3339).unwrap()
}

const PRODUCTION: &str = "prod_tdx_2025-09.pki.jwt";
const PRODUCTION_NOW: &str = "2025-09-05T08:17:40Z";
const PRODUCTION_NONCE: &str = "75a91c8dbe289f190d5e70ab1cb70c93cc14d7243f0ef3ff5326a622ead220a6";

/// What the owner of the production token's workload would write.
fn production_baseline() -> String {
    let shipped: Value = serde_json::from_slice(&std::fs::read(shipped_baseline()).unwrap()).unwrap();
    let mut mine = shipped;
    mock_launcher::claims::merge(
        &mut mine,
        &json!({
            "allowed_submods_container_image_digest":
                ["sha256:e2e5e3672f416ac9ca71aa639abf86db0b713729a48c125a925af6c808b20b5d"],
            "image_digest_notes": null,
            "allowed_aud": ["z08381475938604996746"],
            "allowed_project_id": ["oak-examples-477357"],
            "allowed_service_account": ["724467010559-compute@developer.gserviceaccount.com"],
        }),
    );
    mine.to_string()
}

/// `uwear verify` of one of Google's real tokens, or `None` where there are none.
async fn verify_real(name: &str, arguments: &[&str]) -> Option<Ended> {
    let token = vectors::read(name)?;
    let owner = Owner::new();
    owner.file("token.jwt", token);
    owner.file("mine.json", production_baseline());
    let called = owner.uwear().args(["verify", "token.jwt", "--baseline", "mine.json"]);
    Some(called.args(arguments.iter().copied()).ends().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_production_token_is_accepted_with_the_baseline_made_for_it() {
    let accepted =
        ["--audience", "z08381475938604996746", "--nonce", PRODUCTION_NONCE, "--now", PRODUCTION_NOW];
    let Some(ended) = verify_real(PRODUCTION, &accepted).await else { return };
    let ended = ended.with_code(0);
    assert!(ended.stdout.starts_with("AUTHENTIC, accepted by policy\n"), "{ended}");
    ended.says(&[
        "Confidential Space Root CA",
        "2024-01-19 .. 2034-01-16   pinned, built in",
        "2024-01-23 .. 2027-01-23   505 days left",
        "where      GCP_INTEL_TDX, production image",
        "who        project oak-examples-477357, 724467010559-compute@developer.gserviceaccount.com",
        "rules      15 of 15",
    ]);

    // The same for another time, nonce, audience, or baseline.
    let rows: [(&[&str], i32, &[&str]); 4] = [
        (
            &["--audience", "z08381475938604996746", "--no-nonce", "--now", "2025-09-05T09:17:40Z"],
            4,
            &["age"],
        ),
        (&["--audience", "uwear", "--no-nonce", "--now", PRODUCTION_NOW], 5, &["session_audience"]),
        (
            &["--audience", "z08381475938604996746", "--nonce", NONCE, "--now", PRODUCTION_NOW],
            5,
            &["session_nonce", "nonce_verified"],
        ),
        (&["--audience", "z08381475938604996746", "--no-nonce"], 4, &["chain"]),
    ];
    for (arguments, exit, fails) in rows {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
        let report = verify_real(PRODUCTION, &arguments).await.unwrap().with_code(exit).json();
        assert_eq!(named(&report, Some(false)), set(fails), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_debug_token_is_authentic_and_refused_for_its_debug_status() {
    let now = "2025-06-23T14:22:41Z";
    let arguments = ["--no-nonce", "--now", now];
    let Some(ended) = verify_real("debug_sev_2025-06.pki.jwt", &arguments).await else { return };
    ended.with_code(5).says(&[
        "AUTHENTIC, but not acceptable",
        "DEBUG image",
        "debug_status_verified       a debug image: its operator has root and can read everything",
        "found    enabled",
        "wanted   disabled-since-boot",
        "ask the operator to launch the image family confidential-space, not confidential-space-debug",
        "support_attributes_verified",
    ]);

    let altered = verify_real("debug_sev_2025-06_badsig.pki.jwt", &arguments).await.unwrap().with_code(4);
    altered.says(&[
        "NOT AUTHENTIC",
        "the token was altered or not signed by its certificate's key",
        "not run: claims, issuer",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_oidc_token_is_refused_for_want_of_certificates() {
    let arguments = ["--no-nonce", "--now", "2024-05-17T17:48:27Z"];
    let Some(ended) = verify_real("cvm_oidc_2024-05.jwt", &arguments).await else { return };
    ended.with_code(4).says(&[
        "x5c",
        "wanted a PKI token, got another type, such as OIDC",
        "token_type PKI, in capitals",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_token_says_that_nobody_verified_it() {
    let owner = Owner::new();
    let patch = json!({
        "submods": {"container": {"image_reference": "\u{1b}[2J\u{202e}", "\u{1b}]0;x\u{7}": "name"}},
        "eat_nonce": "x".repeat(300),
    });
    owner.file("token.jwt", tokens::token(NONCE, &patch) + "\n");
    let ended = owner.uwear().args(["inspect", "token.jwt"]).ends().await.with_code(0);
    assert!(ended.stdout.starts_with("UNVERIFIED: anybody can have written this"), "{ended}");
    assert!(!ended.stdout.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{ended}");
    ended.says(&[
        // As JSON, in which a backslash is written twice.
        r"\\u{1b}[2J\\u{202e}",
        r"\\u{1b}]0;x\\u{7}",
        "\"x5c\": \"3 entries\"",
        "certificate  Mock Confidential Space Leaf Certificate",
        "GCP_AMD_SEV",
    ]);

    let ended = owner.uwear().args(["inspect", "token.jwt"]).json().ends().await.with_code(0);
    let shown = ended.json();
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["header"]["alg"], "RS256");
    assert_eq!(shown["certificates"].as_array().unwrap().len(), 3);
    assert_eq!(shown["claims"]["eat_nonce"].as_str().unwrap().chars().count(), 257, "cut, and marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_possible_at_tokens_that_would_never_be_accepted() {
    let owner = Owner::new();
    let segment = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let none = format!("{}.{}.AAAA", segment(json!({"alg": "none"})), segment(json!({"swname": "GCE"})));
    let oidc = tokens::oidc_token(NONCE);
    for (token, says) in [(none.as_str(), "\"alg\": \"none\""), (oidc.as_str(), "\"alg\": \"RS256\"")] {
        let ended = owner.uwear().args(["inspect", "-"]).input(token).ends().await;
        ended.with_code(0).says(&["UNVERIFIED", says]);
    }
    // The certificates are shown whatever else the header says, each in its place.
    let x5c: Vec<String> = tokens::pki().x5c().iter().map(|der| STANDARD.encode(der)).collect();
    let rows = [
        (json!({"alg": "ES256", "x5c": x5c}), vec![true, true, true]),
        (json!({"alg": "RS256", "x5c": x5c[..1]}), vec![true]),
        (
            json!({"alg": "RS256", "x5c": ["AAAA", x5c[1], 7, "!", x5c[2]]}),
            vec![false, true, false, false, true],
        ),
        (json!({"x5c": vec![x5c[0].clone(); 17]}), vec![true; 16]),
        (json!({"x5c": x5c[0]}), vec![]),
    ];
    for (header, read) in rows {
        let token = format!("{}.e30.AAAA", segment(header));
        let called = || owner.uwear().args(["inspect", "-"]).input(token.clone());
        let shown = called().json().ends().await.with_code(0).json();
        let certificates = shown["certificates"].as_array().unwrap().iter();
        assert_eq!(certificates.map(Value::is_object).collect::<Vec<_>>(), read, "{shown:#}");
        let text = called().ends().await.with_code(0).stdout;
        assert_eq!(text.matches("\ncertificate  ").count(), read.len(), "{text}");
        assert_eq!(text.contains("certificate  (cannot be read)"), read.contains(&false), "{text}");
    }
    for no_token in ["", "garbage", "a.b.c", "e30.e30"] {
        let ended = owner.uwear().args(["inspect", "-"]).input(no_token).ends().await;
        ended.with_code(4).with_one_complaint(&[]);
    }
}
