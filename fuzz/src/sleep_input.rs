//! Target `sleep_input`: any bytes as a night, as many, and as a result.
#![allow(dead_code, unreachable_pub)]

use serde_json::Value;
use sleep::{
    Analysis, InputError, MAX_AGE_YEARS, MAX_NAME_BYTES, MAX_NIGHT_MINUTES, Night, NightResults, Nights,
    RuleSet, Summary,
};

use super::shown::assert_printable;

/// Asserts what holds of any bytes, and says whether they are a night or a result.
pub fn check(data: &[u8]) -> bool {
    let night = check_night(data);
    check_nights(data);
    night | check_result(data)
}

/// A stream is what its lines are, wherever it is cut.
pub fn check_nights(data: &[u8]) {
    let whole = stream([data]);
    let (one, other) = data.split_at(data.len() / 2);
    // Of a wrong line the results before it are given, or not, by the cut.
    match (&whole, stream([one, other])) {
        (Ok(whole), Ok(cut)) => assert!(*whole == cut),
        (whole, cut) => assert_eq!(whole.as_ref().err(), cut.as_ref().err()),
    }
    let lines = data.strip_suffix(b"\n").map(|lines| lines.split(|byte| *byte == b'\n'));
    let all_are_nights = lines.is_some_and(|mut lines| lines.all(|line| Night::parse(line).is_ok()));
    match whole {
        Ok(_) => assert!(all_are_nights, "accepted"),
        Err(error) => {
            assert_printable(&error);
            assert!(
                !all_are_nights || error.contains("not that of line 1") || error.contains("too long"),
                "{error}"
            );
        }
    }
}

/// All that a stream in these pieces comes to, as text.
fn stream<const N: usize>(pieces: [&[u8]; N]) -> Result<String, String> {
    let mut nights = Nights::new(RuleSet::Recommended);
    let mut text = String::new();
    for piece in pieces {
        let results = nights.push(piece).map_err(|error| error.to_string())?;
        let message = results.to_json().unwrap();
        assert!(message.len() <= piece.len() + 4096 + 256);
        let back = NightResults::parse(&message).unwrap();
        assert_eq!(*back.to_text(), *results.to_text());
        text.push_str(&back.to_text());
    }
    let summary = nights.finish().map_err(|error| error.to_string())?;
    let back = Summary::parse(&summary.to_json().unwrap()).unwrap();
    text.push_str(&back.to_text());
    text.lines().for_each(assert_printable);
    Ok(text)
}

/// A night is what a plain reading of the JSON says, and what is not one is refused without a word of it.
pub fn check_night(data: &[u8]) -> bool {
    let read: Option<Value> = serde_json::from_slice(data).ok();
    let night = Night::parse(data);
    match &night {
        Ok(night) => assert_night(night, &read.expect("a night is JSON")),
        Err(error) => {
            assert_printable(&error.to_string());
            assert!(!error.path().is_empty());
            // A name that occurs twice is seen by us alone.
            if let (Some(read), false) = (read, matches!(error, InputError::Duplicate { .. })) {
                assert!(!is_night(&read), "refused: {error}");
            }
        }
    }
    night.is_ok()
}

fn assert_night(night: &Night, read: &Value) {
    assert!(is_night(read), "accepted");
    assert_eq!(Some(u64::from(night.age())), read["age"].as_u64());
    let total = night.total_minutes();
    assert!(total > 0.0 && total <= MAX_NIGHT_MINUTES);
    assert_eq!(minutes(read).map(|minutes| minutes.iter().sum::<f64>()), Some(total));
    let shares = night.shares();
    assert!((shares.light + shares.deep + shares.rem - 1.0).abs() < 1e-9);
    assert!([shares.light, shares.deep, shares.rem].iter().all(|share| (0.0..=1.0).contains(share)));
    for rules in [RuleSet::Codelab, RuleSet::Recommended] {
        let analysis = Analysis::new(night, rules);
        let message = analysis.to_json().unwrap();
        let back = Analysis::parse(&message).unwrap();
        assert_eq!(*back.to_text(), *analysis.to_text());
        assert_eq!(str::from_utf8(&back.to_json().unwrap()), str::from_utf8(&message));
    }
}

/// Anybody's result: what is shown of it is safe to show, line by line.
pub fn check_result(data: &[u8]) -> bool {
    let analysis = Analysis::parse(data);
    if let Ok(analysis) = &analysis {
        let text = analysis.to_text();
        assert!(text.ends_with('\n'));
        text.lines().for_each(assert_printable);
        assert!(!text.contains('\r'));
    }
    for text in [
        NightResults::parse(data).ok().map(|results| results.to_text()),
        Summary::parse(data).ok().map(|summary| summary.to_text()),
    ] {
        text.iter().flat_map(|text| text.lines()).for_each(assert_printable);
    }
    analysis.is_ok()
}

/// The documented form, written a second time; of names that occur twice it sees the last.
fn is_night(read: &Value) -> bool {
    let has = |value: &Value, names: &[&str]| {
        value.as_object().is_some_and(|members| members.keys().all(|name| names.contains(&name.as_str())))
    };
    let form = has(read, &["name", "age", "sleep"])
        && has(&read["sleep"], &["light", "deep", "rem"])
        && ["light", "deep", "rem"].iter().all(|stage| has(&read["sleep"][stage], &["minutes"]));
    let name = read["name"].as_str().is_some_and(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
    let age = read["age"].as_u64().is_some_and(|age| age <= MAX_AGE_YEARS.into());
    form && name
        && age
        && minutes(read).is_some_and(|minutes| {
            let total: f64 = minutes.iter().sum();
            minutes.iter().all(|minutes| (0.0..=MAX_NIGHT_MINUTES).contains(minutes))
                && total > 0.0
                && total <= MAX_NIGHT_MINUTES
        })
}

fn minutes(read: &Value) -> Option<[f64; 3]> {
    let of = |stage: &str| read["sleep"][stage]["minutes"].as_f64();
    Some([of("light")?, of("deep")?, of("rem")?])
}

/// Nights and results to start from.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let night = |name: &str, age: &str, minutes: [&str; 3]| {
        let [light, deep, rem] = minutes;
        format!(
            r#"{{"name":{name},"age":{age},"sleep":{{"light":{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{{"minutes":{rem}}}}}}}"#
        )
    };
    let amy = night("\"Amy\"", "29", ["270", "135", "105"]);
    let result = Analysis::new(&Night::parse(amy.as_bytes()).unwrap(), RuleSet::Recommended)
        .to_json()
        .unwrap()
        .to_vec();
    [
        ("amy", amy.clone().into_bytes()),
        ("fractions", night("\"\\u00e9\"", "0", ["1e2", "0.5", "1439e-1"]).into_bytes()),
        ("limits", night("\"x\"", "130", ["1440", "0", "-0.0"]).into_bytes()),
        ("over", night("\"x\"", "131", ["1440.1", "1e999", "-1"]).into_bytes()),
        ("types", night("null", "\"29\"", ["[]", "{}", "true"]).into_bytes()),
        ("twice", amy.replacen("\"age\"", "\"name\":\"b\",\"age\"", 1).into_bytes()),
        ("trailing", format!("{amy} 1").into_bytes()),
        ("cut", amy.as_bytes()[..60].to_vec()),
        ("nights", format!("{amy}\n{}\n", amy.replace("270", "1e2")).into_bytes()),
        ("another", format!("{amy}\n{}\n", amy.replace("Amy", "Ben")).into_bytes()),
        ("result", result.clone()),
        ("odd-result", String::from_utf8(result).unwrap().replace("sleep", "\\u001b[2J\\u202e").into_bytes()),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
