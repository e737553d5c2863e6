//! `[log]`: what is logged, and how.

use tracing_subscriber::EnvFilter;

use super::values::Values;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON off it.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level, or `tracing` directives; known to parse.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

impl Log {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let level = values.get("log.level", |text| match EnvFilter::builder().parse(text) {
            Ok(_) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(
                "must be error, warn, info, debug, trace or off, or directives like info,oauth2_server=debug"
                    .to_owned(),
            ),
        });
        let format = values.get("log.format", |text| match text {
            "auto" => Ok(LogFormat::Auto),
            "json" => Ok(LogFormat::Json),
            "human" => Ok(LogFormat::Human),
            _ => Err("must be one of auto, json, human".to_owned()),
        });
        Some(Self {
            level: level?,
            format: format?,
        })
    }
}
