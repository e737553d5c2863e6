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
use crate::model::{AuditEntry, Client, ClientSecret, SecretHash};
use crate::row::{self, SecretRow};

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

/// As [`PAGE`], of clients with a secret of which only another product's hash is known, and that is not expired at `$5`.
pub(super) static PAGE_WITH_FOREIGN_HASHES: LazyLock<String> = LazyLock::new(|| {
    select(
        "WHERE client_id > $1 AND client_id >= $2 AND client_id < $3
            AND EXISTS (SELECT 1 FROM client_secrets f WHERE f.client_id = c.client_id AND f.foreign_hash IS NOT NULL
                AND (f.expires_at IS NULL OR f.expires_at > $5))
         ORDER BY client_id LIMIT $4",
    )
});

/// The columns of a secret, in the order of [`SecretRow`].
const SECRET_COLUMNS: [&str; 4] = ["hash", "foreign_hash", "imported_as", "expires_at"];

/// All secrets, the newest first, with the ids of their clients; see [`read_secret`].
pub(super) static ALL_SECRETS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, client_id FROM client_secrets ORDER BY id DESC",
        SECRET_COLUMNS.join(", ")
    )
});

/// Selects clients with their secrets, newest first, as one row per client and so in one snapshot; see [`read`].
fn select(rest: &str) -> String {
    let columns = columns::names(Client::COLUMNS);
    let arrays = SECRET_COLUMNS.map(|column| format!("array_agg(s.{column} ORDER BY s.id DESC) AS {column}"));
    format!(
        "SELECT {columns}, secrets.* FROM clients c
         CROSS JOIN LATERAL (SELECT {} FROM client_secrets s WHERE s.client_id = c.client_id) secrets {rest}",
        arrays.join(", ")
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
            {add_secrets} JOIN inserted USING (client_id) ORDER BY s.age DESC),
        audited AS (
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $3, audit_actor, audit_action, 'client', client_id, coalesce(audit_detail, 'null')
            FROM inserted JOIN chunk USING (client_id))
        SELECT count(*) FROM inserted",
        chunk = chunk(),
        add_secrets = add_secrets("$2"),
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
pub(super) static ADD_SECRETS: LazyLock<String> =
    LazyLock::new(|| format!("{} ORDER BY s.age DESC", add_secrets("$1")));

/// Inserts the secrets of a document ([`secret_documents`]).
fn add_secrets(document: &str) -> String {
    format!(
        "INSERT INTO client_secrets (client_id, hash, foreign_hash, imported_as, expires_at)
            SELECT s.client_id, decode(s.hash, 'hex'), s.foreign_hash, decode(s.imported_as, 'hex'), to_timestamp(s.expires_at)
            FROM json_to_recordset({document}::text::json)
                AS s (client_id text, hash text, foreign_hash text, imported_as text, expires_at bigint, age int)"
    )
}

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
            let (hash, foreign_hash, imported_as) = row::secret_columns(&secret.verifier);
            let mut document = json!({
                "client_id": &*client.client_id, "hash": hexadecimal(hash), "expires_at": secret.expires_at, "age": age,
            });
            // An absent member is null, too.
            if let Some(text) = foreign_hash {
                document["foreign_hash"] = text.into();
            }
            if let Some(id) = imported_as {
                document["imported_as"] = hexadecimal(id).into();
            }
            document
        })
    };
    clients.into_iter().flat_map(documents).collect::<Value>().to_string()
}

fn hexadecimal(hash: &SecretHash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A row of [`select`].
pub(super) fn read(r: &Row) -> std::result::Result<Client, Failure> {
    let next = Client::COLUMNS.len();
    // Of a client without secrets they are null.
    let hashes: Option<Vec<&[u8]>> = r.try_get(next)?;
    let foreign: Option<Vec<Option<&str>>> = r.try_get(next + 1)?;
    let imported: Option<Vec<Option<&[u8]>>> = r.try_get(next + 2)?;
    let expiries: Option<Vec<Option<Seconds>>> = r.try_get(next + 3)?;
    let (hashes, foreign) = (hashes.unwrap_or_default(), foreign.unwrap_or_default());
    let (imported, expiries) = (imported.unwrap_or_default(), expiries.unwrap_or_default());
    let rows = hashes.into_iter().zip(foreign).zip(imported).zip(expiries);
    let secrets = rows.map(|(((hash, foreign_hash), imported_as), expiry)| {
        let row = SecretRow {
            hash,
            foreign_hash,
            imported_as,
            expires_at: expiry.map(|at| at.0),
        };
        row.read()
    });
    Ok(Client {
        secrets: secrets.collect::<Result<_>>()?,
        ..Client::from_row(r)?
    })
}

/// A row of [`ALL_SECRETS`].
pub(super) fn read_secret(r: &Row) -> std::result::Result<(String, ClientSecret), Failure> {
    let expiry: Option<Seconds> = r.try_get(3)?;
    let row = SecretRow {
        hash: r.try_get(0)?,
        foreign_hash: r.try_get(1)?,
        imported_as: r.try_get(2)?,
        expires_at: expiry.map(|at| at.0),
    };
    Ok((r.try_get(4)?, row.read()?))
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
