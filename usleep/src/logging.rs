//! The operator's log, on standard error: text for a person, JSON for Cloud Logging.
//!
//! Only the project's own crates are logged, at any level: what a library writes of the bytes that pass
//! through it is not ours to promise anything about. A log line that nobody takes is dropped, and whoever reads the log
//! later is told how many were.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::json_log::{AsMembers, CloudLogging};
use crate::output::{self, Lines, STANDARD_ERROR};

/// The crates whose events are logged.
const OWN_CRATES: [&str; 6] = ["attestation", "launcher", "policy", "session", "sleep", "usleep"];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// Lines for people
    Text,
    /// One JSON object on each line, with Cloud Logging's field names (severity, message, time)
    Json,
}

/// What is logged: a level for everything of ours, and levels for single crates or modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

/// The text is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "wanted off, error, warn, info, debug or trace, or CRATE=LEVEL for one of {}, separated by commas",
    OWN_CRATES.join(", ")
)]
pub struct NotAFilter;

impl FromStr for Filter {
    type Err = NotAFilter;

    /// Stricter than `RUST_LOG`: a word that is no level, or a crate that is not ours, would silence the log.
    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        let mut general = LevelFilter::INFO;
        let mut single = Vec::new();
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None => general = level(directive)?,
                Some((target, of_target)) if is_ours(target) => single.push((target, level(of_target)?)),
                Some(_) => return Err(NotAFilter),
            }
        }
        let targets = Targets::new().with_targets(OWN_CRATES.map(|name| (name, general)));
        Ok(Self(targets.with_targets(single)))
    }
}

/// tracing's own reading takes numbers too, and nothing for `error`.
fn level(name: &str) -> Result<LevelFilter, NotAFilter> {
    let named = name.starts_with(|first: char| first.is_ascii_alphabetic());
    if named { name.parse().map_err(|_| NotAFilter) } else { Err(NotAFilter) }
}

fn is_ours(target: &str) -> bool {
    target.split("::").next().is_some_and(|name| OWN_CRATES.contains(&name))
}

/// Logs to standard error from now on, for the whole process. The first call counts.
pub fn init(format: Format, filter: Filter) {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let coloured = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber: Box<dyn Subscriber + Send + Sync> = if json {
        Box::new(as_json(filter, || Lines(&STANDARD_ERROR)))
    } else {
        Box::new(as_text(filter, coloured, || Lines(&STANDARD_ERROR)))
    };
    let _ = tracing::subscriber::set_global_default(subscriber);
    hardening::report_panics(|place| {
        tracing::error!(place, "a session panicked");
        if cfg!(panic = "abort") {
            output::finish();
        }
    });
}

/// Log lines as JSON, to `writer`.
pub fn as_json<W>(filter: Filter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().fmt_fields(AsMembers).event_format(CloudLogging);
    Registry::default().with(layer.log_internal_errors(false).with_writer(writer).with_filter(filter.0))
}

/// Log lines as text, to `writer`.
pub fn as_text<W>(filter: Filter, coloured: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(coloured).with_target(false);
    Registry::default().with(layer.log_internal_errors(false).with_writer(writer).with_filter(filter.0))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use attestation::json::object_with_unique_names;
    use serde_json::Value;

    use super::*;

    /// The lines that these events become.
    fn logged(filter: &str, events: impl FnOnce()) -> Vec<Value> {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let subscriber = as_json(filter.parse().unwrap(), Shared(Arc::clone(&buffer)));
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(buffer.lock().unwrap().clone()).unwrap();
        let line = |line: &str| Value::Object(object_with_unique_names(line.as_bytes()).unwrap());
        text.lines().map(line).collect()
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Shared {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_json_line_has_cloud_loggings_names_and_the_session_it_belongs_to() {
        let lines = logged("info", || {
            let _session = tracing::info_span!("session", id = 7, peer = "192.0.2.1:50000").entered();
            tracing::warn!(outcome = "lost", bytes = 3, whole = false, "session\u{1b} ended\n");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["severity"], "WARNING");
        assert_eq!(line["message"], "session\u{1b} ended\n");
        assert_eq!(
            (&line["outcome"], &line["bytes"], &line["whole"]),
            (&"lost".into(), &3.into(), &false.into())
        );
        assert_eq!(line["session"], serde_json::json!({"id": 7, "peer": "192.0.2.1:50000"}));
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_a_span_learns_later_stands_with_what_it_knew() {
        let lines = logged("info", || {
            let session = tracing::info_span!("session", id = 7, wire = tracing::field::Empty);
            session.record("wire", 1);
            session.in_scope(|| tracing::info_span!("nothing").in_scope(|| tracing::info!("in both")));
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["session"], serde_json::json!({"id": 7, "wire": 1}));
        assert_eq!(line["nothing"], serde_json::json!({}));
    }

    #[test]
    fn every_value_is_json_and_the_metrics_are_an_object_where_they_are_one() {
        let lines = logged("info", || {
            let (text, list) = ("\"\\\u{1}\u{e9}", [1, 2]);
            tracing::info!(text, below = -1, no_number = f64::NAN, half = 0.5, ?list, metrics = r#"{"a":1}"#);
            tracing::info!(metrics = "none", other = r#"{"a":1}"#);
        });
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(first["text"], "\"\\\u{1}\u{e9}");
        assert_eq!((&first["below"], &first["half"]), (&(-1).into(), &0.5.into()));
        assert_eq!(first["no_number"], Value::Null);
        assert_eq!(first["list"], "[1, 2]");
        assert_eq!(first["metrics"], serde_json::json!({"a": 1}));
        assert_eq!((&second["metrics"], &second["other"]), (&"none".into(), &r#"{"a":1}"#.into()));
    }

    #[test]
    fn every_level_has_its_severity() {
        let lines = logged("trace", || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
        });
        let severities: Vec<_> = lines.iter().map(|line| line["severity"].as_str().unwrap()).collect();
        assert_eq!(severities, ["ERROR", "WARNING", "INFO", "DEBUG", "DEBUG"]);
    }

    #[test]
    fn the_level_holds_for_our_own_crates_and_nobody_elses() {
        let events = || {
            tracing::debug!(target: "session::server", "ours");
            tracing::error!(target: "tungstenite::protocol", "theirs");
            tracing::debug!(target: "launcher", "ours too");
        };
        let messages = |filter| -> Vec<String> {
            logged(filter, events).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(messages("trace"), ["ours", "ours too"]);
        assert_eq!(messages("session=debug"), ["ours"]);
        assert_eq!(messages("debug,session=off"), ["ours too"]);
        assert!(messages("info").is_empty());
    }

    #[test]
    fn a_filter_that_would_silence_the_log_by_mistake_is_refused() {
        for text in ["", "infoo", "info,", "session", "hyper=info", "session=loud", "=info", "3"] {
            assert_eq!(text.parse::<Filter>().err(), Some(NotAFilter), "{text:?}");
        }
        for text in ["off", "INFO", "debug,session::server=trace", "usleep=warn, launcher=debug"] {
            assert!(text.parse::<Filter>().is_ok(), "{text:?}");
        }
    }
}
