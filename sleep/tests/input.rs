//! What is a night, what is not, and where each error says the mistake is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use sleep::{InputError, Night};

const NAME: &str = "a string of 1 to 256 bytes";
const AGE: &str = "a whole number of years from 0 to 130";
const MINUTES: &str = "a number of minutes from 0 to 1440";
const TOP: &str = "an object with name, age and sleep";
const SLEEP: &str = "an object with light, deep and rem";
const STAGE: &str = "an object with minutes";

/// The JSON of a night from the texts of its values.
fn json(name: &str, age: &str, light: &str, deep: &str, rem: &str) -> String {
    format!(
        r#"{{"name":{name},"age":{age},"sleep":{{"light":{{"minutes":{light}}},"deep":{{"minutes":{deep}}},"rem":{{"minutes":{rem}}}}}}}"#
    )
}

fn refusal(text: &str) -> InputError {
    Night::parse(text.as_bytes()).expect_err(text)
}

#[test]
fn the_codelabs_sample_is_a_night() {
    let night = Night::parse(include_bytes!("../testdata/amy.json")).unwrap();
    assert_eq!(night.age(), 29);
    assert_eq!(night.total_minutes(), 510.0);
    assert_eq!(night.shares().light, 270.0 / 510.0);
    assert_eq!(night.shares().deep, 135.0 / 510.0);
    assert_eq!(night.shares().rem, 105.0 / 510.0);
}

#[test]
fn values_are_accepted_up_to_their_limits() {
    let longest_name = format!("{:?}", "x".repeat(256));
    let rows = [
        (json(r#""A""#, "0", "1", "0", "0"), 0, 1.0),
        (json(&longest_name, "130", "1440", "0", "0"), 130, 1440.0),
        (json(r#""Amy""#, "29", "270.25", "135.5", "1e2"), 29, 505.75),
        (json(r#""Amy""#, "29", "480", "480", "480"), 29, 1440.0),
        (json(r#""Am\u0079 ü""#, "29", "-0", "-0.0", "0.5"), 29, 0.5),
    ];
    for (text, age, total) in rows {
        let night = Night::parse(text.as_bytes()).expect(&text);
        assert_eq!((night.age(), night.total_minutes()), (age, total), "{text}");
        let shares = night.shares();
        assert!(shares.light.is_sign_positive() && shares.deep.is_sign_positive(), "{text}");
    }
}

#[test]
fn fields_may_stand_in_any_order_with_white_space_and_escapes_in_their_names() {
    let text = r#" { "sleep" : {"rem":{"minutes":105}, "deep":{"minutes":135}, "light":{"minut\u0065s":270} },
        "age":29, "name":"Amy" } "#;
    assert_eq!(Night::parse(text.as_bytes()).unwrap().shares().rem, 105.0 / 510.0);
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range_is_named_by_its_path() {
    let wrong_everywhere = ["null", "true", "[]", "[1]", "{}", "[[[[[[[[", "-", "nul1", "NaN", "1e999", "-1"];
    for wrong in wrong_everywhere {
        let rows = [
            (json(wrong, "29", "270", "135", "105"), "name", NAME),
            (json(r#""Amy""#, wrong, "270", "135", "105"), "age", AGE),
            (json(r#""Amy""#, "29", wrong, "135", "105"), "sleep.light.minutes", MINUTES),
            (json(r#""Amy""#, "29", "270", wrong, "105"), "sleep.deep.minutes", MINUTES),
            (json(r#""Amy""#, "29", "270", "135", wrong), "sleep.rem.minutes", MINUTES),
        ];
        for (text, path, wanted) in rows {
            assert_eq!(refusal(&text), InputError::Invalid { path, wanted }, "{text}");
            assert_eq!(refusal(&text).path(), path);
        }
    }
    let too_long = format!("{:?}", "x".repeat(257));
    for wrong in [r#""""#, &too_long, "7", r#""\ud800""#, r#""\x""#] {
        let text = json(wrong, "29", "270", "135", "105");
        assert_eq!(refusal(&text), InputError::Invalid { path: "name", wanted: NAME }, "{text}");
    }
    for wrong in
        ["131", "29.0", "29.5", "1e1", "256", "65565", "4294967325", "18446744073709551616", r#""29""#]
    {
        let text = json(r#""Amy""#, wrong, "270", "135", "105");
        assert_eq!(refusal(&text), InputError::Invalid { path: "age", wanted: AGE }, "{text}");
    }
    for wrong in
        ["1440.5", "1441", "65536", "1e300", "-0.001", "18446744073709551616", r#""270""#, "Infinity"]
    {
        let text = json(r#""Amy""#, "29", wrong, "0", "0");
        let path = "sleep.light.minutes";
        assert_eq!(refusal(&text), InputError::Invalid { path, wanted: MINUTES }, "{text}");
    }
}

#[test]
fn the_sum_of_the_stages_has_limits_too() {
    let more = "more than 0 minutes in all";
    let less = "at most 1440 minutes in all";
    let rows = [
        (["0", "0", "0"], more),
        (["0.0", "-0", "0e5"], more),
        (["720", "720", "1"], less),
        (["1440", "1440", "1440"], less),
    ];
    for ([light, deep, rem], wanted) in rows {
        let text = json(r#""Amy""#, "29", light, deep, rem);
        assert_eq!(refusal(&text), InputError::Invalid { path: "sleep", wanted }, "{text}");
    }
}

#[test]
fn a_missing_field_is_named() {
    let rows = [
        ("{}", "name", NAME),
        (r#"{"name":"Amy"}"#, "age", AGE),
        (r#"{"name":"Amy","age":29}"#, "sleep", SLEEP),
        (
            r#"{"age":29,"sleep":{"light":{"minutes":1},"deep":{"minutes":1},"rem":{"minutes":1}}}"#,
            "name",
            NAME,
        ),
        (r#"{"sleep":{}}"#, "sleep.light", STAGE),
        (r#"{"sleep":{"light":{"minutes":1}}}"#, "sleep.deep", STAGE),
        (r#"{"sleep":{"light":{"minutes":1},"deep":{"minutes":1}}}"#, "sleep.rem", STAGE),
        (r#"{"sleep":{"light":{}}}"#, "sleep.light.minutes", MINUTES),
        (r#"{"sleep":{"deep":{}}}"#, "sleep.deep.minutes", MINUTES),
        (r#"{"sleep":{"rem":{}}}"#, "sleep.rem.minutes", MINUTES),
    ];
    for (text, path, wanted) in rows {
        assert_eq!(refusal(text), InputError::Missing { path, wanted }, "{text}");
    }
}

#[test]
fn a_field_given_twice_is_named() {
    let rows = [
        (r#"{"name":"Amy","name":"Amy"}"#, "name"),
        (r#"{"name":"Amy","n\u0061me":"Amy"}"#, "name"),
        (r#"{"age":29,"age":30}"#, "age"),
        (r#"{"sleep":{"light":{"minutes":1},"light":{"minutes":1}}}"#, "sleep.light"),
        (r#"{"sleep":{"deep":{"minutes":1},"deep":{"minutes":1}}}"#, "sleep.deep"),
        (r#"{"sleep":{"rem":{"minutes":1},"rem":{"minutes":1}}}"#, "sleep.rem"),
        (r#"{"sleep":{"light":{"minutes":1,"minutes":2}}}"#, "sleep.light.minutes"),
        (r#"{"sleep":{"light":{"minutes":1},"deep":{"minutes":1},"rem":{"minutes":1}},"sleep":{}}"#, "sleep"),
    ];
    for (text, path) in rows {
        assert_eq!(refusal(text), InputError::Duplicate { path }, "{text}");
    }
}

#[test]
fn an_unknown_field_is_refused_by_the_name_of_its_object_alone() {
    let rows = [
        (r#"{"weight":70}"#, "top level", TOP),
        (r#"{"Name":"Amy"}"#, "top level", TOP),
        (r#"{"":0}"#, "top level", TOP),
        (r#"{"sleep":{"awake":{"minutes":1}}}"#, "sleep", SLEEP),
        (r#"{"sleep":{"light":{"hours":1}}}"#, "sleep.light", STAGE),
        (r#"{"sleep":{"deep":{"hours":1}}}"#, "sleep.deep", STAGE),
        (r#"{"sleep":{"rem":{"minutes":1,"hours":1}}}"#, "sleep.rem", STAGE),
    ];
    for (text, path, wanted) in rows {
        assert_eq!(refusal(text), InputError::Unknown { path, wanted }, "{text}");
    }
}

#[test]
fn an_object_of_the_wrong_type_is_named() {
    for wrong in ["null", "7", r#""text""#, "[]", "true"] {
        let rows = [
            (wrong.to_owned(), "top level", TOP),
            (format!(r#"{{"sleep":{wrong}}}"#), "sleep", SLEEP),
            (format!(r#"{{"sleep":{{"light":{wrong}}}}}"#), "sleep.light", STAGE),
        ];
        for (text, path, wanted) in rows {
            assert_eq!(refusal(&text), InputError::Invalid { path, wanted }, "{text}");
        }
    }
}

#[test]
fn text_that_is_no_json_is_refused_where_it_stops_making_sense() {
    let rows = [
        ("", "top level", TOP),
        ("nonsense", "top level", TOP),
        ("{", "top level", TOP),
        (r#"{"name""#, "top level", TOP),
        (r#"{1:2}"#, "top level", TOP),
        (r#"{"name":"Amy",}"#, "top level", TOP),
        (r#"{"age":29 "name":"Amy"}"#, "top level", TOP),
        (r#"{"name":"Am"#, "name", NAME),
        (r#"{"age":"#, "age", AGE),
        (r#"{"sleep":{"light":{"minutes":1"#, "sleep.light", STAGE),
        (r#"{"sleep":{"light":{"minutes":1},"#, "sleep", SLEEP),
        ("\u{feff}{}", "top level", TOP),
    ];
    for (text, path, wanted) in rows {
        assert_eq!(refusal(text), InputError::NotJson { path, wanted }, "{text}");
    }
}

#[test]
fn every_truncation_of_a_night_is_refused_at_a_path_of_ours() {
    let text = include_str!("../testdata/amy.json").trim_end();
    let paths = [
        "top level",
        "name",
        "age",
        "sleep",
        "sleep.light",
        "sleep.light.minutes",
        "sleep.deep",
        "sleep.deep.minutes",
        "sleep.rem",
        "sleep.rem.minutes",
    ];
    for length in 0..text.len() {
        let refused = refusal(&text[..length]);
        assert!(paths.contains(&refused.path()), "{length}: {refused}");
    }
}

#[test]
fn nothing_may_follow_the_object() {
    let night = json(r#""Amy""#, "29", "270", "135", "105");
    for more in ["x", "{}", ",", "\0", &night] {
        assert_eq!(refusal(&format!("{night}{more}")), InputError::TrailingData, "{more:?}");
    }
    assert!(Night::parse(format!("{night} \r\n\t").as_bytes()).is_ok());
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bytes in [b"\xff".as_slice(), b"{\"name\":\"\xc3\"}", b"\xfe\xff\0{\0}"] {
        assert_eq!(Night::parse(bytes).err(), Some(InputError::NotUtf8));
        assert_eq!(InputError::NotUtf8.path(), "top level");
    }
}

#[test]
fn a_megabyte_of_brackets_overflows_nothing() {
    for text in
        ["[".repeat(1 << 20), r#"{"sleep":"#.repeat(100_000), format!(r#"{{"age":{}"#, "[".repeat(1 << 20))]
    {
        assert!(Night::parse(text.as_bytes()).is_err());
    }
}

#[test]
fn an_error_reads_as_a_path_and_what_was_wanted() {
    let rows = [
        (
            json(r#""Amy""#, "29", "-1", "0", "0"),
            "sleep.light.minutes: wanted a number of minutes from 0 to 1440",
        ),
        (r#"{"name":"Amy"}"#.to_owned(), "age: missing, wanted a whole number of years from 0 to 130"),
        (r#"{"age":1,"age":1}"#.to_owned(), "age: given more than once, wanted once"),
        (
            r#"{"x":1}"#.to_owned(),
            "top level: has an unknown field, wanted an object with name, age and sleep",
        ),
        ("{".to_owned(), "top level: not JSON or cut off, wanted an object with name, age and sleep"),
    ];
    for (text, wanted) in rows {
        assert_eq!(refusal(&text).to_string(), wanted);
    }
}
