//! The two forms of a log line. Both have the id of the request that the line belongs to, and its trace if the request is sampled.

use std::fmt;

use oauth2_actors::runtime::spans;
use serde::ser::{SerializeMap, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::flood;

/// Calls `add` with the fields that a line has because of where and when it is logged.
fn for_each_origin(mut add: impl FnMut(&'static str, &str)) {
    spans::with_current(|current| {
        if let Some(id) = current.request_id() {
            add("request_id", id);
        }
        if let Some(span) = current.span() {
            add("trace_id", &span.trace_id().to_string());
            add("span_id", &span.span_id().to_string());
        }
    });
}

/// Whether a field is where a library that uses the crate `log` logged its line: the target says that, and the rest are paths of the build.
pub(in crate::app) fn is_origin_of_library(field: &Field) -> bool {
    field.name().starts_with("log.")
}

/// One JSON object per line.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        write_json(&mut line, event).map_err(|_| fmt::Error)?;
        // JSON of serde_json is UTF-8.
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)?;
        writer.write_char('\n')
    }
}

fn write_json(line: &mut Vec<u8>, event: &Event<'_>) -> serde_json::Result<()> {
    let normalized = event.normalized_metadata();
    let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
    let mut serializer = serde_json::Serializer::new(line);
    let mut map = serializer.serialize_map(None)?;
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    map.serialize_entry("timestamp", &now)?;
    map.serialize_entry("level", metadata.level().as_str())?;
    let mut fields = Fields { map, outcome: Ok(()) };
    event.record(&mut fields);
    fields.outcome?;
    let mut map = fields.map;
    let mut outcome = Ok(());
    for_each_origin(|name, value| {
        if outcome.is_ok() {
            outcome = map.serialize_entry(name, value);
        }
    });
    outcome?;
    let suppressed = flood::suppressed_before();
    if suppressed > 0 {
        map.serialize_entry("suppressed", &suppressed)?;
    }
    map.serialize_entry("target", metadata.target())?;
    map.end()
}

struct Fields<M: SerializeMap> {
    map: M,
    outcome: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn add(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        if self.outcome.is_ok() && !is_origin_of_library(field) {
            self.outcome = self.map.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

/// The fields of a line for people, followed by those of its origin.
#[derive(Debug, Default)]
pub(super) struct WithOrigin(DefaultFields);

impl<'writer> FormatFields<'writer> for WithOrigin {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        let mut outcome = Ok(());
        for_each_origin(|name, value| {
            if outcome.is_ok() {
                outcome = write!(writer, " {name}={value}");
            }
        });
        outcome?;
        match flood::suppressed_before() {
            0 => Ok(()),
            suppressed => write!(writer, " suppressed={suppressed}"),
        }
    }
}
