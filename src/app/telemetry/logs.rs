//! Log lines as OTLP log records, with the id of their request, and its trace if it is sampled.

use std::fmt;
use std::time::SystemTime;

use oauth2_actors::runtime::spans;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::app::logging::flood;
use crate::app::logging::format::is_origin_of_library;

/// What is used by the export itself: a line of it would cause the next export.
const OWN: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "tower"];

/// The modules of the export.
const EXPORT: &str = "oauth2_server::app::telemetry";

/// The layer that exports log lines.
#[derive(Debug)]
pub(in crate::app) struct LogExport(SdkLogger);

impl LogExport {
    /// Exports through this logger.
    pub(super) fn new(logger: SdkLogger) -> Self {
        Self(logger)
    }
}

impl<S: Subscriber> Layer<S> for LogExport {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let library = metadata.target().split("::").next().unwrap_or_default();
        if OWN.contains(&library) || metadata.target().starts_with(EXPORT) {
            return;
        }
        let mut record = self.0.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_target(metadata.target().to_owned());
        record.set_severity_text(metadata.level().as_str());
        record.set_severity_number(severity(*metadata.level()));
        event.record(&mut Fields(&mut record));
        spans::with_current(|current| {
            if let Some(id) = current.request_id() {
                record.add_attribute("request_id", id.to_owned());
            }
            if let Some(span) = current.span() {
                record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
            }
        });
        let suppressed = flood::suppressed_before();
        if suppressed > 0 {
            record.add_attribute("suppressed", suppressed as i64);
        }
        self.0.emit(record);
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

struct Fields<'a>(&'a mut SdkLogRecord);

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<AnyValue>) {
        if field.name() == "message" {
            self.0.set_body(value.into());
        } else if !is_origin_of_library(field) {
            self.0.add_attribute(field.name(), value.into());
        }
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, value),
            Err(_) => self.add(field, value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}
