//! Parsers that several sections use. An error is a clause that follows the name of the key: "must be …".

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A whole number from `min` to `max`.
pub fn number<T>(text: &str, min: T, max: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display + Copy,
{
    match text.parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

/// The path of a file, relative to `directory`.
pub fn file_path(text: &str, directory: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("must be the path of a file".to_owned());
    }
    Ok(directory.join(text))
}

/// Seconds from 0 to `max_seconds`, fractions allowed, optionally with the unit `s` or `ms`.
pub fn duration(text: &str, max_seconds: u32) -> Result<Duration, String> {
    let (digits, scale) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits
        .parse::<f64>()
        .ok()
        .map(|number| number * scale)
        .filter(|seconds| plain && *seconds <= f64::from(max_seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("must be a number of seconds from 0 to {max_seconds}, such as 1, 0.5, 2s or 500ms"))
}
