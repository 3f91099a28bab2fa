//! The operator's log, on standard error: text for a person, JSON for Cloud Logging.
//!
//! Only the project's own crates are logged, at any level: what a library writes of the bytes that pass
//! through it is not ours to promise anything about. A log line that nobody takes is dropped, and whoever reads the log
//! later is told how many were.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::output::{self, Lines, STANDARD_ERROR};

/// The crates whose events are logged.
const OWN_CRATES: [&str; 6] = ["attestation", "launcher", "policy", "session", "sleep", "usleep"];

/// The field whose text is a JSON object, and becomes one in JSON.
pub(crate) const METRICS_FIELD: &str = "metrics";

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
    let layer = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).event_format(CloudLogging);
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

/// One JSON object for each event, with the field names of Cloud Logging's structured logs
/// (<https://cloud.google.com/logging/docs/structured-logging>). Spans are objects under their names.
struct CloudLogging;

impl<S> FormatEvent<S, JsonFields> for CloudLogging
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = fields.0;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>().map(|fields| fields.fields.as_str());
            let fields = fields.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
            line.insert(span.name().to_owned(), fields);
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("time".to_owned(), time.into());
        line.insert("severity".to_owned(), severity(*event.metadata().level()).into());
        line.insert("target".to_owned(), event.metadata().target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Cloud Logging's names (`LogSeverity`) for tracing's levels.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match serde_json::from_str::<Map<String, Value>>(value) {
            Ok(numbers) if field.name() == METRICS_FIELD => self.put(field, numbers),
            _ => self.put(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// The lines that these events become.
    fn logged(filter: &str, events: impl FnOnce()) -> Vec<Value> {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let subscriber = as_json(filter.parse().unwrap(), Shared(Arc::clone(&buffer)));
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(buffer.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
