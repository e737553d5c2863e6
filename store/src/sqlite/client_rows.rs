//! SQL generated from the columns of clients, and the conversion of column values.

use std::borrow::Cow;
use std::sync::LazyLock;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, ToSql};
use serde::Deserialize;

use super::failure::Failure;
use crate::columns::{self, Column, ColumnReader, ColumnValue, SqlType};
use crate::error::StoreError;
use crate::model::Client;

pub(super) static BY_ID: LazyLock<String> = LazyLock::new(|| select("WHERE client_id = ?1"));
pub(super) static PAGE: LazyLock<String> =
    LazyLock::new(|| select("WHERE client_id > ?1 AND client_id >= ?2 AND client_id < ?3 ORDER BY client_id LIMIT ?4"));
pub(super) static MANAGED_BY: LazyLock<String> =
    LazyLock::new(|| select("WHERE managed_by = ?1 AND client_id > ?2 ORDER BY client_id LIMIT ?3"));

/// As [`PAGE`], of clients with a secret of which only another product's hash is known, and that is not expired at `?5`.
pub(super) static PAGE_WITH_FOREIGN_HASHES: LazyLock<String> = LazyLock::new(|| {
    select(
        "WHERE client_id > ?1 AND client_id >= ?2 AND client_id < ?3
            AND EXISTS (SELECT 1 FROM client_secrets f WHERE f.client_id = clients.client_id AND f.foreign_hash IS NOT NULL
                AND (f.expires_at IS NULL OR f.expires_at > ?5))
         ORDER BY client_id LIMIT ?4",
    )
});

/// Clients in ascending order of id with their secrets, newest first: one row per secret, and one for a client without.
pub(super) static AFTER: LazyLock<String> = LazyLock::new(|| {
    let columns = Client::COLUMNS.iter().map(|column| format!("c.{}", column.def.name));
    format!(
        "SELECT {}, s.hash, s.foreign_hash, s.imported_as, s.expires_at FROM (SELECT * FROM clients WHERE client_id > ?1 ORDER BY client_id LIMIT ?2) c
         LEFT JOIN client_secrets s ON s.client_id = c.client_id ORDER BY c.client_id, s.id DESC",
        columns.collect::<Vec<_>>().join(", ")
    )
});

/// Parameters: the values of all columns, `updated_at`.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = columns::names(Client::COLUMNS);
    let values = vec!["?"; Client::COLUMNS.len()].join(", ");
    format!("INSERT INTO clients ({columns}, updated_at) VALUES ({values}, ?) ON CONFLICT DO NOTHING")
});

/// Parameters: the values of the updated columns, `updated_at`, the id and the version.
pub(super) static UPDATE: LazyLock<String> =
    LazyLock::new(|| update(Client::COLUMNS.iter().filter(|column| column.is_updated)));

/// Parameters: the values of [`Client::overwritten_columns`], `updated_at`, the id and the version.
pub(super) static OVERWRITE: LazyLock<String> = LazyLock::new(|| update(Client::overwritten_columns()));

fn update(columns: impl Iterator<Item = &'static Column<Client>>) -> String {
    let assignments: Vec<_> = columns.map(|column| format!("{} = ?", column.def.name)).collect();
    format!(
        "UPDATE clients SET {}, updated_at = ?, version = version + 1 WHERE client_id = ? AND version = ?",
        assignments.join(", ")
    )
}

fn select(rest: &str) -> String {
    format!("SELECT {} FROM clients {rest}", columns::names(Client::COLUMNS))
}

impl ToSql for ColumnValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::TextArray(texts) => texts
                .iter()
                .map(|text| serde_json::Value::from(*text))
                .collect::<serde_json::Value>()
                .to_string()
                .into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Json(document) => document.to_string().into(),
        })
    }
}

/// A string in a JSON array, borrowed from the text unless it contains an escape.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Element<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Element<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl ColumnReader for Row<'_> {
    type Error = Failure;
    type Text<'a>
        = Element<'a>
    where
        Self: 'a;

    fn text(&self, index: usize) -> Result<Option<&str>, Failure> {
        Ok(self.get_ref(index)?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    fn text_array(&self, index: usize) -> Result<Option<Vec<Element<'_>>>, Failure> {
        let invalid = |error| StoreError::Corrupt(format!("a client's list is not a JSON array: {error}"));
        let elements = self.text(index)?.map(serde_json::from_str);
        Ok(elements.transpose().map_err(invalid)?)
    }

    fn integer(&self, index: usize, _: SqlType) -> Result<Option<i64>, Failure> {
        Ok(self.get(index)?)
    }

    fn boolean(&self, index: usize) -> Result<Option<bool>, Failure> {
        Ok(self.get(index)?)
    }

    fn json(&self, index: usize) -> Result<Option<&str>, Failure> {
        self.text(index)
    }
}
