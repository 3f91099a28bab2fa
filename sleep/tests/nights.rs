//! Many nights: what a stream is, what its messages hold, where each error says the mistake is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value, json};
use sleep::{
    InputError, MAX_NIGHT_LINE_BYTES, MAX_NIGHT_MINUTES, Night, NightResults, Nights, NightsError,
    NotAResult, RuleSet, Summary,
};

fn line(name: &str, age: u8, [light, deep, rem]: [f64; 3]) -> String {
    format!(
        "{{\"name\":{name:?},\"age\":{age},\"sleep\":{{\"light\":{{\"minutes\":{light}}},\"deep\":{{\"minutes\":{deep}}},\"rem\":{{\"minutes\":{rem}}}}}}}\n"
    )
}

fn amy(minutes: [f64; 3]) -> String {
    line("Amy", 29, minutes)
}

/// A week and a day of an older adult.
fn eight_nights() -> String {
    let totals = [300.0, 310.0, 330.0, 340.0, 330.0, 350.0, 370.0, 380.0];
    totals.map(|total| line("Ben", 60, [total * 0.5, total * 0.2, total * 0.3])).concat()
}

fn all(text: &[u8]) -> Result<(NightResults, Summary), NightsError> {
    let mut nights = Nights::new(RuleSet::Recommended);
    let results = nights.push(text)?;
    Ok((results, nights.finish()?))
}

fn refusal(text: &[u8]) -> NightsError {
    all(text).map(|_| ()).unwrap_err()
}

fn as_json(message: &[u8]) -> Value {
    serde_json::from_slice(message).unwrap()
}

#[test]
fn each_night_has_a_row_that_says_what_a_single_result_says() {
    let text = [amy([270.0, 135.0, 105.0]), amy([260.0, 90.0, 100.0]), amy([100.0, 0.0, 0.5])].concat();
    let (results, _) = all(text.as_bytes()).unwrap();
    assert_eq!((results.len(), results.first_night(), results.is_empty()), (3, 1, false));
    assert_eq!(
        as_json(&results.to_json().unwrap()),
        json!({
            "rules": "recommended",
            "first_night": 1,
            "columns": ["total_minutes", "light", "deep", "rem", "codelab",
                "recommended_total", "recommended_rem", "recommended_deep"],
            "nights": [
                [510.0, 0.5294, 0.2647, 0.2059, "total", "recommended", "less", "more"],
                [450.0, 0.5778, 0.2, 0.2222, "great", "recommended", "good", "good"],
                [100.5, 0.995, 0.0, 0.005, "rem", "too-short", "less", "poor"],
            ],
        })
    );
    assert_eq!(
        *results.to_text(),
        "Night 1: total as recommended, REM less than good, deep more than good (rules codelab: total sleep time is \
         less than 8 hours); 8 h 30 min, light 52.94 %, deep 26.47 %, REM 20.59 %\n\
         Night 2: total as recommended, REM good, deep good (rules codelab: great sleep!); 7 h 30 min, light 57.78 %, \
         deep 20 %, REM 22.22 %\n\
         Night 3: total too short, REM less than good, deep not good (rules codelab: rem sleep time is less than 25% of \
         total sleep time); 1 h 40.5 min, light 99.5 %, deep 0 %, REM 0.5 %\n"
    );
    // Where experts agreed on no shares, nothing is said of them; the rules in use lead.
    let mut nights = Nights::new(RuleSet::Codelab);
    let results = nights.push(line("Cleo", 8, [300.0, 110.0, 100.0]).as_bytes()).unwrap();
    assert_eq!(as_json(&results.to_json().unwrap())["nights"][0][6], Value::Null);
    assert!(results.to_text().starts_with(
        "Night 1: total sleep time is less than 8 hours (rules recommended: total perhaps too short); 8 h 30 min"
    ));
}

#[test]
fn later_results_begin_with_the_number_of_their_line() {
    let mut nights = Nights::new(RuleSet::Recommended);
    let night = amy([270.0, 135.0, 105.0]);
    assert_eq!(nights.push(night.repeat(3).as_bytes()).unwrap().first_night(), 1);
    assert!(nights.push(b"").unwrap().is_empty());
    let results = nights.push(night.as_bytes()).unwrap();
    assert_eq!(results.first_night(), 4);
    assert!(results.to_text().starts_with("Night 4: "));
    assert!(nights.is_between_lines());
    nights.push(b"{").unwrap();
    assert!(!nights.is_between_lines());
}

#[test]
fn a_summary_tells_average_regularity_and_trend() {
    let (_, summary) = all(eight_nights().as_bytes()).unwrap();
    assert_eq!(summary.nights(), 8);
    assert_eq!(
        as_json(&summary.to_json().unwrap()),
        json!({
            "rules": "recommended",
            "nights": 8,
            "average_minutes": 338.75,
            "shares": {"light": 0.5, "deep": 0.2, "rem": 0.3},
            "deviation_minutes": 27.4838,
            "slope_minutes": 10.8333,
            "slope_error_minutes": 1.1925,
            "recommended_nights": 0,
            "great_nights": 8,
            "recommended": [
                "average sleep of 5 h 38.75 min is shorter than the 7 to 9 hours recommended for ages 26 to 64 (6 to 10 may be appropriate)",
                "0 of 8 nights are as long as recommended",
            ],
            "codelab": "great sleep in 8 of 8 nights",
            "regularity": "the total varies by 27.4838 minutes from night to night (standard deviation), as in the first of four groups of older adults in a study (60 or less, to 90, to 120, more)",
            "trend": "each night is 10.8333 minutes longer than the one before (least squares, standard error 1.1925)",
        })
    );
    assert_eq!(
        summary.to_text().lines().map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>(),
        [
            "Sleep quality result of 8 nights",
            "                                  0 of 8 nights are as long as recommended",
            "Rules codelab say",
            "Regularity",
            "Trend",
            "Average"
        ]
    );
    assert!(summary.to_text().ends_with("\nAverage: 5 h 38.75 min, light 50 %, deep 20 %, REM 30 %\n"));
}

#[test]
fn a_summary_says_no_more_than_its_nights_allow() {
    let nights = |count: usize, age: u8, totals: &[f64]| {
        let text: String =
            totals.iter().cycle().take(count).map(|total| line("Ben", age, [*total, 0.0, 0.0])).collect();
        as_json(&all(text.as_bytes()).unwrap().1.to_json().unwrap())
    };
    let one = nights(1, 60, &[480.0]);
    assert_eq!(one["recommended"][1], "1 of 1 night is as long as recommended");
    for absent in ["deviation_minutes", "slope_minutes", "slope_error_minutes", "regularity", "trend"] {
        assert!(one.get(absent).is_none(), "{absent}");
    }
    let two = nights(2, 60, &[480.0, 500.0]);
    assert_eq!(two["deviation_minutes"], 14.1421);
    assert!(two.get("trend").is_none() && two.get("slope_minutes").is_none());
    let seven = nights(7, 60, &[480.0, 500.0]);
    assert!(seven["regularity"].as_str().unwrap().ends_with("; 8 nights or more say how regular that is"));
    assert!(seven["trend"].as_str().unwrap().ends_with("; 8 nights or more say whether that is one"));

    // age, two totals in turn, what is said of the regularity after the figure
    let rows = [
        (49, [480.0, 480.0], ""),
        (50, [480.0, 480.0], ", as in the first of four"),
        (50, [420.0, 540.0], ", as in the second of four"),
        (50, [400.0, 560.0], ", as in the second of four"),
        (130, [380.0, 580.0], ", as in the third of four"),
        (50, [360.0, 600.0], ", as in the last of four"),
    ];
    for (age, totals, wanted) in rows {
        let said = nights(8, age, &totals)["regularity"].as_str().unwrap().to_owned();
        let (_, said) = said.split_once("(standard deviation)").unwrap();
        assert!(said.starts_with(wanted) && said.is_empty() == wanted.is_empty(), "{age} {totals:?}: {said}");
    }

    // Nights that go up and down have no trend, nor do equal ones; what falls is shorter.
    for totals in [[480.0, 500.0], [480.0, 480.0]] {
        let trend = nights(8, 29, &totals)["trend"].as_str().unwrap().to_owned();
        assert!(trend.starts_with("none to be seen: "), "{trend}");
    }
    let falling: Vec<f64> = (0..8).map(|night| 500.0 - 5.0 * f64::from(night)).collect();
    let trend = nights(8, 29, &falling)["trend"].as_str().unwrap().to_owned();
    assert_eq!(
        trend,
        "each night is 5 minutes shorter than the one before (least squares, standard error 0)"
    );
}

#[test]
fn an_error_names_the_line_and_our_own_path() {
    let night = amy([270.0, 135.0, 105.0]);
    let good = night.trim_end();
    let minutes = "a number of minutes from 0 to 1440";
    let rows = [
        ("\n".to_owned(), "line 1: empty, wanted one night on each line".to_owned()),
        (format!("{good}\n\n"), "line 2: empty, wanted one night on each line".to_owned()),
        (format!("{good}\n \t\r\n{good}\n"), "line 2: empty, wanted one night on each line".to_owned()),
        (
            format!("{good}\n{}\n", good.replace("270", "-1")),
            format!("line 2: sleep.light.minutes: wanted {minutes}"),
        ),
        (
            format!("{good}\n{good}\n{}\n", good.replace("\"age\":29,", "")),
            "line 3: age: missing, wanted a whole number of years from 0 to 130".to_owned(),
        ),
        (format!("{good}{good}\n"), "line 1: top level: wanted nothing after the object".to_owned()),
        (format!("[{good}]\n"), "line 1: top level: wanted an object with name, age and sleep".to_owned()),
        (
            good.replacen(',', ",\n", 1),
            "line 1: top level: not JSON or cut off, wanted an object with name, age and sleep".to_owned(),
        ),
        (
            format!("{good}\n{}\n", good.replace("Amy", "Any")),
            "line 2: name: not that of line 1, wanted the nights of one person".to_owned(),
        ),
        (
            format!("{good}\n{}\n", good.replace("29", "30")),
            "line 2: age: not that of line 1, wanted the nights of one person".to_owned(),
        ),
        (
            format!("{good}\n{}\n", good.replace("Amy", "Any").replace("29", "30")),
            "line 2: name: not that of line 1, wanted the nights of one person".to_owned(),
        ),
        (String::new(), "no night, wanted at least one line".to_owned()),
        (good.to_owned(), "line 1: cut off, wanted a line feed at its end".to_owned()),
        (format!("{good}\n{{"), "line 2: cut off, wanted a line feed at its end".to_owned()),
        (format!("{good}\n "), "line 2: cut off, wanted a line feed at its end".to_owned()),
    ];
    for (text, wanted) in rows {
        assert_eq!(refusal(text.as_bytes()).to_string(), wanted, "{text}");
    }
    assert_eq!(refusal(b"\xff\n"), NightsError::Night { line: 1, reason: InputError::NotUtf8 });
    // The same name, however it is written; and a line may end in CR LF.
    let same = format!("{good}\r\n{}\n", good.replace("Amy", "\\u0041my"));
    assert_eq!(all(same.as_bytes()).unwrap().0.len(), 2);
}

#[test]
fn a_line_is_accepted_at_the_limit_and_refused_one_byte_over_at_once() {
    let night = amy([270.0, 135.0, 105.0]);
    let padded = |length: usize| {
        let good = night.trim_end();
        format!("{good}{}", " ".repeat(length - good.len()))
    };
    let at_limit = padded(MAX_NIGHT_LINE_BYTES);
    assert_eq!(all(format!("{night}{at_limit}\n").as_bytes()).unwrap().0.len(), 2);
    let over = padded(MAX_NIGHT_LINE_BYTES + 1);
    assert_eq!(refusal(format!("{night}{over}\n").as_bytes()), NightsError::TooLong { line: 2 });

    // Byte by byte: the limit's last byte is kept, the next is too much.
    let mut nights = Nights::new(RuleSet::Recommended);
    for byte in at_limit.bytes() {
        nights.push(&[byte]).unwrap();
    }
    assert_eq!(nights.push(b" ").unwrap_err(), NightsError::TooLong { line: 1 });
    // A stream without any line end is refused as soon.
    assert_eq!(refusal(&vec![b'x'; 1 << 20]), NightsError::TooLong { line: 1 });
}

#[test]
fn after_a_wrong_line_nothing_is_looked_at_any_more() {
    let night = amy([270.0, 135.0, 105.0]);
    let mut nights = Nights::new(RuleSet::Recommended);
    nights.push(night.as_bytes()).unwrap();
    let error = nights.push(format!("{night}\n{night}").as_bytes()).unwrap_err();
    assert_eq!(error, NightsError::Empty { line: 3 });
    for more in [night.as_bytes(), b"", b"\n"] {
        assert_eq!(nights.push(more).unwrap_err(), error);
    }
    assert_eq!(nights.finish().unwrap_err(), error);
}

#[test]
fn a_stream_cut_at_any_byte_or_at_all_of_them_gives_the_same_results() {
    let text = [amy([270.0, 135.0, 105.0]), amy([260.5, 90.0, 100.0]), amy([1.0, 2.0, 3.0])].concat();
    let bytes = text.as_bytes();
    let (whole, summary) = all(bytes).unwrap();
    let same = |parts: &[&[u8]]| {
        let mut nights = Nights::new(RuleSet::Recommended);
        let mut texts = String::new();
        for part in parts {
            texts.push_str(&nights.push(part).unwrap().to_text());
        }
        assert_eq!(texts, *whole.to_text(), "{parts:?}");
        assert_eq!(nights.finish().unwrap().to_json().unwrap(), summary.to_json().unwrap());
    };
    for cut in 0..=bytes.len() {
        same(&[&bytes[..cut], &bytes[cut..]]);
    }
    same(&bytes.chunks(1).collect::<Vec<_>>());
}

#[test]
fn messages_are_read_back_as_they_were_written() {
    for rules in [RuleSet::Codelab, RuleSet::Recommended] {
        let mut nights = Nights::new(rules);
        let results = nights.push(eight_nights().as_bytes()).unwrap();
        let message = results.to_json().unwrap();
        let read = NightResults::parse(&message).unwrap();
        assert_eq!(read.to_json().unwrap(), message);
        assert_eq!(*read.to_text(), *results.to_text());
        let summary = nights.finish().unwrap();
        let message = summary.to_json().unwrap();
        let read = Summary::parse(&message).unwrap();
        assert_eq!(read.to_json().unwrap(), message);
        assert_eq!(*read.to_text(), *summary.to_text());
    }
}

#[test]
fn what_is_no_message_of_results_is_refused() {
    let (results, summary) = all(eight_nights().as_bytes()).unwrap();
    let results = as_json(&results.to_json().unwrap());
    let rows: [(&str, Value); 18] = [
        ("/rules", json!("other")),
        ("/first_night", json!(0)),
        ("/first_night", json!(-1)),
        ("/first_night", json!(1.5)),
        ("/first_night", json!(u32::MAX - 6)),
        ("/columns", json!([])),
        ("/columns/0", json!("rem")),
        ("/nights", json!({})),
        ("/nights/0", json!([])),
        ("/nights/0", json!({})),
        ("/nights/0/0", json!(1440.0001)),
        ("/nights/0/0", json!(-0.5)),
        ("/nights/0/1", json!(1.5)),
        ("/nights/7/3", json!("0.3")),
        ("/nights/0/4", json!("greatest")),
        ("/nights/0/5", json!(null)),
        ("/nights/0/6", json!("excellent")),
        ("/nights/0/7", json!(0)),
    ];
    assert!(NightResults::parse(results.to_string().as_bytes()).is_ok());
    for (pointer, value) in rows {
        let mut message = results.clone();
        *message.pointer_mut(pointer).unwrap() = value.clone();
        let read = NightResults::parse(message.to_string().as_bytes());
        assert_eq!(read.err(), Some(NotAResult), "{pointer} {value}");
    }
    for message in ["", "{}", "[]", "null", "{\"rules\":\"codelab\"}"] {
        assert_eq!(NightResults::parse(message.as_bytes()).err(), Some(NotAResult), "{message}");
        assert_eq!(Summary::parse(message.as_bytes()).err(), Some(NotAResult), "{message}");
    }
    // What is foreign in a summary is escaped.
    let mut message = as_json(&summary.to_json().unwrap());
    for pointer in ["/recommended/0", "/codelab", "/regularity", "/trend"] {
        *message.pointer_mut(pointer).unwrap() = json!("\u{1b}[2J\nx\u{202e}");
    }
    let text = Summary::parse(message.to_string().as_bytes()).unwrap().to_text();
    assert_eq!(text.matches("\\u{1b}[2J\\u{a}x\\u{202e}").count(), 4, "{}", *text);
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn debug_and_errors_show_nothing_of_the_nights() {
    let mut nights = Nights::new(RuleSet::Recommended);
    let results = nights.push(eight_nights().as_bytes()).unwrap();
    assert_eq!(format!("{nights:?} {results:?}"), "Nights(..) NightResults(..)");
    assert_eq!(format!("{:?}", nights.finish().unwrap()), "Summary(..)");
}

/// A message of nights is at most 1 MiB, and so is that of their results: shorter lines cannot be.
#[test]
fn the_results_of_the_shortest_lines_are_not_longer_than_they() {
    let row = |age: u8, minutes: [f64; 3]| line("A", age, minutes);
    let shortest = [row(1, [1.0, 1.0, 1.0]), row(9, [7.0, 0.0, 0.0]), line("A", 1, [3.0, 3.0, 1.0])];
    for line in shortest {
        assert_eq!(line.len(), 94, "{line}");
        let nights = (1 << 20) / line.len();
        let (results, _) = all(line.repeat(nights).as_bytes()).unwrap();
        let message = results.to_json().unwrap();
        assert!(message.len() <= 1 << 20, "{}", message.len());
        assert_eq!(NightResults::parse(&message).unwrap().len(), nights);
    }
}

/// Any night of an age, positive and not longer than a day.
fn minutes() -> impl Strategy<Value = [f64; 3]> {
    let part = 0.0..MAX_NIGHT_MINUTES / 3.0;
    prop_oneof![
        [part.clone(), part.clone(), part],
        [0..480_u32, 0..480_u32, 1..480_u32].prop_map(|minutes| minutes.map(f64::from)),
        Just([1e-9, 0.0, 0.0]),
        Just([480.0, 480.0, 480.0]),
    ]
    .prop_filter("a night has sleep in it", |minutes| minutes.iter().sum::<f64>() > 0.0)
}

/// The same in two passes, by the textbook.
fn two_passes(nights: &[[f64; 3]]) -> (f64, Option<f64>, Option<[f64; 2]>) {
    let totals: Vec<f64> = nights.iter().map(|minutes| minutes.iter().sum()).collect();
    let count = totals.len() as f64;
    let mean = totals.iter().sum::<f64>() / count;
    let squares: f64 = totals.iter().map(|total| (total - mean).powi(2)).sum();
    let middle = (count + 1.0) / 2.0;
    let numbers = || (1..=totals.len()).map(|number| number as f64 - middle);
    let of_numbers: f64 = numbers().map(|number| number.powi(2)).sum();
    let products: f64 = numbers().zip(&totals).map(|(number, total)| number * (total - mean)).sum();
    let slope = products / of_numbers;
    let rest: f64 =
        numbers().zip(&totals).map(|(number, total)| (total - mean - slope * number).powi(2)).sum();
    let error = (rest / (count - 2.0) / of_numbers).sqrt();
    (mean, (count >= 2.0).then(|| (squares / (count - 1.0)).sqrt()), (count >= 3.0).then_some([slope, error]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_summary_is_that_of_two_passes(nights in prop::collection::vec(minutes(), 1..60)) {
        let text: String = nights.iter().map(|minutes| amy(*minutes)).collect();
        let (results, summary) = all(text.as_bytes()).unwrap();
        prop_assert_eq!(results.len(), nights.len());
        let summary = as_json(&summary.to_json().unwrap());
        let (mean, deviation, slope) = two_passes(&nights);
        let near = |key: &str, wanted: Option<f64>| {
            let got = summary[key].as_f64();
            // Both are rounded to 4 digits.
            got.is_some() == wanted.is_some() && (got.unwrap_or(0.0) - wanted.unwrap_or(0.0)).abs() <= 0.0002
        };
        prop_assert!(near("average_minutes", Some(mean)), "{} {mean}", summary);
        prop_assert!(near("deviation_minutes", deviation), "{} {deviation:?}", summary);
        prop_assert!(near("slope_minutes", slope.map(|slope| slope[0])), "{} {slope:?}", summary);
        prop_assert!(near("slope_error_minutes", slope.map(|slope| slope[1])), "{} {slope:?}", summary);
        let stage = |at: usize| nights.iter().map(|minutes| minutes[at]).sum::<f64>();
        let total: f64 = (0..3).map(stage).sum();
        for (at, name) in ["light", "deep", "rem"].iter().enumerate() {
            prop_assert!((summary["shares"][name].as_f64().unwrap() - stage(at) / total).abs() <= 0.0002);
        }
    }

    #[test]
    fn any_cuts_give_what_one_piece_gives(
        nights in prop::collection::vec(minutes(), 1..8),
        age in 0..=130_u8,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let text: String = nights.iter().map(|minutes| line("Amy", age, *minutes)).collect();
        let (whole, summary) = all(text.as_bytes()).unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut stream = Nights::new(RuleSet::Recommended);
        let (mut from, mut texts) = (0, String::new());
        for cut in cuts.into_iter().chain([text.len()]) {
            texts.push_str(&stream.push(&text.as_bytes()[from..cut]).unwrap().to_text());
            from = cut;
        }
        prop_assert_eq!(&texts, &*whole.to_text());
        prop_assert_eq!(stream.finish().unwrap().to_json().unwrap(), summary.to_json().unwrap());
    }

    #[test]
    fn a_row_says_of_a_night_what_its_own_result_says(minutes in minutes(), age in 0..=130_u8) {
        let text = line("Amy", age, minutes);
        let (results, _) = all(text.as_bytes()).unwrap();
        let message = results.to_json().unwrap();
        let night = Night::parse(text.trim_end().as_bytes()).unwrap();
        let single = as_json(&sleep::Analysis::new(&night, RuleSet::Recommended).to_json().unwrap());
        let row = &as_json(&message)["nights"][0];
        prop_assert_eq!(&row[0], &single["total_minutes"]);
        for (at, stage) in ["light", "deep", "rem"].iter().enumerate() {
            prop_assert_eq!(&row[at + 1], &single["shares"][stage]);
        }
        let said = single["codelab"].as_str().unwrap();
        let codelab = match row[4].as_str().unwrap() {
            "total" => "total sleep time is less than 8 hours",
            "rem" => "rem sleep time is less than 25% of total sleep time",
            "light" => "light sleep time is less than 50% of total sleep time",
            "deep" => "deep sleep time is less than 25% of total sleep time",
            _ => "great sleep!",
        };
        prop_assert_eq!(said, codelab);
        let sentences: Vec<&str> =
            single["recommended"].as_array().unwrap().iter().map(|sentence| sentence.as_str().unwrap()).collect();
        let total = match row[5].as_str().unwrap() {
            "too-short" => "is shorter than the",
            "perhaps-too-short" => "is shorter than, though near, the",
            "recommended" => "is within the",
            "perhaps-too-long" => "is longer than, though near, the",
            _ => "is longer than the",
        };
        prop_assert!(sentences[0].contains(total), "{} {sentences:?}", row);
        for (at, stage) in [(6, "REM"), (7, "deep")] {
            let wanted = match row[at].as_str() {
                None => None,
                Some("good") => Some("within the"),
                Some("less") => Some("less than the"),
                Some("more") => Some("more than the"),
                Some(_) => Some("experts call"),
            };
            let sentence = sentences.iter().find(|sentence| sentence.starts_with(stage));
            match (sentence, wanted) {
                (Some(sentence), Some(wanted)) => prop_assert!(sentence.contains(wanted), "{} {sentence}", row),
                (Some(sentence), None) => prop_assert!(sentence.contains("typical"), "{} {sentence}", row),
                (None, wanted) => prop_assert_eq!(wanted, None),
            }
        }
        // Less than the shortest line; and the text fits into what is set aside for it.
        prop_assert!(row.to_string().len() < 88, "{}", row);
        prop_assert!(results.to_text().len() <= 320);
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_error_quotes_them(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"\n".to_vec()),
            Just(amy([270.0, 135.0, 105.0]).into_bytes()),
            Just(b"{\"name\":\"qJ7zXcanary\"".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ], 0..6),
    ) {
        let mut nights = Nights::new(RuleSet::Recommended);
        let mut errors = Vec::new();
        for piece in &pieces {
            errors.extend(nights.push(piece).err());
        }
        errors.extend(nights.finish().err());
        for error in errors {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains("canary"), "{}", shown);
        }
        let _ = NightResults::parse(&pieces.concat());
        let _ = Summary::parse(&pieces.concat());
    }
}
