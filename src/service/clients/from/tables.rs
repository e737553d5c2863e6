//! Tables as text: CSV, and fields between tabs.

use serde_json::{Map, Value};

use crate::service::clients::text::CsvRecords;

/// Records of CSV as objects of texts, and the line of each.
pub(super) fn records(text: &str) -> Result<(Value, Vec<u64>), String> {
    if !text.bytes().filter(|byte| *byte == b'"').count().is_multiple_of(2) {
        return Err(
            "has a quote that is not closed; the file is truncated, or quotes in it are not doubled".to_owned(),
        );
    }
    let mut records = CsvRecords::new(text.as_bytes());
    let mut header: Vec<String> = Vec::new();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    while let Some(found) = records.read_next().map_err(|error| format!("is not CSV: {error}"))? {
        let line = found.lines.first;
        if let Some(problem) = found.problem {
            return Err(format!("line {line}: {problem}"));
        }
        // A record of a valid text is one.
        let fields = records.fields().map(String::from_utf8_lossy);
        if header.is_empty() {
            header = fields.map(|name| name.trim().to_owned()).collect();
            reject_duplicates(&header)?;
            continue;
        }
        if records.len() != header.len() {
            return Err(unequal(line, records.len() as u64, header.len() as u64));
        }
        let members = header.iter().zip(fields).map(|(name, field)| {
            // As exports of MySQL write it.
            let is_null = matches!(&*field, "\\N" | "NULL");
            let value = if is_null { Value::Null } else { field.into() };
            (name.clone(), value)
        });
        rows.push(Value::Object(members.collect()));
        lines.push(line);
    }
    Ok((Value::Array(rows), lines))
}

/// Records as `mysql --batch` and the text format of Postgres write them: fields between tabs, with escapes after a backslash.
pub(super) fn tab_separated(text: &str) -> Result<(Value, Vec<u64>), String> {
    let mut numbered = (1..).zip(text.lines());
    let header: Vec<&str> = numbered
        .next()
        .map_or_else(Vec::new, |(_, header)| header.split('\t').collect());
    reject_duplicates(&header)?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (line, record) in numbered.filter(|(_, record)| !record.is_empty()) {
        let fields: Vec<&str> = record.split('\t').collect();
        if fields.len() != header.len() {
            return Err(unequal(line, fields.len() as u64, header.len() as u64));
        }
        let members = header.iter().zip(fields).map(|(name, field)| {
            let is_null = matches!(field, "\\N" | "NULL");
            let value = if is_null {
                Ok(Value::Null)
            } else {
                unescaped(field).map(Value::from)
            };
            value.map(|value| (name.trim().to_owned(), value))
        });
        let members: Result<Map<String, Value>, String> = members.collect();
        rows.push(Value::Object(members.map_err(|error| format!("line {line}: {error}"))?));
        lines.push(line);
    }
    Ok((Value::Array(rows), lines))
}

/// The escapes that Postgres writes, and `\0` of `MySQL`.
fn unescaped(field: &str) -> Result<String, String> {
    let (mut text, mut characters) = (String::with_capacity(field.len()), field.chars());
    while let Some(c) = characters.next() {
        text.push(match c {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some('0') => '\0',
                Some(other) => return Err(format!("unknown escape \\{}", other.escape_debug())),
                None => return Err("a field ends with a single backslash; a backslash is written twice".to_owned()),
            },
            _ => c,
        });
    }
    Ok(text)
}

fn reject_duplicates(header: &[impl AsRef<str>]) -> Result<(), String> {
    for (index, name) in header.iter().enumerate() {
        let (name, rest) = (name.as_ref(), &header[index + 1..]);
        if rest.iter().any(|other| other.as_ref() == name) {
            return Err(format!("line 1: the column {name:?} occurs twice"));
        }
    }
    Ok(())
}

fn unequal(line: u64, fields: u64, expected: u64) -> String {
    format!("line {line}: the row has {fields} fields, the header {expected}; the file may be truncated")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_between_tabs_are_decoded() {
        let (rows, lines) =
            tab_separated("id\ttext\n1\ta\\\\b\\n\\t\\r\\b\\f\\v\\0\n2\t\\N\n3\tNULL\n4\t\\\\N\n").unwrap();
        assert_eq!(
            rows,
            json!([
                {"id": "1", "text": "a\\b\n\t\r\u{8}\u{c}\u{b}\0"},
                {"id": "2", "text": null},
                {"id": "3", "text": null},
                {"id": "4", "text": "\\N"},
            ])
        );
        assert_eq!(lines, [2, 3, 4, 5]);
    }

    #[test]
    fn unknown_escapes_are_rejected_with_their_line() {
        let error = |text| tab_separated(text).unwrap_err();
        assert_eq!(error("id\ttext\n1\ta\n2\tC:\\d\n"), r"line 3: unknown escape \d");
        assert_eq!(
            error("id\ttext\n1\ta\\\n"),
            "line 2: a field ends with a single backslash; a backslash is written twice"
        );
    }
}
