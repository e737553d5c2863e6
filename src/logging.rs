//! Logs on stderr: one JSON object a line off a terminal, text for people on one.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{self, Log, LogFormat};

/// What is held back unless the configuration names it: `actix_http` calls an error what peers send.
const QUIET: &str = "actix_http=off,actix_server=warn,refinery_core=warn,tokio_postgres=warn";

/// Starts logging for the process. A sink that is full or closed loses lines; it never fails a request.
pub fn init(log: &Log) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(config::colours(std::io::stderr().is_terminal()))
        .log_internal_errors(false);
    // Libraries say more than an operator wants to read. What the configuration says comes later, so it wins; it has been
    // checked to parse.
    let filter = EnvFilter::new(format!("{QUIET},{}", log.level));
    let registry = tracing_subscriber::registry().with(filter);
    // An error means that somebody else has set up logging before: theirs is then used.
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
    // What a panic says may hold anything: only its place is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
