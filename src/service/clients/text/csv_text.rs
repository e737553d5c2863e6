//! CSV: the columns of records become JSON members.

use std::io::{self, Read, Write};

use csv::ErrorKind;
use serde_json::{Map, Value};

use super::csv_records::CsvRecords;
use super::row::{MAX_ROW, Members, not_utf8, too_long};
use crate::service::clients::checks::SECRET_LENGTH;
use crate::service::clients::import::{LineRange, RowError};
use crate::service::clients::metadata::{COLUMN_ALIASES, COLUMNS, ColumnKind};
use crate::service::clients::secrets;
use crate::tokens::unique_json::Unique;

/// Reads records.
pub struct CsvRows<R> {
    records: CsvRecords<R>,
    columns: Vec<&'static (&'static str, ColumnKind)>,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header. The inner error says what is wrong with it.
    pub(super) fn new(input: R) -> io::Result<Result<Self, RowError>> {
        let mut rows = Self {
            records: CsvRecords::new(input),
            columns: Vec::new(),
        };
        let header = match rows.read_record()? {
            None => Err("line 1: the header is missing: the first line of CSV names the columns".to_owned()),
            Some((lines, read)) => read
                .and_then(|()| columns(rows.records.fields()))
                .map_err(|error| format!("{lines}: {error}")),
        };
        Ok(header.map(|columns| Self { columns, ..rows }))
    }

    /// The next record as JSON members.
    pub(super) fn read_next(&mut self) -> io::Result<Option<(LineRange, Members)>> {
        let Some((lines, read)) = self.read_record()? else {
            return Ok(None);
        };
        Ok(Some((lines, read.and_then(|()| self.members()))))
    }

    /// Reads a record: its lines, and whether it is acceptable.
    fn read_record(&mut self) -> io::Result<Option<(LineRange, Result<(), RowError>)>> {
        let found = self.records.read_next()?;
        Ok(found.map(|found| {
            let is_too_long = found.length > MAX_ROW as u64;
            let read = match found.problem {
                Some(problem) => Err(problem),
                None if is_too_long => Err(too_long()),
                None => Ok(()),
            };
            (found.lines, read)
        }))
    }

    /// The record as JSON members. An empty field is null, the default; an empty `disabled` counts as absent.
    fn members(&self) -> Members {
        if self.records.len() != self.columns.len() {
            return Err(format!(
                "the row has {} fields, the header {}",
                self.records.len(),
                self.columns.len()
            ));
        }
        let mut members = Map::new();
        for ((name, kind), field) in self.columns.iter().zip(self.records.fields()) {
            let field = str::from_utf8(field).map_err(|_| not_utf8())?;
            match (field, *kind) {
                ("", ColumnKind::Boolean) => {}
                ("", ColumnKind::TextMember(object, member) | ColumnKind::NumberMember(object, member)) => {
                    put_member(&mut members, object, member, Value::Null);
                }
                ("", _) => {
                    members.insert((*name).to_owned(), Value::Null);
                }
                (field, kind) => put(&mut members, name, kind, field)?,
            }
        }
        Ok(members)
    }
}

fn columns<'r>(header: impl Iterator<Item = &'r [u8]>) -> Result<Vec<&'static (&'static str, ColumnKind)>, RowError> {
    let mut columns: Vec<&'static (&'static str, ColumnKind)> = Vec::new();
    for (index, name) in header.enumerate() {
        let name = str::from_utf8(name)
            .map_err(|_| "the header is not valid UTF-8".to_owned())?
            .trim();
        let alias = COLUMN_ALIASES.iter().find(|(alias, _)| *alias == name);
        let wanted = alias.map_or(name, |(_, present)| present);
        let column = COLUMNS.iter().find(|(known, _)| *known == wanted).ok_or_else(|| {
            // Without a header this is the first row, which may hold a secret. Secrets are longer than names of columns.
            let named = if name.len() < *SECRET_LENGTH.start() {
                format!("there is no column {name:?}")
            } else {
                format!("column {} has an unknown name", index + 1)
            };
            let known: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
            format!("{named}; the columns are {}", known.join(", "))
        })?;
        if columns.contains(&column) {
            return Err(format!("the column {wanted} occurs twice"));
        }
        columns.push(column);
    }
    if !columns.iter().any(|(name, _)| *name == "client_id") {
        return Err("the column client_id is missing".to_owned());
    }
    Ok(columns)
}

fn put(members: &mut Map<String, Value>, name: &str, kind: ColumnKind, field: &str) -> Result<(), RowError> {
    let number = || {
        field
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("{name} must be a number"))
    };
    let value = match kind {
        ColumnKind::Text => field.into(),
        ColumnKind::List => list(field),
        ColumnKind::Secrets => secrets::from_csv(field)?,
        ColumnKind::Number => number()?,
        ColumnKind::Boolean => match field {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(format!("{name} must be true or false")),
        },
        ColumnKind::Json => {
            let object = serde_json::from_str(field)
                .ok()
                .map(|Unique(value)| value)
                .filter(Value::is_object);
            object.ok_or_else(|| format!("{name} must be a JSON object that has each member once"))?
        }
        ColumnKind::TextMember(object, member) => {
            put_member(members, object, member, field.into());
            return Ok(());
        }
        ColumnKind::NumberMember(object, member) => {
            put_member(members, object, member, number()?);
            return Ok(());
        }
    };
    members.insert(name.to_owned(), value);
    Ok(())
}

/// Words, or a JSON array for a list that is empty or has entries with spaces.
fn list(field: &str) -> Value {
    let array = field.starts_with('[').then(|| serde_json::from_str(field).ok());
    let array = array.flatten().filter(Value::is_array);
    array.unwrap_or_else(|| field.split_whitespace().map(Value::from).collect())
}

fn put_member(members: &mut Map<String, Value>, object: &str, member: &str, value: Value) {
    let entry = members.entry(object).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(object) = entry {
        object.insert(member.to_owned(), value);
    }
}

/// Writes records.
pub struct CsvWriter<W: Write>(csv::Writer<W>);

impl<W: Write> CsvWriter<W> {
    /// Writes the header.
    pub(super) fn new(output: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(output);
        writer
            .write_record(COLUMNS.iter().map(|(name, _)| *name))
            .map_err(into_io)?;
        Ok(Self(writer))
    }

    /// Writes a client's members.
    pub(super) fn write(&mut self, members: &Map<String, Value>) -> io::Result<()> {
        let fields = COLUMNS.iter().map(|(name, kind)| text_of(members, name, *kind));
        self.0.write_record(fields).map_err(into_io)
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An error of the output itself keeps its kind.
fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The field that [`list`] reads.
fn text_of_list(items: &[Value]) -> String {
    let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    let is_word = |word: &&str| !word.is_empty() && !word.starts_with('[') && !word.contains(char::is_whitespace);
    if words.is_empty() || !words.iter().all(is_word) {
        return Value::from(words).to_string();
    }
    words.join(" ")
}

fn text_of(members: &Map<String, Value>, name: &str, kind: ColumnKind) -> String {
    let value = match kind {
        ColumnKind::TextMember(object, member) | ColumnKind::NumberMember(object, member) => {
            members.get(object).and_then(|object| object.get(member))
        }
        _ => members.get(name),
    };
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if kind == ColumnKind::Secrets => secrets::to_csv(items),
        // An empty field is the default, which no list but this one differs from when it is empty.
        Some(Value::Array(items)) if items.is_empty() && name != "grant_types" => String::new(),
        Some(Value::Array(items)) => text_of_list(items),
        Some(Value::Object(object)) if object.is_empty() => String::new(),
        Some(other) => other.to_string(),
    }
}
