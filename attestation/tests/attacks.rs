//! The attack catalogue against the verifier: each forged token is refused by one error, at one check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod catalogue;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use attestation::{
    Anchors, Certificate, Check, Expectation, Report, Token, UnverifiedToken, Verifier, VerifyError,
    printable,
};
use rustls_pki_types::UnixTime;

use catalogue::Attack;

/// 2025-06-23, between the dates of any certificate that matters.
const NOW: u64 = 1_750_688_561;

static ATTACKS: LazyLock<Vec<Attack>> = LazyLock::new(|| catalogue::attacks(NOW));

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn verifier(root: &[u8]) -> Verifier {
    Verifier::new(Anchors::from_der([root]).unwrap(), Expectation::default())
}

/// The verdict, which for a token too long comes when it is taken in.
fn verdict(attack: &Attack) -> Result<(), VerifyError> {
    match Token::new(&*attack.token) {
        Ok(token) => verifier(&attack.root).verify(&token, at(attack.now)).map(drop),
        Err(too_large) => Err(VerifyError::TooLarge { got: too_large.got }),
    }
}

#[test]
fn every_attack_is_refused_by_its_own_error() {
    let mut wrong = Vec::new();
    for attack in &*ATTACKS {
        let got = verdict(attack);
        if got != Err(attack.wanted.clone()) {
            wrong.push(format!(
                "{}: {}\n  wanted {:?}\n  got    {got:?}",
                attack.group, attack.name, attack.wanted
            ));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_attack_gains_anything_by_a_chain_that_is_known() {
    for attack in &*ATTACKS {
        let Ok(token) = Token::new(&*attack.token) else { continue };
        let verifier = verifier(&attack.root).with_chain_cache();
        for _ in 0..2 {
            let got = verifier.verify(&token, at(attack.now)).map(drop);
            assert_eq!(got, Err(attack.wanted.clone()), "{}: {}", attack.group, attack.name);
        }
    }
    for row in catalogue::genuine(NOW) {
        let token = Token::new(row.token).unwrap();
        let verifier = verifier(&row.root).with_chain_cache();
        for _ in 0..2 {
            assert!(verifier.verify(&token, at(row.now)).is_ok(), "{}", row.name);
        }
    }
}

#[test]
fn no_attack_gains_anything_by_a_header_that_is_known() {
    let genuine = catalogue::genuine(NOW);
    let mut with_one_known = 0;
    for attack in &*ATTACKS {
        let Ok(token) = Token::new(&*attack.token) else { continue };
        let header = attack.token.split('.').next();
        let verifier = verifier(&attack.root);
        if let Some(row) = genuine.iter().find(|row| row.root == attack.root) {
            verifier.verify(&Token::new(&*row.token).unwrap(), at(row.now)).unwrap();
            with_one_known += usize::from(row.token.split('.').next() == header);
        }
        let got = verifier.verify(&token, at(attack.now)).map(drop);
        assert_eq!(got, Err(attack.wanted.clone()), "{}: {}", attack.group, attack.name);
    }
    assert!(with_one_known > 100, "only {with_one_known} attacks have the header that is known");
}

#[test]
fn what_is_at_a_limit_or_odd_and_signed_as_it_is_verifies() {
    for row in catalogue::genuine(NOW) {
        let token = Token::new(row.token).unwrap();
        let verified = verifier(&row.root).verify(&token, at(row.now));
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        assert_eq!(verified.claims().software_name.as_deref(), row.software_name, "{}", row.name);
        let report = verifier(&row.root).report(&token, at(row.now));
        assert!(report.checks().iter().all(|outcome| outcome.ok == Some(true)), "{}", row.name);
        assert_eq!(report.claims(), Some(verified.claims()), "{}", row.name);
    }
}

#[test]
fn the_report_agrees_with_the_verdict_and_runs_no_check_on_what_is_not_authentic() {
    for attack in &*ATTACKS {
        let Ok(token) = Token::new(&*attack.token) else {
            assert_eq!(attack.wanted.check(), Check::Size, "{}", attack.name);
            continue;
        };
        let report = verifier(&attack.root).report(&token, at(attack.now));
        assert_eq!(report.verdict().map(drop), Err(&attack.wanted), "{}", attack.name);

        let failed: Vec<&VerifyError> = std::iter::once(&attack.wanted).chain(&attack.also).collect();
        let ended = failed.iter().map(|error| error.check()).find(|check| *check <= Check::Claims);
        assert_eq!(report.claims().is_some(), ended.is_none(), "{}", attack.name);
        assert_eq!(report.checks().len(), Check::ALL.len(), "{}", attack.name);
        for (outcome, check) in report.checks().iter().zip(Check::ALL) {
            assert_eq!(outcome.check, check);
            let error = failed.iter().find(|error| error.check() == check);
            let (ok, got) = match (error, ended) {
                (Some(error), _) => (Some(false), Some(printable(&error.to_string()))),
                (None, Some(ended)) if ended < check => (None, Some(String::new())),
                (None, _) => (Some(true), None),
            };
            assert_eq!(outcome.ok, ok, "{}: {check}", attack.name);
            assert!(!outcome.wanted.is_empty(), "{}: {check}", attack.name);
            match got {
                Some(got) => assert_eq!(outcome.got, got, "{}: {check}", attack.name),
                None => assert_ne!(outcome.got, "", "{}: {check}", attack.name),
            }
        }
    }
}

#[test]
fn nothing_foreign_reaches_an_error_or_a_report_unescaped() {
    for attack in &*ATTACKS {
        let Ok(token) = Token::new(&*attack.token) else { continue };
        let report: Report = verifier(&attack.root).report(&token, at(attack.now));
        let mut shown = vec![attack.wanted.to_string(), format!("{:?}", attack.wanted)];
        shown
            .extend(report.checks().iter().flat_map(|outcome| [outcome.wanted.clone(), outcome.got.clone()]));
        shown.extend(report.certificates().iter().flatten().map(|certificate| certificate.name.clone()));
        for text in shown {
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{}: {text:?}", attack.name);
            assert!(text.len() < 2048, "{}: {} bytes", attack.name, text.len());
        }
    }
}

#[test]
fn the_catalogue_has_a_row_for_every_check_and_no_name_twice() {
    let checks: BTreeSet<Check> = ATTACKS.iter().map(|attack| attack.wanted.check()).collect();
    assert_eq!(checks, BTreeSet::from(Check::ALL));
    for certificate in [Certificate::Leaf, Certificate::Intermediate, Certificate::Root] {
        let dated = |attack: &Attack| matches!(&attack.wanted, VerifyError::CertificateExpired { certificate: found, .. } if *found == certificate);
        assert!(ATTACKS.iter().any(dated), "no expired {certificate}");
    }

    let mut names = BTreeSet::new();
    for attack in &*ATTACKS {
        assert!(names.insert(&*attack.name), "{:?} twice", attack.name);
    }
    for group in ["header", "chain", "signature", "claims"] {
        let rows = ATTACKS.iter().filter(|attack| attack.group == group).count();
        println!("{group}: {rows} rows");
        assert!(rows >= 30, "{group}: {rows} rows");
    }
}

#[test]
fn the_catalogue_is_the_same_at_another_time() {
    let later = NOW + 40_000_000;
    for attack in catalogue::attacks(later) {
        assert_eq!(
            verdict(&attack).map_err(|error| error.check()),
            Err(attack.wanted.check()),
            "{}",
            attack.name
        );
    }
    for row in catalogue::genuine(later) {
        let token = Token::new(row.token).unwrap();
        assert!(verifier(&row.root).verify(&token, at(later)).is_ok(), "{}", row.name);
    }
}

#[test]
fn a_text_over_the_limit_is_refused_before_it_is_taken_apart() {
    let over = attestation::message::MAX_TOKEN_BYTES + 1;
    let text = ".".repeat(over);
    assert_eq!(UnverifiedToken::parse(&text).map(drop), Err(VerifyError::TooLarge { got: over }));
    assert_eq!(Token::new(text).map(drop).unwrap_err().got, over);
}
