//! Claims of the right types that say the wrong thing: another issuer, times that do not fit.

use attestation::{GOOGLE_ISSUER, VerifyError};
use serde_json::json;

use super::Forge;
use super::claims::{Row, row};

/// What [`attestation::Expectation::default`] allows, in seconds.
const LEEWAY: u64 = 60;
const OLDEST: u64 = 300 + LEEWAY;
const LONGEST: u64 = 3600;

pub fn rows(forge: &Forge) -> Vec<Row> {
    [issuers(forge), times(forge), several(forge)].into_iter().flatten().collect()
}

fn issuers(forge: &Forge) -> Vec<Row> {
    let wrong = [
        "https://confidentialcomputing.googleapis.com/",
        "http://confidentialcomputing.googleapis.com",
        "HTTPS://CONFIDENTIALCOMPUTING.GOOGLEAPIS.COM",
        "https://Confidentialcomputing.googleapis.com",
        "confidentialcomputing.googleapis.com",
        "https://confidentialcomputing.googleapis.com:443",
        "https://confidentialcomputing.googleapis.com.attacker.invalid",
        "https://confidentialcomputing.googleapis.com@attacker.invalid",
        "https://attacker.invalid/confidentialcomputing.googleapis.com",
        " https://confidentialcomputing.googleapis.com",
        "https://confidentialcomputing.googleapis.com ",
        "https://c\u{43e}nfidentialcomputing.googleapis.com",
        "https://confidentialcomputing.googleapis.co",
        "",
        "https://accounts.google.com",
        // What the launcher's fake verifier writes.
        "fake-issuer-for-testing",
    ];
    let mut rows: Vec<Row> = wrong
        .into_iter()
        .map(|iss| row(&format!("iss is {iss:?}"), forge.with_claims(&json!({ "iss": iss })), issuer(iss)))
        .collect();
    let hidden = "https://confidentialcomputing.googleapis.com\u{0}\u{202e}";
    let shown = "https://confidentialcomputing.googleapis.com\\u{0}\\u{202e}";
    rows.push(row(
        "iss with characters that do not show",
        forge.with_claims(&json!({ "iss": hidden })),
        issuer(shown),
    ));
    let long = "x".repeat(300);
    let cut = format!("{}…", "x".repeat(256));
    rows.push(row("iss of 300 characters", forge.with_claims(&json!({ "iss": long })), issuer(&cut)));

    let intel = json!({
        "iss": "https://portal.trustauthority.intel.com",
        "hwmodel": "INTEL_TDX",
        "eat_nonce": ["first", "second"],
    });
    let wanted = issuer("https://portal.trustauthority.intel.com");
    rows.push(row("a token of Intel Trust Authority", forge.with_claims(&intel), wanted));
    rows
}

fn issuer(got: &str) -> VerifyError {
    VerifyError::Issuer { wanted: GOOGLE_ISSUER.to_owned(), got: got.to_owned() }
}

fn times(forge: &Forge) -> Vec<Row> {
    let now = forge.now;
    let lifetime = |got| VerifyError::Lifetime { got, wanted: LONGEST };
    let not_yet = |ahead| VerifyError::NotYetValid { ahead, leeway: LEEWAY };
    let future = |ahead| VerifyError::IssuedInFuture { ahead, leeway: LEEWAY };
    let expired = |ago| VerifyError::Expired { ago, leeway: LEEWAY };
    let too_old = |age| VerifyError::TooOld { age, wanted: OLDEST };
    let none = || VerifyError::NoLifetime;
    let rows = [
        // Name, iat, nbf, exp, errors.
        ("a lifetime of 3601 s", now, now, now + 3601, vec![lifetime(3601)]),
        ("exp in the year 2286", now, now, 9_999_999_999, vec![lifetime(9_999_999_999 - now)]),
        ("exp as far off as a number can be", now, now, u64::MAX, vec![lifetime(u64::MAX - now)]),
        ("exp the same as iat", now, now, now, vec![none()]),
        ("exp a second before iat", now, now, now - 1, vec![none()]),
        ("exp 60 s ago", now - 100, now - 100, now - 60, vec![expired(60)]),
        ("exp 1970", now, now, 0, vec![expired(now), none()]),
        ("nbf 61 s ahead", now, now + 61, now + 3600, vec![not_yet(61)]),
        ("nbf as far off as a number can be", now, u64::MAX, now + 3600, vec![not_yet(u64::MAX - now)]),
        ("nbf after exp", now, now + 3601, now + 3600, vec![not_yet(3601)]),
        ("iat 61 s ahead", now + 61, now, now + 3600, vec![future(61)]),
        (
            "iat as far off as a number can be",
            u64::MAX,
            now,
            now + 3600,
            vec![future(u64::MAX - now), none()],
        ),
        ("iat 361 s ago", now - 361, now - 361, now - 361 + 3600, vec![too_old(361)]),
        ("iat 1970", 0, now, now + 3600, vec![too_old(now), lifetime(now + 3600)]),
        (
            "a recorded token of yesterday",
            now - 86_400,
            now - 86_400,
            now - 82_800,
            vec![expired(82_800), too_old(86_400)],
        ),
        (
            "a token of tomorrow",
            now + 86_400,
            now + 86_400,
            now + 90_000,
            vec![not_yet(86_400), future(86_400)],
        ),
    ];
    rows.into_iter()
        .map(|(name, iat, nbf, exp, wanted)| {
            let token = forge.with_claims(&json!({ "iat": iat, "nbf": nbf, "exp": exp }));
            Row { name: name.to_owned(), token, wanted }
        })
        .collect()
}

/// Several things wrong at once: each is named.
fn several(forge: &Forge) -> Vec<Row> {
    let now = forge.now;
    let iss = "https://attacker.invalid";
    let token = |iat: u64, nbf: u64, exp: u64| {
        forge.with_claims(&json!({ "iss": iss, "iat": iat, "nbf": nbf, "exp": exp }))
    };
    vec![
        Row {
            name: "issuer, nbf, exp, iat and lifetime all wrong".to_owned(),
            token: token(now + 61, now + 62, now - 60),
            wanted: vec![
                issuer(iss),
                VerifyError::NotYetValid { ahead: 62, leeway: LEEWAY },
                VerifyError::Expired { ago: 60, leeway: LEEWAY },
                VerifyError::IssuedInFuture { ahead: 61, leeway: LEEWAY },
                VerifyError::NoLifetime,
            ],
        },
        Row {
            name: "issuer, nbf, exp, age and lifetime all wrong".to_owned(),
            token: token(now - 9000, now + 61, now - 61),
            wanted: vec![
                issuer(iss),
                VerifyError::NotYetValid { ahead: 61, leeway: LEEWAY },
                VerifyError::Expired { ago: 61, leeway: LEEWAY },
                VerifyError::TooOld { age: 9000, wanted: OLDEST },
                VerifyError::Lifetime { got: 8939, wanted: LONGEST },
            ],
        },
    ]
}
