//! The whole attack catalogue, end to end: every forged token of `attestation/tests/catalogue` and every attack of
//! `sessions/` against a real connection, with the bytes on the wire recorded at every hop.
//!
//! The library's client meets every row; the real program meets every row that needs a session, and of the forged
//! tokens a choice with each check and each group in it. Nothing that the forgers do gets a byte of data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../attestation/tests/catalogue/mod.rs"]
mod catalogue;
mod sessions;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use attestation::{Anchors, Check, Expectation, Token, Verifier, VerifyError};
use catalogue::Attack as Forged;
use policy::{Baseline, Outcome, Policy, PolicySource, RuleOutcome};
use rustls::pki_types::UnixTime;
use serde_json::Value;
use session::client::Connected;
use session::{ConnectOptions, LinkError, Wire, connect};
use sessions::{Attack, Received, Stage, claims, clients, receipts, relay, show, take_phi, version_1, wire};
use support::scripted::Scripted;
use support::{Owner, named, set, tokens};
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode as _, EncodePem as _};

/// The forged tokens, dated around the time at which the tests began.
static FORGED: LazyLock<Arc<Vec<Forged>>> =
    LazyLock::new(|| Arc::new(catalogue::attacks(u64::try_from(tokens::now()).unwrap())));

#[tokio::test(flavor = "multi_thread")]
async fn every_forged_token_is_refused_by_its_own_error_over_a_real_connection() {
    support::all_pass((0..FORGED.len()).map(async |index| {
        let row = &FORGED[index];
        let server = Scripted::websocket(move |mut peer| async move {
            peer.say(FORGED[index].token.clone()).await;
            peer.listen().await;
        });
        let server = server.await;
        let connected = dial(&server).await;
        match connected.receive_token().await {
            Ok(presented) => {
                let unproven = presented.attest(&verifier(&row.root), at(row.now)).err().unwrap();
                assert_eq!(unproven.error, row.wanted, "{}", row.name);
                unproven.close().await;
            }
            Err(error) => {
                assert_eq!(row.wanted, VerifyError::TooLarge { got: row.token.len() }, "{}", row.name);
                assert!(matches!(error, LinkError::TooLarge { .. }), "{}: {error}", row.name);
            }
        }
        server.seen().await.no_data(&row.name);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_refuses_forged_tokens_of_every_check_and_group() {
    let chosen = chosen();
    let checks: BTreeSet<Check> = chosen.iter().map(|row| row.wanted.check()).collect();
    assert_eq!(checks, BTreeSet::from(Check::ALL));
    println!("{} forged tokens", chosen.len());

    support::all_pass(chosen.into_iter().map(async |row| {
        let owner = Owner::new();
        let root = Certificate::from_der(&row.root).unwrap().to_pem(LineEnding::LF).unwrap();
        owner.file("root.pem", root);
        let server = Scripted::websocket(move |mut peer| async move {
            peer.say(row.token.clone()).await;
            peer.listen().await;
        });
        let server = server.await;
        let called = owner.uwear().arg("release").arg(server.address.to_string()).args(["--wire", "0"]);
        let called = called.args(["--phi", "phi.json"]);
        let called = called.option("--baseline", support::shipped_baseline());
        let report = called.args(["--root", "root.pem"]).json().ends().await.with_code(4).json();
        assert_eq!((&report["released"], &report["exit_code"]), (&false.into(), &4.into()), "{}", row.name);
        judged_as_wanted(&report, row);
        server.seen().await.no_data(&row.name);
    }))
    .await;
}

/// Exactly the wanted checks have failed, those before have held, those after have not run.
#[track_caller]
fn judged_as_wanted(report: &Value, row: &Forged) {
    let shown = format!("{}: {report:#}", row.name);
    let failed = failing(row);
    let Some(ended) = failed.first().filter(|_| row.wanted.check() != Check::Size) else {
        // It was never a token: the connection says so, and nothing was judged.
        assert_eq!(report["checks"], Value::Array(Vec::new()), "{shown}");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.starts_with("no token: the message is too large: wanted at most "), "{shown}");
        return;
    };
    let names = |checks: &[Check]| checks.iter().map(|check| check.name().to_owned()).collect();
    assert_eq!(named(report, Some(false)), names(&failed), "{shown}");
    let (held, not_run): (Vec<Check>, Vec<Check>) = Check::ALL
        .into_iter()
        .filter(|check| !failed.contains(check))
        .partition(|check| *ended > Check::Claims || check < ended);
    assert_eq!(named(report, Some(true)), names(&held), "{shown}");
    let mut not_run: BTreeSet<String> = names(&not_run);
    not_run.extend(set(&["session_nonce", "session_audience", "session_claim_absent"]));
    let rules = report["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap());
    not_run.extend(rules.filter(|name| *name != "allow").map(str::to_owned));
    assert_eq!(named(report, None), not_run, "{shown}");
    // Errors on times count the seconds to a clock that has moved on.
    if *ended <= Check::Claims {
        assert_eq!(report["reason"], row.wanted.to_string(), "{shown}");
    }
}

/// About forty rows: the first of each check in each group, then every so many of the rest. Rows at a limit to the
/// second are left out, since the program reads a clock of its own.
fn chosen() -> Vec<&'static Forged> {
    let stays: Vec<&Forged> = FORGED.iter().filter(|row| stays_the_same(row)).collect();
    let mut first = BTreeMap::new();
    for row in &stays {
        first.entry((row.group, row.wanted.check())).or_insert(*row);
    }
    let mut chosen: BTreeMap<&str, &Forged> = first.into_values().map(|row| (&*row.name, row)).collect();
    for row in stays.iter().step_by(stays.len().div_ceil(24)) {
        chosen.insert(&row.name, row);
    }
    chosen.into_values().collect()
}

fn stays_the_same(row: &Forged) -> bool {
    let Ok(token) = Token::new(&*row.token) else { return true };
    let report = verifier(&row.root).report(&token, at(row.now + 60));
    let failed = report.checks().iter().filter(|outcome| outcome.ok == Some(false));
    failed.map(|outcome| outcome.check).eq(failing(row))
}

/// The checks that fail, in order.
fn failing(row: &Forged) -> Vec<Check> {
    std::iter::once(&row.wanted).chain(&row.also).map(VerifyError::check).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_token_that_is_not_exactly_ours_fails_those_checks_and_rules_alone() {
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
    let policy = Arc::new(Policy::compile(PolicySource::Default, baseline).unwrap());
    support::all_pass(claims::ROWS.iter().map(move |row| {
        let policy = Arc::clone(&policy);
        async move {
            let server = Scripted::websocket(|peer| show(peer, row.patch)).await;
            let presented = dial(&server).await.receive_token().await.unwrap();
            let attested = presented.attest(&verifier(tokens::pki().root()), UnixTime::now());
            let attested = attested.map_err(|unproven| unproven.error).unwrap();
            match attested.decide(&policy, "uwear", UnixTime::now()) {
                Ok(approved) => {
                    assert!(row.is_genuine(), "{}: approved", row.name);
                    drop(approved);
                }
                Err(denied) => {
                    let decision = &denied.decision;
                    let outcomes = decision.checks().iter().chain(decision.rules());
                    let failed: BTreeSet<String> = outcomes.filter(|rule| fails(rule)).map(name).collect();
                    assert_eq!(failed, set(row.fails), "{}", row.name);
                    denied.close().await;
                }
            }
            server.seen().await.no_data(row.name);
        }
    }))
    .await;
}

fn fails(rule: &RuleOutcome) -> bool {
    rule.outcome != Outcome::True && rule.name != "allow"
}

fn name(rule: &RuleOutcome) -> String {
    rule.name.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_releases_for_no_authentic_token_but_one_of_its_own_session() {
    support::all_pass(claims::ROWS.iter().map(async |row| {
        let (exit, received) = if row.is_genuine() { (0, Received::Phi) } else { (5, Received::Nothing) };
        let server = Scripted::websocket(move |mut peer| async move {
            let token = tokens::token(&peer.nonce, &(row.patch)(&peer.nonce));
            peer.say(token).await;
            take_phi(peer).await;
        });
        let stage = Stage::of(server.await, received);
        meet(row.name, "0", stage, exit, row.fails, "").await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_relay_replay_or_message_out_of_turn_gets_a_byte() {
    support::all_pass(attacks().map(async |(_, row)| {
        meet(row.name, row.wire, (row.stage)().await, row.exit, row.fails, row.reason).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_that_does_not_prove_itself_over_its_own_session_is_served_where_that_is_required() {
    support::all_pass(clients::ROWS.iter().map(async |row| clients::meet(row).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_told_of_in_its_own_words() {
    support::all_pass(relay::ROWS.iter().filter(|row| row.exit == 5).map(async |row| {
        let stage = (row.stage)().await;
        let ended = Owner::new().release(stage.address).ends().await.with_code(5);
        ended.says(&[
            "REFUSED: nothing was sent.",
            "the token is authentic, but for another TLS session",
            "something between you and USleep ends TLS: a proxy, a load balancer in HTTP mode, or an attacker",
        ]);
        stage.end.await;
    }))
    .await;
}

#[test]
fn the_catalogue_has_every_group_and_no_name_twice() {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (group, name) in rows() {
        *groups.entry(group).or_default() += 1;
        assert!(names.insert(name), "{name:?} twice");
    }
    println!("{} attacks: {groups:?}", names.len());
    assert!(names.len() >= 80, "{} attacks", names.len());
    for (group, least) in [
        ("header", 80),
        ("chain", 80),
        ("signature", 30),
        ("claims", 80),
        ("nonce", 12),
        ("audience", 5),
        ("session", 20),
        ("version 1", 30),
        ("receipt", 8),
        ("client", 15),
    ] {
        assert!(groups[group] >= least, "{group}: {} attacks", groups[group]);
    }
    assert_eq!(groups.len(), 10, "{groups:?}");
}

#[test]
fn what_the_security_policy_names_is_there() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let security = std::fs::read_to_string(project.join("SECURITY.md")).unwrap();
    let (mut sources, mut missing) = (String::new(), Vec::new());
    for part in ["attestation", "launcher", "policy", "session", "sleep", "usleep", "uwear"] {
        read_sources(&project.join(part), &mut sources);
    }

    let between = |mark: char| security.split(mark).skip(1).step_by(2);
    // A test's name: it has no spaces and says something.
    let is_test = |text: &&str| text.matches('_').count() >= 3 && !text.contains([' ', '.', '-']);
    let tests: BTreeSet<&str> = between('`').filter(is_test).collect();
    assert!(tests.len() > 20, "{tests:?}");
    missing.extend(tests.into_iter().filter(|test| !sources.contains(&format!("fn {test}("))));

    let rows = rows();
    let examples: BTreeSet<&str> = between('"').collect();
    assert!(examples.len() > 10, "{examples:?}");
    missing.extend(examples.into_iter().filter(|example| !rows.iter().any(|(_, name)| name == example)));
    assert_eq!(missing, Vec::<&str>::new());

    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for (group, _) in &rows {
        *groups.entry(group).or_default() += 1;
    }
    for (group, count) in groups {
        assert!(security.contains(&format!("\n| {group} | {count} | ")), "{group}: {count} rows");
    }
    assert!(security.contains(&format!("\n{} attacks, a row each", rows.len())), "{} rows", rows.len());
}

/// All Rust text below a folder.
fn read_sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read_sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Group and name of every attack.
fn rows() -> Vec<(&'static str, &'static str)> {
    let forged = FORGED.iter().map(|row| (row.group, &*row.name));
    let claims = claims::ROWS.iter().filter(|row| !row.is_genuine()).map(|row| (row.group, row.name));
    let groups = attacks().filter(|(_, row)| row.exit != 0).map(|(group, row)| (group, row.name));
    let clients = clients::ROWS.iter().filter(|row| !row.is_genuine()).map(|row| ("client", row.name));
    forged.chain(claims).chain(groups).chain(clients).collect()
}

/// Group and row of every attack on a session of the program.
fn attacks() -> impl Iterator<Item = (&'static str, &'static Attack)> {
    let sessions = [wire::TLS, wire::MESSAGES, wire::FRAMES, relay::ROWS].into_iter().flatten();
    let sessions = sessions.map(|row| ("session", row));
    let version_1 = version_1::ROWS.iter().map(|row| ("version 1", row));
    sessions.chain(version_1).chain(receipts::ROWS.iter().map(|row| ("receipt", row)))
}

/// Walks the real program into an attack.
async fn meet(name: &str, wire: &str, stage: Stage, exit: i32, fails: &[&str], reason: &str) {
    let report = Owner::new().release_in(stage.address, wire).json().ends().await.with_code(exit).json();
    let shown = format!("{name}: {report:#}");
    assert_eq!(named(&report, Some(false)), set(fails), "{shown}");
    // What is wrong with a receipt shows after the release only.
    assert_eq!(report["released"], matches!(exit, 0 | 6), "{shown}");
    assert!(report["reason"].as_str().unwrap_or_default().starts_with(reason), "{shown}");
    if exit == 5 {
        // All is judged: nothing stays open beside what failed.
        assert_eq!(named(&report, None), set(&[]), "{shown}");
    }
    stage.end.await;
}

async fn dial(server: &Scripted) -> Connected {
    let options = ConnectOptions { wire: Wire::V0, ..ConnectOptions::default() };
    connect(&server.address.to_string().parse().unwrap(), &options).await.unwrap()
}

fn verifier(root: &[u8]) -> Verifier {
    Verifier::new(Anchors::from_der([root]).unwrap(), Expectation::default())
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}
