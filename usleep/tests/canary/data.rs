//! A night with a canary in every field, the same with one field wrong, and what is computed from it.

use serde_json::Value;

use super::memory::Canary;

/// A night that nobody had: each value is looked for as text and as the number that it is in memory.
pub const NIGHT: &str = r#"{"name":"Canary Quetzalcoatlus","age":113,"sleep":{"light":{"minutes":270.4182937},"deep":{"minutes":135.5517384},"rem":{"minutes":105.2240119}}}"#;

const TEXTS: [&str; 5] = ["Quetzalcoatlus", r#""age":113"#, "270.4182937", "135.5517384", "105.2240119"];
const MINUTES: [f64; 3] = [270.4182937, 135.5517384, 105.2240119];

/// The path that a refusal must name, and the night.
type Wrong = (&'static str, fn() -> String);

/// The canaries where they do not belong.
pub const WRONG_NIGHTS: [Wrong; 8] = [
    ("name", || NIGHT.replace(r#""Canary Quetzalcoatlus""#, "270.4182937")),
    ("age", || NIGHT.replace("113", "113.4182937")),
    ("sleep.light.minutes", || NIGHT.replace("270.4182937", r#""270.4182937""#)),
    ("sleep.deep.minutes", || NIGHT.replace("135.5517384", "[135.5517384]")),
    ("sleep.rem.minutes", || NIGHT.replace("105.2240119", "-105.2240119")),
    ("sleep", || NIGHT.replace("135.5517384", "1335.5517384")),
    ("top level", || NIGHT.replace("name", "Quetzalcoatlus")),
    ("sleep.rem", || NIGHT.replace("}}}", "")),
];

/// As it crosses.
pub fn texts_of_the_night() -> Vec<Canary> {
    TEXTS.map(Canary::text).into()
}

/// As it crosses, and as it is worked with.
pub fn of_the_night() -> Vec<Canary> {
    let total = MINUTES.iter().sum();
    let numbers = MINUTES.into_iter().chain([total]).map(Canary::number);
    texts_of_the_night().into_iter().chain(numbers).collect()
}

/// What is the session's own alone in a result: numbers that are no round ones, and sentences with numbers in them.
pub fn of_the_result(result: &[u8]) -> Vec<Canary> {
    let text = str::from_utf8(result).unwrap();
    let mut canaries = Vec::new();
    for line in text.lines() {
        collect(&serde_json::from_str(line).unwrap(), &mut canaries);
    }
    assert!(canaries.len() > 4, "{text}");
    canaries
}

fn collect(value: &Value, canaries: &mut Vec<Canary>) {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            if (number * 256.0).fract() != 0.0 {
                canaries.push(Canary::number(number));
            }
        }
        Value::String(text) => {
            if text.len() > 16 && text.contains(|c: char| c.is_ascii_digit()) {
                canaries.push(Canary::text(text));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, canaries)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, canaries)),
        Value::Null | Value::Bool(_) => {}
    }
}
