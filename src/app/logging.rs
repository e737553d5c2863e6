//! Logs on stderr: text on a terminal, else one JSON object per line ([`format`]).
//!
//! A thread of its own writes them, so that a reader that stalls never blocks a request. Repeated warnings are limited ([`flood`]).

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::telemetry::logs::LogExport;
use crate::config::{self, Log, LogFormat};

pub(super) mod flood;
pub(super) mod format;

use flood::Flood;
use format::{Json, WithOrigin};

/// Suppressed unless the configuration names them: `actix_http` logs malformed requests of peers as errors, and the lines of the libraries
/// that export telemetry would be exported, too.
const QUIET: &str = "actix_http=off,actix_server=warn,refinery_core=warn,tokio_postgres=warn,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn";

/// Lines that wait for stderr, of about 300 bytes each. Further lines are dropped and counted.
const QUEUE: usize = 8192;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that stderr did not take: it is full or closed.
static NOT_WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Lines dropped so far because stderr was not read in time, or could not be written.
pub(super) fn dropped_lines() -> u64 {
    let late = DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64);
    late + NOT_WRITTEN.load(Ordering::Relaxed)
}

/// Counts the lines that cannot be written. Its thread gives it a line at a time, and has no use for an error.
struct Counted<W>(W);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            NOT_WRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging for the process. A stderr that is full or closed loses lines; it never fails a request. When the guard is dropped, at
/// the end of the process, waiting lines are written, for a second at most.
///
/// `export`: exports every line, too.
pub(super) fn init(log: &Log, export: Option<LogExport>) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(Counted(std::io::stderr()));
    // An error means that an earlier call has set it.
    let _ = DROPPED.set(writer.error_counter());
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(config::may_colour(std::io::stderr().is_terminal()))
        .log_internal_errors(false);
    // The directives of the configuration come later, so they win; the configuration has checked that they parse.
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(Flood::default())
        .with(export);
    // An error means that logging was set up before, which is then used.
    let _ = if json {
        registry.with(layer.event_format(Json)).try_init()
    } else {
        let layer = layer.with_target(false).fmt_fields(WithOrigin::default());
        registry.with(layer).try_init()
    };
    // The message of a panic may contain a secret: only its location is logged.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic");
    }));
    guard
}
