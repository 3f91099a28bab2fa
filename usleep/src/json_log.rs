//! Log lines as JSON, with the field names of Cloud Logging's structured logs
//! (<https://cloud.google.com/logging/docs/structured-logging>).
//!
//! Under load there is a line for each session: it is written member by member. No tree is built of it, but of the metrics.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The field whose text is a JSON object, and becomes one in JSON.
const METRICS_FIELD: &str = "metrics";

/// One JSON object for each event. Spans are objects under their names. No field of ours is called as a member of the line
/// is.
pub(crate) struct CloudLogging;

/// Keeps a span's fields as members, without the braces around them. Each field is recorded once.
pub(crate) struct AsMembers;

impl<S> FormatEvent<S, AsMembers> for CloudLogging
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, AsMembers>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Members::default();
        line.put("time", time);
        line.put("severity", severity(*event.metadata().level()));
        event.record(&mut line);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<AsMembers>>();
            line.put_object(span.name(), fields.map_or("", |fields| fields.fields.as_str()));
        }
        line.put("target", event.metadata().target());
        writeln!(writer, "{{{}}}", line.as_str()?)
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

impl<'a> FormatFields<'a> for AsMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'_>, fields: R) -> fmt::Result {
        let mut members = Members::default();
        fields.record(&mut members);
        writer.write_str(members.as_str()?)
    }

    fn add_fields(&self, current: &'a mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut members = Members(std::mem::take(&mut current.fields).into_bytes());
        fields.record(&mut members);
        current.fields = String::from_utf8(members.0).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

/// The members of a JSON object, in UTF-8.
#[derive(Default)]
struct Members(Vec<u8>);

impl Members {
    fn put(&mut self, name: &str, value: impl Serialize) {
        self.add(name, |text| serde_json::to_writer(text, &value));
    }

    fn put_object(&mut self, name: &str, members: &str) {
        self.add(name, |text| {
            text.push(b'{');
            text.extend_from_slice(members.as_bytes());
            text.push(b'}');
            Ok(())
        });
    }

    /// Whole, or not at all.
    fn add(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) {
        let text = &mut self.0;
        let before = text.len();
        if before > 0 {
            text.push(b',');
        }
        let named = serde_json::to_writer(&mut *text, name);
        text.push(b':');
        if named.and_then(|()| value(text)).is_err() {
            text.truncate(before);
        }
    }

    fn as_str(&self) -> Result<&str, fmt::Error> {
        str::from_utf8(&self.0).map_err(|_| fmt::Error)
    }
}

impl Visit for Members {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == METRICS_FIELD
            && let Ok(numbers) = serde_json::from_str::<Map<String, Value>>(value)
        {
            return self.put(field.name(), numbers);
        }
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}
