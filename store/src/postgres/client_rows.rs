//! SQL generated from the columns of clients, the JSON documents that it takes, and the rows that it returns.

use std::error::Error;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type, accepts};

use super::failure::Failure;
use super::seconds::Seconds;
use crate::columns::{self, Column, ColumnReader, ColumnValue, SqlType};
use crate::error::Result;
use crate::model::{AuditEntry, Client, ClientSecret};
use crate::row;

/// All clients, without their secrets.
pub(super) static ALL: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {} FROM clients", columns::names(Client::COLUMNS)));
pub(super) static BY_ID: LazyLock<String> = LazyLock::new(|| select("WHERE client_id = $1"));
pub(super) static BY_IDS: LazyLock<String> = LazyLock::new(|| select("WHERE client_id = ANY ($1)"));
pub(super) static AFTER: LazyLock<String> =
    LazyLock::new(|| select("WHERE client_id > $1 ORDER BY client_id LIMIT $2"));
pub(super) static MANAGED_BY: LazyLock<String> =
    LazyLock::new(|| select("WHERE managed_by = $1 AND client_id > $2 ORDER BY client_id LIMIT $3"));
pub(super) static PAGE: LazyLock<String> =
    LazyLock::new(|| select("WHERE client_id > $1 AND client_id >= $2 AND client_id < $3 ORDER BY client_id LIMIT $4"));

/// Selects clients with their secrets, newest first, as one row per client and so in one snapshot; see [`read`].
fn select(rest: &str) -> String {
    let columns = columns::names(Client::COLUMNS);
    format!(
        "SELECT {columns},
            ARRAY(SELECT s.hash FROM client_secrets s WHERE s.client_id = c.client_id ORDER BY s.id DESC),
            ARRAY(SELECT s.expires_at FROM client_secrets s WHERE s.client_id = c.client_id ORDER BY s.id DESC)
         FROM clients c {rest}"
    )
}

/// Defines the table expression `chunk`: clients with their audit entries, unpacked from one JSON document ([`documents`]).
fn chunk() -> String {
    let fields = Client::COLUMNS
        .iter()
        .map(|column| format!("{} {}", column.def.name, json_type(column.def.sql_type)));
    let fields: Vec<_> = fields.collect();
    format!(
        "chunk AS (
            SELECT * FROM json_to_recordset($1::text::json)
                AS t ({}, audit_actor text, audit_action text, audit_detail jsonb))",
        fields.join(", ")
    )
}

/// The type of a column in the document.
fn json_type(sql_type: SqlType) -> &'static str {
    match sql_type {
        SqlType::Text => "text",
        SqlType::TextArray => "text[]",
        SqlType::BigInt | SqlType::Timestamp => "bigint",
        SqlType::Boolean => "boolean",
        SqlType::Json => "jsonb",
    }
}

/// A column of `chunk`, converted to the type in the table.
fn chunk_value(column: &Column<Client>) -> String {
    match column.def.sql_type {
        SqlType::Timestamp => format!("to_timestamp(chunk.{})", column.def.name),
        _ => format!("chunk.{}", column.def.name),
    }
}

/// Inserts the clients of `$1` whose ids are free, with their secrets (`$2`) and audit rows at `$3`. Returns the number of
/// inserted clients.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let values: Vec<_> = Client::COLUMNS.iter().map(chunk_value).collect();
    format!(
        "WITH {chunk}, inserted AS (
            INSERT INTO clients ({columns}, updated_at) SELECT {values}, $3 FROM chunk
            ON CONFLICT DO NOTHING RETURNING client_id),
        secrets AS (
            INSERT INTO client_secrets (client_id, hash, expires_at)
            SELECT s.client_id, decode(s.hash, 'hex'), to_timestamp(s.expires_at)
            FROM json_to_recordset($2::text::json) AS s (client_id text, hash text, expires_at bigint, age int)
            JOIN inserted USING (client_id) ORDER BY s.age DESC),
        audited AS (
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $3, audit_actor, audit_action, 'client', client_id, coalesce(audit_detail, 'null')
            FROM inserted JOIN chunk USING (client_id))
        SELECT count(*) FROM inserted",
        chunk = chunk(),
        columns = columns::names(Client::COLUMNS),
        values = values.join(", "),
    )
});

/// Lets the versions of the new clients `$1` (ids) that had a predecessor continue those of the predecessor, and appends a
/// cut-off at `$2` milliseconds, kept until `$3`, for each of them. A statement of its own after [`INSERT`], so that it sees a
/// deletion that the insertion had to wait for. Returns the cut-offs as `(id, version)`.
pub(super) const CONTINUE_VERSIONS: &str = "
    WITH predecessors AS (
        SELECT target_id AS client_id, max(client_version) AS version FROM revocations
        WHERE target_kind = 'client' AND target_id = ANY ($1) GROUP BY target_id),
    continued AS (
        UPDATE clients c SET version = greatest(c.version, p.version)
        FROM predecessors p WHERE c.client_id = p.client_id RETURNING c.client_id, c.version)
    INSERT INTO revocations (target_kind, target_id, cutoff_ms, client_version, expires_at)
    SELECT 'client', client_id, $2, version, $3 FROM continued RETURNING target_id, client_version";

/// Updates the clients of `$1` whose stored version is the given one, with their audit rows at `$2`. Returns their number.
pub(super) static UPDATE: LazyLock<String> =
    LazyLock::new(|| update(Client::COLUMNS.iter().filter(|column| column.is_updated)));

/// As [`UPDATE`], for [`Client::overwritten_columns`].
pub(super) static OVERWRITE: LazyLock<String> = LazyLock::new(|| update(Client::overwritten_columns()));

/// Adds the secrets of `$1`, the oldest of a client first.
pub(super) const ADD_SECRETS: &str = "INSERT INTO client_secrets (client_id, hash, expires_at)
    SELECT s.client_id, decode(s.hash, 'hex'), to_timestamp(s.expires_at)
    FROM json_to_recordset($1::text::json) AS s (client_id text, hash text, expires_at bigint, age int) ORDER BY s.age DESC";

fn update(columns: impl Iterator<Item = &'static Column<Client>>) -> String {
    let assignments: Vec<_> = columns
        .map(|column| format!("{} = {}", column.def.name, chunk_value(column)))
        .collect();
    format!(
        "WITH {chunk}, updated AS (
            UPDATE clients c SET {assignments}, updated_at = $2, version = c.version + 1
            FROM chunk WHERE c.client_id = chunk.client_id AND c.version = chunk.version RETURNING c.client_id),
        audited AS (
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $2, audit_actor, audit_action, 'client', client_id, coalesce(audit_detail, 'null')
            FROM updated JOIN chunk USING (client_id))
        SELECT count(*) FROM updated",
        chunk = chunk(),
        assignments = assignments.join(", "),
    )
}

/// The document that `chunk` unpacks: clients with their audit entries.
pub(super) fn documents<'a>(clients: impl IntoIterator<Item = (&'a Client, &'a AuditEntry)>) -> String {
    let document = |(client, audit): (&Client, &AuditEntry)| {
        let columns = Client::COLUMNS
            .iter()
            .map(|column| (column.def.name.to_owned(), json_value((column.value)(client))));
        let mut document: Map<_, _> = columns.collect();
        document.insert("audit_actor".to_owned(), json!(audit.actor));
        document.insert("audit_action".to_owned(), json!(audit.action));
        document.insert("audit_detail".to_owned(), audit.detail.clone());
        Value::Object(document)
    };
    clients.into_iter().map(document).collect::<Value>().to_string()
}

fn json_value(value: ColumnValue<'_>) -> Value {
    match value {
        ColumnValue::Null => Value::Null,
        ColumnValue::Text(text) => text.into(),
        ColumnValue::TextArray(texts) => texts.into_iter().collect(),
        ColumnValue::Integer(number) => number.into(),
        ColumnValue::Boolean(value) => value.into(),
        ColumnValue::Json(document) => document,
    }
}

/// The document with the secrets of clients for [`INSERT`].
pub(super) fn secret_documents<'a>(clients: impl IntoIterator<Item = &'a Client>) -> String {
    let documents = |client: &'a Client| {
        client.secrets.iter().enumerate().map(|(age, secret)| {
            let hash = secret.hash.iter().fold(String::with_capacity(64), |mut hash, byte| {
                // Writing to a string never fails.
                let _ = write!(hash, "{byte:02x}");
                hash
            });
            json!({"client_id": &*client.client_id, "hash": hash, "expires_at": secret.expires_at, "age": age})
        })
    };
    clients.into_iter().flat_map(documents).collect::<Value>().to_string()
}

/// A row of [`select`].
pub(super) fn read(r: &Row) -> std::result::Result<Client, Failure> {
    let next = Client::COLUMNS.len();
    let hashes: Vec<&[u8]> = r.try_get(next)?;
    let expiries: Vec<Option<Seconds>> = r.try_get(next + 1)?;
    let secrets = hashes
        .into_iter()
        .zip(expiries)
        .map(|(hash, expiry)| secret(hash, expiry));
    Ok(Client {
        secrets: secrets.collect::<Result<_>>()?,
        ..Client::from_row(r)?
    })
}

pub(super) fn secret(hash: &[u8], expires_at: Option<Seconds>) -> Result<ClientSecret> {
    Ok(ClientSecret {
        hash: row::hash(hash)?,
        expires_at: expires_at.map(|at| at.0),
    })
}

impl ColumnReader for Row {
    type Error = Failure;
    type Text<'a> = &'a str;

    #[inline]
    fn text(&self, index: usize) -> std::result::Result<Option<&str>, Failure> {
        Ok(self.try_get(index)?)
    }

    #[inline]
    fn text_array(&self, index: usize) -> std::result::Result<Option<Vec<&str>>, Failure> {
        Ok(self.try_get(index)?)
    }

    #[inline]
    fn integer(&self, index: usize, sql_type: SqlType) -> std::result::Result<Option<i64>, Failure> {
        if sql_type == SqlType::Timestamp {
            let at: Option<Seconds> = self.try_get(index)?;
            return Ok(at.map(|at| at.0));
        }
        Ok(self.try_get(index)?)
    }

    #[inline]
    fn boolean(&self, index: usize) -> std::result::Result<Option<bool>, Failure> {
        Ok(self.try_get(index)?)
    }

    #[inline]
    fn json(&self, index: usize) -> std::result::Result<Option<&str>, Failure> {
        let document: Option<JsonText<'_>> = self.try_get(index)?;
        Ok(document.map(|document| document.0))
    }
}

/// The text of a `jsonb`.
struct JsonText<'a>(&'a str);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        // The binary format is a version number (1), then the text.
        match raw.split_first() {
            Some((1, text)) => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("unknown version of the binary format of jsonb".into()),
        }
    }

    accepts!(JSONB);
}
