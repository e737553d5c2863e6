//! Logs on stderr: text on a terminal, else one JSON object per line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{self, Log, LogFormat};

/// Suppressed unless the configuration names them: `actix_http` logs malformed requests of peers as errors.
const QUIET: &str = "actix_http=off,actix_server=warn,refinery_core=warn,tokio_postgres=warn";

/// Starts logging for the process. A stderr that is full or closed loses lines; it never fails a request.
pub(super) fn init(log: &Log) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(config::may_colour(std::io::stderr().is_terminal()))
        .log_internal_errors(false);
    // The directives of the configuration come later, so they win; the configuration has checked that they parse.
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let registry = tracing_subscriber::registry().with(filter);
    // An error means that logging was set up before, which is then used.
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
    // The message of a panic may contain a secret: only its location is logged.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic");
    }));
}
