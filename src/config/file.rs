//! The TOML file as a flat list of values with dotted path and line.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};

/// A value of the file.
#[derive(Debug)]
pub struct FileValue {
    /// Dotted path of the key.
    pub path: String,
    /// The value as text; `None` if it is not a string, number or boolean.
    pub text: Option<String>,
    /// Line of the value, from 1.
    pub line: usize,
}

/// Parses the text of a file. A syntax error names the line and does not quote it, because it may hold a secret.
pub fn parse(path: &Path, text: &str) -> Result<Vec<FileValue>, ConfigError> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        let origin = Origin::File {
            path: path.to_owned(),
            line,
        };
        ConfigError::Other(format!("{origin} is not valid TOML: {}", error.message()))
    })?;
    let mut values = Vec::new();
    flatten(table.get_ref(), "", &line_of, &mut values);
    Ok(values)
}

fn flatten(table: &DeTable<'_>, prefix: &str, line_of: &impl Fn(usize) -> usize, values: &mut Vec<FileValue>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        let line = line_of(value.span().start);
        if let DeValue::Table(inner) = value.get_ref()
            && !inner.is_empty()
        {
            flatten(inner, &format!("{path}."), line_of, values);
            continue;
        }
        values.push(FileValue {
            path,
            text: scalar(value.get_ref()),
            line,
        });
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(|n| n.to_string()),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
