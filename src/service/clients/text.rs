//! Clients as text: reads and writes JSON lines and CSV, with bounded memory.

use std::io::{self, Read, Write};

use oauth2_store::model::Client;
use serde_json::{Map, Value};

use super::import::{ImportRow, LineRange, RowError};
use super::metadata::ClientView;
use super::secrets;

mod csv_guard;
mod csv_records;
mod csv_text;
mod json_lines;
mod row;

pub(in crate::service) use csv_records::CsvRecords;
use csv_text::{CsvRows, CsvWriter};
use json_lines::JsonRows;

/// The longest error of a row, bytes.
const MAX_ERROR: usize = 1000;

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// A JSON object a line.
    JsonLines,
    /// CSV (RFC 4180) with a header.
    Csv,
}

/// Reads rows, one after the other.
pub enum RowReader<R: Read> {
    /// JSON lines.
    Json(JsonRows<R>),
    /// CSV.
    Csv(CsvRows<R>),
}

/// A row and its lines.
pub type NumberedRow = (LineRange, Result<ImportRow, RowError>);

impl<R: Read> RowReader<R> {
    /// Reads the header of CSV. The inner error says what is wrong with it.
    pub fn new(input: R, format: TextFormat) -> io::Result<Result<Self, RowError>> {
        Ok(match format {
            TextFormat::JsonLines => Ok(Self::Json(JsonRows::new(input))),
            TextFormat::Csv => CsvRows::new(input)?.map(Self::Csv),
        })
    }

    /// The next row; `None` at the end.
    pub fn read_next(&mut self) -> io::Result<Option<NumberedRow>> {
        let next = match self {
            Self::Json(rows) => rows.read_next()?,
            Self::Csv(rows) => rows.read_next()?,
        };
        Ok(next.map(|(lines, members)| {
            let row = members.and_then(ImportRow::parse).map_err(|mut error| {
                // It may repeat a name of the row.
                error.truncate(error.floor_char_boundary(MAX_ERROR));
                error
            });
            (lines, row)
        }))
    }
}

/// Writes clients so that they can be imported.
pub enum ClientWriter<W: Write> {
    /// JSON lines.
    Json(W),
    /// CSV.
    Csv(Box<CsvWriter<W>>),
}

impl<W: Write> ClientWriter<W> {
    /// Writes the header of CSV.
    pub fn new(output: W, format: TextFormat) -> io::Result<Self> {
        Ok(match format {
            TextFormat::JsonLines => Self::Json(output),
            TextFormat::Csv => Self::Csv(Box::new(CsvWriter::new(output)?)),
        })
    }

    /// Writes a client, with the hashes of its secrets if wanted.
    pub fn write(&mut self, client: &Client, with_hashes: bool) -> io::Result<()> {
        let members = members(client, with_hashes);
        match self {
            Self::Json(output) => writeln!(output, "{}", Value::Object(members)),
            Self::Csv(writer) => writer.write(&members),
        }
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Json(output) => output.flush(),
            Self::Csv(writer) => writer.flush(),
        }
    }
}

/// The members that a row has.
fn members(client: &Client, with_hashes: bool) -> Map<String, Value> {
    let Ok(Value::Object(mut members)) = serde_json::to_value(ClientView::new(client, None)) else {
        return Map::new();
    };
    members.retain(|_, value| !value.is_null());
    if with_hashes {
        secrets::put(&client.secrets, &mut members);
    }
    members
}

#[cfg(test)]
mod tests;
