//! `[log]`: level and format of the log.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::key::Fallback::Value;
use super::key::{Key, key};
use super::values::Values;

const LEVEL: Key = key(
    "OAUTH2_LOG_LEVEL",
    "log.level",
    Value("info"),
    "Log level, or `target=level` directives separated by commas.",
);
const FORMAT: Key = key(
    "OAUTH2_LOG_FORMAT",
    "log.format",
    Value("auto"),
    "`json`, `human`, or `auto`: human on a terminal, JSON otherwise.",
);

pub(super) const KEYS: &[Key] = &[LEVEL, FORMAT];

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One JSON object per line.
    Json,
    /// Readable text.
    Human,
}

/// Level and format of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level or `tracing` directives; they are known to parse.
    pub level: String,
    /// The format of lines.
    pub format: LogFormat,
}

impl Log {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let level = values.get(&LEVEL, parse_level);
        let format = values.get(&FORMAT, parse_format);
        Some(Self {
            level: level?,
            format: format?,
        })
    }
}

fn parse_level(text: &str) -> Result<String, String> {
    // A single word that is no level would be taken for a target, and everything else would be silent.
    let is_target = |directive: &str| !directive.contains(['=', '[']) && LevelFilter::from_str(directive).is_err();
    let text = text.trim();
    // Fields in braces are separated by commas, too.
    let has_target = !text.contains('{') && text.split(',').any(is_target);
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.is_empty() && !has_target => Ok(text.to_owned()),
        _ => Err(
            "must be error, warn, info, debug, trace or off, or directives such as info,oauth2_server=debug".to_owned(),
        ),
    }
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "human" => Ok(LogFormat::Human),
        _ => Err("must be one of auto, json, human".to_owned()),
    }
}
