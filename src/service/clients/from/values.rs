//! Values as products write them: in JSON, or as text of a column.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::service::clients::import::RowError;
use crate::tokens::unique_json::Unique;

/// Whether a value says more than "not set".
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !matches!(&**text, "" | "[]" | "{}" | "null" | "false" | "f" | "0"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

pub(super) fn text(field: &str, value: Value) -> Result<String, RowError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("{field} must be a string")),
    }
}

/// A list of JSON, the same as text, or words separated by commas.
pub(super) fn list(field: &str, value: Value) -> Result<Vec<String>, RowError> {
    let wrong = || format!("{field} must be a list of strings");
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        Value::String(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(&text).map_err(|_| format!("{field} must be a list of strings in JSON"))?
        }
        Value::String(text) if text == "null" => return Ok(Vec::new()),
        Value::String(text) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            return Ok(words.map(str::to_owned).collect());
        }
        _ => return Err(wrong()),
    };
    let strings = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text),
        _ => Err(wrong()),
    });
    strings.collect()
}

pub(super) fn integer(field: &str, value: &Value) -> Result<i64, RowError> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("{field} must be an integer"))
}

/// `true`, or as databases write it.
pub(super) fn flag(field: &str, value: &Value) -> Result<bool, RowError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
        Value::String(text) if matches!(&*text.to_ascii_lowercase(), "true" | "t" | "1") => Ok(true),
        Value::String(text) if matches!(&*text.to_ascii_lowercase(), "false" | "f" | "0") => Ok(false),
        _ => Err(format!("{field} must be true or false")),
    }
}

/// An object of JSON, or the same as text.
pub(super) fn object(field: &str, value: Value) -> Result<Map<String, Value>, RowError> {
    let wrong = || format!("{field} must be a JSON object that has each member once");
    match value {
        Value::Object(members) => Ok(members),
        Value::String(text) => match serde_json::from_str(&text).map_err(|_| wrong())? {
            Unique(Value::Object(members)) => Ok(members),
            Unique(Value::Null) => Ok(Map::new()),
            Unique(_) => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// A time as Unix seconds: RFC 3339, the text of a database (UTC if it names no zone), or seconds or milliseconds since 1970.
pub(super) fn time(field: &str, value: &Value) -> Result<i64, RowError> {
    const LEAST_MILLIS: i64 = 100_000_000_000;
    let wrong = || format!("{field} must be a time, such as 2026-01-31T12:00:00Z");
    if let Ok(number) = integer(field, value) {
        return Ok(if number.abs() >= LEAST_MILLIS {
            number / 1000
        } else {
            number
        });
    }
    // As the AWS command line writes times.
    if let Some(seconds) = value.as_f64() {
        return Ok(seconds as i64);
    }
    let text = value.as_str().ok_or_else(wrong)?.trim().replacen(' ', "T", 1);
    if let Ok(at) = OffsetDateTime::parse(&text, &Rfc3339) {
        return Ok(at.unix_timestamp());
    }
    database_time(&text).ok_or_else(wrong)
}

/// A time as a database writes it: `2026-01-31T12:00:00.5-05`, also without a fraction or a zone.
fn database_time(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once('T')?;
    let is_of_clock = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
    let zone = rest.trim_start_matches(is_of_clock);
    let (clock, _) = text.split_at(text.len() - zone.len());
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let at = PrimitiveDateTime::parse(seconds, &format)
        .ok()
        .filter(|_| is_fraction)?;
    Some(at.assume_utc().unix_timestamp() - offset(zone.trim())?)
}

/// The seconds by which a zone is ahead of UTC. Postgres writes `+00` and `-05:30`, SQL Server ` +00:00`, and Go's drivers ` +0000 UTC`.
fn offset(zone: &str) -> Option<i64> {
    let zone = zone.split(' ').next().unwrap_or_default();
    if matches!(zone, "" | "Z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    let is_usual = hours <= 15 && minutes < 60 && seconds < 60;
    is_usual.then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// A duration as whole seconds: `1h30m0s` as Go writes it, or `PT1H` as ISO 8601 does. `None`: it is neither, or has a fraction.
pub(super) fn duration(text: &str) -> Option<i64> {
    let upper = text.trim().to_ascii_uppercase();
    let (mut rest, iso) = match upper.strip_prefix('P') {
        None => (&*upper, false),
        Some(rest) => (rest, true),
    };
    let mut seconds = 0.0;
    let mut is_time = !iso;
    let mut is_empty = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T').filter(|_| iso && !is_time) {
            (rest, is_time) = (after, true);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = rest[end..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |at| end + at);
        // A unit of ISO 8601 is one letter.
        let unit = if iso { end + 1 } else { unit };
        let length = match (&rest[end..unit], is_time) {
            ("D", false) => 86_400.0,
            ("H", true) => 3600.0,
            ("M", true) => 60.0,
            ("S", true) => 1.0,
            ("MS", true) => 0.001,
            ("US" | "µS", true) => 0.000_001,
            ("NS", true) => 0.000_000_001,
            _ => return None,
        };
        seconds += number * length;
        rest = &rest[unit..];
        is_empty = false;
    }
    // Sums of whole milliseconds are exact enough to be compared with whole seconds.
    (!is_empty && seconds.fract() == 0.0 && seconds < 1e12).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::time;

    #[test]
    fn times_of_databases_are_read_with_their_zone() {
        const NOON: i64 = 1_798_804_800;
        for (text, at) in [
            ("2027-01-01T12:00:00Z", Some(NOON)),
            ("2027-01-01T12:00:00.5-05:00", Some(NOON + 5 * 3600)),
            ("2027-01-01 12:00:00", Some(NOON)),
            ("2027-01-01 12:00:00.0000000", Some(NOON)),
            ("2027-01-01 12:00:00+00", Some(NOON)),
            ("2027-01-01 12:00:00.5-05", Some(NOON + 5 * 3600)),
            ("2027-01-01 12:00:00.123-08", Some(NOON + 8 * 3600)),
            ("2027-01-01 12:00:00-03:30", Some(NOON + 12_600)),
            ("2027-01-01 12:00:00.25+05:30", Some(NOON - 19_800)),
            ("2027-01-01 12:00:00.0000000 +01:00", Some(NOON - 3600)),
            ("2027-01-01 12:00:00 +0000 UTC", Some(NOON)),
            ("2027-01-01 12:00:00.5 -0800 PST", Some(NOON + 8 * 3600)),
            ("2027-01-01 12:00:00 UTC", Some(NOON)),
            ("2027-01-01 12:00:00 PST", None),
            ("2027-01-01 12:00:00.-05", None),
            ("2027-01-01 12:00:00-5", None),
            ("2027-01-01 12:00:00-99", None),
            ("2027-01-01", None),
        ] {
            assert_eq!(time("at", &json!(text)).ok(), at, "{text}");
        }
    }
}
