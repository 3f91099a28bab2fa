//! `--metrics-log-interval`: the same numbers as one line of the log, where no port can be reached, as in a Confidential
//! Space VM.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Number, Value};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::info;

use super::Metrics;

/// Logs a line after each interval, until it is dropped.
pub async fn log_often(metrics: Arc<Metrics>, every: Duration) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        log(&metrics);
    }
}

/// Logs one line. In JSON its field `metrics` is an object.
pub fn log(metrics: &Metrics) {
    let numbers = Value::Object(numbers(&metrics.text())).to_string();
    info!(metrics = numbers, "metrics");
}

/// Every number of the text format that is not 0: the name, and the values of its labels with `_` between them. Of a
/// histogram count and sum.
fn numbers(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(number).filter(|(name, _)| !name.contains("_bucket_")).collect()
}

fn number(line: &str) -> Option<(String, Value)> {
    let (name, value) = line.rsplit_once(' ')?;
    let value: f64 = value.parse().ok().filter(|value| *value != 0.0)?;
    let (family, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
    // The values of our labels are words of ours, without quotes.
    let words = labels.split('"').skip(1).step_by(2);
    let name = std::iter::once(family).chain(words).collect::<Vec<_>>().join("_").replace(['-', '.'], "_");
    // Counts are whole numbers, and stay below 2^53.
    let number = if value.fract() == 0.0 { Number::from(value as i64) } else { Number::from_f64(value)? };
    Some((name, Value::Number(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_values_of_its_labels_and_what_is_0_is_left_out() {
        let text = "# HELP a Help.\n# TYPE a counter\na{outcome=\"no-token\",wire=\"1\"} 3\na{outcome=\"lost\",wire=\"0\"} 0\n\
                    b_bucket{le=\"0.5\"} 1\nb_sum 0.25\nb_count 1\nc 1.5\n";
        let wanted = serde_json::json!({"a_no_token_1": 3, "b_sum": 0.25, "b_count": 1, "c": 1.5});
        assert_eq!(Value::Object(numbers(text)), wanted);
    }
}
