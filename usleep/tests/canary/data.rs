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

/// The texts that are the session's own alone: sentences with its numbers in them.
pub fn of_the_result(result: &[u8]) -> Vec<Canary> {
    let result: Value = serde_json::from_slice(result).unwrap();
    let total = result["total_minutes"].as_f64().unwrap();
    let shares = ["light", "deep", "rem"].map(|stage| result["shares"][stage].as_f64().unwrap());
    let sentences =
        result["recommended"].as_array().unwrap().iter().map(|sentence| sentence.as_str().unwrap());
    let texts =
        sentences.filter(|sentence| sentence.contains(|c: char| c.is_ascii_digit())).map(Canary::text);
    let figures = [Canary::text(&format!(r#""total_minutes":{total}"#)), Canary::number(total)];
    texts.chain(figures).chain(shares.map(Canary::number)).collect()
}
