//! What holds for every input, tried on thousands of random ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// The invariants of the fuzz target, which hold of any bytes.
#[path = "../../fuzz/src/shown.rs"]
mod shown;
#[path = "../../fuzz/src/sleep_input.rs"]
mod sleep_input;

use proptest::prelude::*;
use sleep::{Analysis, MAX_NIGHT_MINUTES, Night, RuleSet};

/// A word that no message of ours contains.
const CANARY: &str = "qJ7zXcanary";

/// Text that looks like the input, broken in places: pieces of the grammar in random order.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just(":"),
        Just(","),
        Just("\"name\""),
        Just("\"age\""),
        Just("\"sleep\""),
        Just("\"light\""),
        Just("\"deep\""),
        Just("\"rem\""),
        Just("\"minutes\""),
        Just("\"\\ud800\""),
        Just("29"),
        Just("-1"),
        Just("1e999"),
        Just("0.1"),
        Just("null"),
        Just("\"Amy\""),
        Just(" "),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A night as JSON from any three counts of minutes that are positive and fit into a day together.
fn night() -> impl Strategy<Value = (u8, [f64; 3])> {
    let part = 0.0..MAX_NIGHT_MINUTES / 3.0;
    (0..=130_u8, [part.clone(), part.clone(), part])
        .prop_filter("a night has sleep in it", |(_, minutes)| minutes.iter().sum::<f64>() > 0.0)
}

fn json(age: u8, [light, deep, rem]: [f64; 3]) -> String {
    format!(
        r#"{{"name":"Amy","age":{age},"sleep":{{"light":{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{{"minutes":{rem}}}}}}}"#
    )
}

#[test]
fn every_seed_of_the_fuzzing_is_judged_as_it_should_be() {
    let accepted =
        sleep_input::seeds().into_iter().filter(|(_, seed)| sleep_input::check(seed)).map(|(name, _)| name);
    assert_eq!(accepted.collect::<Vec<_>>(), ["amy", "fractions", "limits", "result", "odd-result"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        sleep_input::check(&bytes);
    }

    #[test]
    fn nothing_that_is_nearly_json_makes_it_panic(text in nearly_json()) {
        sleep_input::check(text.as_bytes());
    }

    #[test]
    fn one_changed_byte_is_refused_or_is_another_night(at in 0..102_usize, byte in any::<u8>()) {
        let mut bytes = include_bytes!("../testdata/amy.json").to_vec();
        bytes[at] = byte;
        sleep_input::check(&bytes);
    }

    #[test]
    fn a_seed_with_a_piece_cut_out_and_another_put_in_is_refused_or_is_another_night(
        seed in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        cut in 0..6_usize,
        put in prop_oneof![nearly_json(), "[0-9eE+.-]{0,6}", any::<String>()],
    ) {
        let seeds = sleep_input::seeds();
        let mut bytes = seed.get(&seeds).1.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), put.bytes());
        sleep_input::check(&bytes);
    }

    #[test]
    fn numbers_of_any_form_are_read_as_a_plain_reading_reads_them(
        age in "-?[0-9]{1,4}(\\.[0-9])?",
        light in "-?[0-9]{1,4}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        deep in 0..1441_u32,
        rem in 0.0..1441_f64,
    ) {
        let text = format!(
            r#"{{"name":"Amy","age":{age},"sleep":{{"light":{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{{"minutes":{rem}}}}}}}"#
        );
        sleep_input::check(text.as_bytes());
    }

    #[test]
    fn the_shares_sum_to_1((age, minutes) in night()) {
        let night = Night::parse(json(age, minutes).as_bytes()).unwrap();
        let shares = night.shares();
        prop_assert!((shares.light + shares.deep + shares.rem - 1.0).abs() < 1e-9);
        for share in [shares.light, shares.deep, shares.rem] {
            prop_assert!((0.0..=1.0).contains(&share));
        }
    }

    #[test]
    fn the_result_parses_and_agrees_with_the_night((age, minutes) in night()) {
        let night = Night::parse(json(age, minutes).as_bytes()).unwrap();
        for rules in [RuleSet::Codelab, RuleSet::Recommended] {
            let analysis = Analysis::new(&night, rules);
            let message = analysis.to_json().unwrap();
            // The buffer it was written into holds 4096 bytes; a longer one would have been moved.
            prop_assert!(message.len() <= 4096);
            prop_assert!(analysis.to_text().len() <= 4096);
            let result: serde_json::Value = serde_json::from_slice(&message).unwrap();
            prop_assert_eq!(&result["rules"], &rules.to_string());
            let total = result["total_minutes"].as_f64().unwrap();
            prop_assert!((total - night.total_minutes()).abs() <= 0.0001);
            let sum: f64 = ["light", "deep", "rem"].iter().map(|stage| result["shares"][stage].as_f64().unwrap()).sum();
            prop_assert!((sum - 1.0).abs() <= 0.0002);
            prop_assert!(!result["recommended"].as_array().unwrap().is_empty());
            let codelab_says_too_short = result["codelab"] == "total sleep time is less than 8 hours";
            prop_assert_eq!(codelab_says_too_short, night.total_minutes() > 480.0);
        }
    }

    #[test]
    fn no_error_tells_what_was_put_into_a_field(
        place in 0..9_usize,
        quoted in any::<bool>(),
        before in "[a-z0-9\\\\\"]{0,3}",
        after in "[a-z0-9\\\\\"{\\[,]{0,3}",
    ) {
        let canary = if quoted { format!("\"{before}{CANARY}{after}\"") } else { format!("{before}{CANARY}{after}") };
        // Every value and every object in turn, then an unknown key, then what follows the object.
        let mut parts = ["\"Amy\"", "29", "270", "135", "105", "\"light\"", "{\"minutes\":105}", "", ""].map(str::to_owned);
        parts[place] = if place == 7 { format!("{canary}:1,") } else { canary };
        let [name, age, light, deep, rem, key, object, unknown, trailing] = parts;
        let rem = if place == 6 { object } else { format!("{{\"minutes\":{rem}}}") };
        let text = format!(
            r#"{{{unknown}"name":{name},"age":{age},"sleep":{{{key}:{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{rem}}}}}{trailing}"#
        );
        if let Err(error) = Night::parse(text.as_bytes()) {
            for shown in [error.to_string(), format!("{error:?}"), error.path().to_owned()] {
                for start in 0..=CANARY.len() - 4 {
                    prop_assert!(!shown.contains(&CANARY[start..start + 4]), "{}", shown);
                }
            }
        } else {
            // In quotes it is a name like any other.
            prop_assert_eq!(place, 0);
        }
    }
}
