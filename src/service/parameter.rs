//! Parameters of several use cases.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{Result, ServiceError};

/// Rejects control characters in a parameter: none that is stored has one, and Postgres accepts no NUL.
pub fn without_controls(name: &'static str, text: &str) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(ServiceError::parameter(name, "must not have control characters"));
    }
    Ok(())
}

/// Parses a time: Unix seconds, or RFC 3339.
pub fn time(name: &'static str, text: &str) -> Result<i64> {
    let seconds = text
        .parse::<i64>()
        .ok()
        .filter(|seconds| (0..=253_402_300_799).contains(seconds));
    let date = || {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp)
    };
    seconds
        .or_else(date)
        .ok_or_else(|| ServiceError::parameter(name, "must be Unix seconds, or a time such as 2026-11-25T14:00:00Z"))
}
