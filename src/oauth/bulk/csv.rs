//! The columns of CSV, and what stands in them.

use csv_core::{ReadRecordResult, Reader};
use serde_json::{Map, Value};

use super::Refusal;
use super::quotes::BARE_CR;

/// Every column, in the order of an export.
pub const COLUMNS: &[&str] = &[
    "client_id",
    "client_secret",
    "client_secret_sha256",
    "client_name",
    "grant_types",
    "scope",
    "token_format",
    "signing_alg",
    "audience",
    "resource_server",
    "token_ledger",
    "access_token_lifetime",
    "rate_limit_token",
    "rate_limit_introspection",
    "rate_limit_revocation",
    "rate_limit_mode",
    "quota_hour",
    "quota_day",
    "quota_month",
    "quota_mode",
    "reuse_percent",
    "claims",
    "disabled",
    "created_at",
];

/// Bytes that a secret has at least.
const SHORTEST_SECRET: usize = 32;

/// The columns of a text.
pub struct Columns {
    names: Vec<&'static str>,
    reader: Reader,
}

impl Columns {
    /// Reads the header.
    pub(super) fn read(header: &[u8]) -> Result<Self, Refusal> {
        let header = str::from_utf8(header).map_err(|_| "the header is not valid UTF-8".to_owned())?;
        let mut columns = Self {
            names: Vec::new(),
            reader: Reader::new(),
        };
        for (place, name) in columns.fields(header)?.iter().enumerate() {
            let known = COLUMNS.iter().find(|known| **known == name.trim());
            let known = known.ok_or_else(|| {
                // Where the header is missing, this is the first row. Every secret is longer than any column's name.
                let named = if name.len() < SHORTEST_SECRET {
                    format!("there is no column {name:?}")
                } else {
                    format!("column {} has no name that is known", place + 1)
                };
                format!("{named}; the columns are {}", COLUMNS.join(", "))
            })?;
            if columns.names.contains(known) {
                return Err(format!("the column {known} stands there twice"));
            }
            columns.names.push(known);
        }
        if !columns.names.contains(&"client_id") {
            return Err("the column client_id is missing".to_owned());
        }
        Ok(columns)
    }

    /// What a record says, as the JSON members of a client. An empty field says nothing.
    pub(super) fn members(&mut self, record: &str) -> Result<Map<String, Value>, Refusal> {
        let fields = self.fields(record)?;
        if fields.len() != self.names.len() {
            return Err(format!(
                "the line has {} fields, the header {}",
                fields.len(),
                self.names.len()
            ));
        }
        let mut members = Map::new();
        for (name, field) in self.names.iter().zip(fields) {
            if !field.is_empty() {
                put(&mut members, name, field)?;
            }
        }
        Ok(members)
    }

    fn fields(&mut self, record: &str) -> Result<Vec<String>, Refusal> {
        self.reader.reset();
        let (mut output, mut ends) = (vec![0; record.len() + 2], [0; 64]);
        // With a line end, so that the record is whole.
        let input = [record.as_bytes(), b"\n"].concat();
        let (result, read, _, count) = self.reader.read_record(&input, &mut output, &mut ends);
        if !matches!(result, ReadRecordResult::Record) {
            return Err(format!("the line has more than {} fields", ends.len()));
        }
        // What follows the record must not be lost; nothing else ends one early.
        if read != input.len() {
            return Err(BARE_CR.to_owned());
        }
        let mut from = 0;
        let field = |end: &usize| {
            let field = String::from_utf8_lossy(&output[from..*end]).into_owned();
            from = *end;
            field
        };
        Ok(ends[..count].iter().map(field).collect())
    }
}

fn put(members: &mut Map<String, Value>, name: &'static str, field: String) -> Result<(), Refusal> {
    let number = |field: &str| {
        field
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("{name} must be a number"))
    };
    let (member, value) = match name {
        "grant_types" | "audience" | "resource_server" => (name, field.split_whitespace().map(Value::from).collect()),
        "access_token_lifetime" | "reuse_percent" | "created_at" => (name, number(&field)?),
        "disabled" => match &*field {
            "true" => (name, Value::from(true)),
            "false" => (name, Value::from(false)),
            _ => return Err("disabled must be true or false".to_owned()),
        },
        "claims" => {
            let claims = serde_json::from_str(&field).ok().filter(Value::is_object);
            (name, claims.ok_or("claims must be a JSON object")?)
        }
        _ => {
            if let Some(limit) = name.strip_prefix("rate_limit_").filter(|limit| *limit != "mode") {
                nested(members, "rate_limits", limit, field.into());
                return Ok(());
            }
            if let Some(window) = name.strip_prefix("quota_").filter(|window| *window != "mode") {
                nested(members, "quotas", window, number(&field)?);
                return Ok(());
            }
            (name, field.into())
        }
    };
    members.insert(member.to_owned(), value);
    Ok(())
}

fn nested(members: &mut Map<String, Value>, member: &str, name: &str, value: Value) {
    let place = members.entry(member).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(object) = place {
        object.insert(name.to_owned(), value);
    }
}

/// The header of an export.
pub fn header() -> String {
    COLUMNS.join(",")
}

/// A client's members as a line of CSV, in the order of [`COLUMNS`].
pub fn line(members: &Map<String, Value>) -> String {
    let fields: Vec<String> = COLUMNS.iter().map(|column| quoted(&text_of(members, column))).collect();
    fields.join(",")
}

fn text_of(members: &Map<String, Value>, column: &str) -> String {
    let nested = |member: &str, name: &str| members.get(member).and_then(|object| object.get(name));
    let value = match column.split_once('_') {
        Some(("rate", rest)) if rest != "limit_mode" => nested("rate_limits", rest.trim_start_matches("limit_")),
        Some(("quota", window)) if window != "mode" => nested("quotas", window),
        _ => members.get(column),
    };
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Some(Value::Object(object)) if object.is_empty() => String::new(),
        Some(other) => other.to_string(),
    }
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
