//! Reads the members of JSON objects. An error names the member and the type that it must have, never a value: that may be a secret.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use crate::tokens::unique_json::{self, Unique};

/// Reads the members of an object.
pub fn read<'de, T, D>(source: D) -> Result<T, String>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(source).map_err(|error| problem(error.path(), error.inner()))
}

/// Reads a text that is one JSON object, in which no object has a member twice.
pub fn read_text<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, String> {
    let Unique(value) = serde_json::from_slice(text).map_err(|error| match unique_json::duplicate(&error) {
        Some(name) => format!("the member {name} is there twice"),
        None => error.to_string(),
    })?;
    // By itself, `serde` would take an array of a struct's fields for the struct.
    if !value.is_object() {
        return Err("expected a JSON object".to_owned());
    }
    read(&mut serde_json::Deserializer::from_slice(text))
}

fn problem(path: &Path, error: &serde_json::Error) -> String {
    let whole = error.to_string();
    // The position is known of a text only.
    let (text, position) = match error.line() {
        0 => (&*whole, String::new()),
        line => {
            let text = whole.rsplit_once(" at line ").map_or(&*whole, |(text, _)| text);
            (text, format!(" at line {line} column {}", error.column()))
        }
    };
    if let Some(rest) = text.strip_prefix("unknown field `") {
        // The list of known names is the last part, and has no such text.
        let (name, known) = rest.rsplit_once("`, expected ").unwrap_or((rest, "none"));
        return if unique_json::may_show(name) {
            text.to_owned()
        } else {
            format!("unknown field{position}, whose name is not shown, expected {known}")
        };
    }
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text.to_owned();
    }
    let wanted = match text.rsplit_once(", expected ").map(|(_, wanted)| wanted) {
        Some("i64" | "i32") => "an integer",
        Some("u64" | "usize") => "an integer that is not negative",
        Some("u32") => "an integer from 0 to 4294967295",
        Some("u8") => "an integer from 0 to 255",
        Some("a sequence") => "a list",
        Some("a map") => "an object",
        Some(other) => other,
        None => "of another type",
    };
    format!("{} must be {wanted}", shown(path))
}

/// A path such as `quotas.day` or `audience[0]`. Names of an object that can have any may be secrets, too.
fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for segment in path {
        let separator = if shown.is_empty() { "" } else { "." };
        let written = match segment {
            Segment::Seq { index } => write!(shown, "[{index}]"),
            Segment::Map { key } if unique_json::may_show(key) => write!(shown, "{separator}{key}"),
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => write!(shown, "{separator}?"),
        };
        // Writing to a string never fails.
        if written.is_err() {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        name: Option<String>,
        count: Option<u32>,
        list: Option<Vec<String>>,
        limits: Option<BTreeMap<String, i64>>,
    }

    #[test]
    fn errors_name_members_and_types_but_no_value() {
        for (text, expected) in [
            (r#"{"name": 1234567890}"#, "name must be a string"),
            (r#"{"name": {"a": "b"}}"#, "name must be a string"),
            (r#"{"count": -1}"#, "count must be an integer from 0 to 4294967295"),
            (
                r#"{"count": "hunter2"}"#,
                "count must be an integer from 0 to 4294967295",
            ),
            (r#"{"list": [1]}"#, "list[0] must be a string"),
            (r#"{"list": "hunter2, expected u8"}"#, "list must be a list"),
            (r#"{"limits": {"day": "hunter2"}}"#, "limits.day must be an integer"),
            (r#"{"limits": {"oas_cs_hunter2": "x"}}"#, "limits.? must be an integer"),
            (r#"{"name": "a", "name": "b"}"#, "the member name is there twice"),
            ("[1]", "expected a JSON object"),
        ] {
            assert_eq!(read_text::<Sample>(text.as_bytes()).unwrap_err(), expected, "{text}");
        }
        let unknown = |name: &str| read_text::<Sample>(format!("{{\"{name}\": 1}}").as_bytes()).unwrap_err();
        assert!(unknown("nmae").starts_with("unknown field `nmae`, expected one of `name`, "));
        for secret in ["oas_cs_x", "correct horse", &"x".repeat(32), "a`, expected b"] {
            let error = unknown(secret);
            assert!(
                error.starts_with("unknown field at line 1 column ") && !error.contains(secret),
                "{error}"
            );
            assert!(
                error.ends_with("expected one of `name`, `count`, `list`, `limits`"),
                "{error}"
            );
        }
        for text in ["{", "{\"name\": hunter2}", "{\"name\" \"hunter2\"}"] {
            assert!(!read_text::<Sample>(text.as_bytes()).unwrap_err().contains("hunter2"));
        }
    }
}
