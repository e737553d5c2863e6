//! Clients and their secrets.

use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::Row;

use super::client_rows::{self as rows, documents, read, secret_documents};
use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::{FULL_READ, LONG, LONG_STATEMENT, ORDINARY};
use crate::error::{Result, StoreError};
use crate::model::client::LoadedRow;
use crate::model::{AuditEntry, Client, Page, Revocation, SecretHash};
use crate::row::{self, changed_meanwhile};

/// Inserts clients in the open transaction, all or none: `None` if an id is taken. Returns the cut-offs of those with a
/// predecessor.
async fn insert(
    connection: &mut Connection,
    clients: &[(&Client, &AuditEntry)],
    at: Seconds,
    now_ms: u64,
) -> std::result::Result<Option<Vec<Revocation>>, Failure> {
    let new = clients.iter().copied();
    let (document, secrets) = (
        documents(new),
        secret_documents(clients.iter().map(|(client, _)| *client)),
    );
    let row = connection.query_one(&rows::INSERT, &[&document, &secrets, &at]).await?;
    if row.try_get::<_, i64>(0)? as usize != clients.len() {
        return Ok(None);
    }
    let ids: Vec<&str> = clients.iter().map(|(client, _)| &*client.client_id).collect();
    let params: [&dyn Param; 3] = [&ids, &(now_ms as i64), &Seconds(row::cutoff_expiry(now_ms))];
    let cutoffs = connection.query(rows::CONTINUE_VERSIONS, &params).await?;
    let cutoff = |r: &Row| Ok(Revocation::of_client(r.try_get::<_, String>(0)?, now_ms, r.try_get(1)?));
    cutoffs
        .iter()
        .map(cutoff)
        .collect::<std::result::Result<_, Failure>>()
        .map(Some)
}

/// Updates clients in one statement; returns the number of clients that still had the given version.
async fn update(
    connection: &mut Connection,
    sql: &'static str,
    clients: &String,
    at: Seconds,
) -> std::result::Result<i64, Failure> {
    let row = connection.query_one(sql, &[clients, &at]).await?;
    Ok(row.try_get(0)?)
}

async fn exists(connection: &mut Connection, client_id: &str) -> std::result::Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT 1 FROM clients WHERE client_id = $1)";
    Ok(connection.query_one(sql, &[&client_id]).await?.try_get(0)?)
}

impl PostgresStore {
    pub(crate) async fn create_client(
        &self,
        client: &Client,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Option<Revocation>> {
        with_connection!(self, ORDINARY, |connection| {
            connection.begin("").await?;
            let at = Seconds(client.created_at);
            let Some(cutoffs) = insert(connection, &[(client, audit)], at, now_ms).await? else {
                return Err(StoreError::Conflict(format!("the client {} exists already", client.client_id)).into());
            };
            connection.commit().await?;
            Ok(cutoffs.into_iter().next())
        })
    }

    pub(crate) async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        with_connection!(self, ORDINARY, |connection| {
            let rows = connection.query(&rows::BY_ID, &[&client_id]).await?;
            rows.first().map(read).transpose()
        })
    }

    pub(crate) async fn clients_by_id(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        with_connection!(self, ORDINARY, |connection| {
            // A plan that was cached for a small table stays in use while the table grows: it must use the index.
            connection.begin("SET LOCAL enable_seqscan = off").await?;
            let rows = connection.query(&rows::BY_IDS, &[&client_ids]).await?;
            connection.commit().await?;
            rows.iter().map(read).collect()
        })
    }

    pub(crate) async fn list_clients(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page<Client>> {
        let end = row::prefix_end(prefix);
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let params: [&dyn Param; 4] = [&cursor.unwrap_or_default(), &prefix, &end, &(limit as i64 + 1)];
            let rows = connection.query(&rows::PAGE, &params).await?;
            connection.commit().await?;
            let items = rows.iter().map(read).collect::<std::result::Result<_, Failure>>()?;
            Ok(Page::cut(items, limit, |client: &Client| client.client_id.to_string()))
        })
    }

    pub(crate) async fn list_clients_with_foreign_hashes(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Page<Client>> {
        let end = row::prefix_end(prefix);
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let params: [&dyn Param; 5] = [
                &cursor.unwrap_or_default(),
                &prefix,
                &end,
                &(limit as i64 + 1),
                &Seconds(now),
            ];
            let rows = connection.query(&rows::PAGE_WITH_FOREIGN_HASHES, &params).await?;
            connection.commit().await?;
            let items = rows.iter().map(read).collect::<std::result::Result<_, Failure>>()?;
            Ok(Page::cut(items, limit, |client: &Client| client.client_id.to_string()))
        })
    }

    pub(crate) async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let document = documents([(client, audit)]);
        with_connection!(self, ORDINARY, |connection| {
            if update(connection, &rows::UPDATE, &document, Seconds(now)).await? == 1 {
                return Ok(true);
            }
            if exists(connection, &client.client_id).await? {
                return Err(changed_meanwhile(&client.client_id).into());
            }
            Ok(false)
        })
    }

    pub(crate) async fn delete_client(
        &self,
        client_id: &str,
        version: Option<i64>,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Option<Revocation>> {
        let sql = "WITH deleted AS (
                DELETE FROM clients WHERE client_id = $1 AND version = coalesce($8, version)
                RETURNING client_id, version + 1 AS version),
            cutoff AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, client_version, expires_at)
                SELECT 'client', client_id, $2, version, $3 FROM deleted),
            audited AS (
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                SELECT $4, $5, $6, 'client', client_id, $7 FROM deleted)
            SELECT version FROM deleted";
        with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 8] = [
                &client_id,
                &(now_ms as i64),
                &Seconds(row::cutoff_expiry(now_ms)),
                &Seconds((now_ms / 1000) as i64),
                &audit.actor,
                &audit.action,
                &audit.detail,
                &version,
            ];
            let deleted = connection.query(sql, &params).await?;
            let Some(deleted) = deleted.first() else {
                return if version.is_some() && exists(connection, client_id).await? {
                    Err(changed_meanwhile(client_id).into())
                } else {
                    Ok(None)
                };
            };
            Ok(Some(Revocation::of_client(client_id, now_ms, deleted.try_get(0)?)))
        })
    }

    pub(crate) async fn rotate_secret(
        &self,
        client_id: &str,
        version: Option<i64>,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let lock = "UPDATE clients SET version = version + 1, updated_at = $2
            WHERE client_id = $1 AND version = coalesce($3, version)";
        let delete = "DELETE FROM client_secrets WHERE client_id = $1 AND expires_at <= $2";
        // LEAST ignores a null.
        let expire = "UPDATE client_secrets SET expires_at = LEAST(expires_at, $2) WHERE client_id = $1";
        let add = "WITH added AS (INSERT INTO client_secrets (client_id, hash) VALUES ($1, $2))
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            VALUES ($3, $4, $5, 'client', $1, $6)";
        with_connection!(self, ORDINARY, |connection| {
            // Separate statements, so that each sees what another rotation committed before it released the row lock.
            connection.begin("").await?;
            if connection.execute(lock, &[&client_id, &Seconds(now), &version]).await? == 0 {
                let is_changed = version.is_some() && exists(connection, client_id).await?;
                connection.roll_back().await?;
                return if is_changed {
                    Err(changed_meanwhile(client_id).into())
                } else {
                    Ok(false)
                };
            }
            connection.execute(delete, &[&client_id, &Seconds(now)]).await?;
            connection
                .execute(expire, &[&client_id, &Seconds(old_expire_at)])
                .await?;
            let params: [&dyn Param; 6] = [
                &client_id,
                &&new[..],
                &Seconds(now),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            connection.execute(add, &params).await?;
            connection.commit().await?;
            Ok(true)
        })
    }

    pub(crate) async fn replace_foreign_hash(
        &self,
        client_id: &str,
        foreign_id: &SecretHash,
        hash: &SecretHash,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        // The right sides are the values before the update.
        let sql = "WITH replaced AS (
                UPDATE client_secrets SET hash = $3, imported_as = hash, foreign_hash = NULL
                WHERE client_id = $1 AND hash = $2 AND foreign_hash IS NOT NULL RETURNING client_id),
            audited AS (
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                SELECT DISTINCT $4::timestamptz, $5, $6, 'client', client_id, $7::jsonb FROM replaced)
            SELECT count(*) FROM replaced";
        with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 7] = [
                &client_id,
                &&foreign_id[..],
                &&hash[..],
                &Seconds(now),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            let replaced: i64 = connection.query_one(sql, &params).await?.try_get(0)?;
            Ok(replaced > 0)
        })
    }

    pub(crate) async fn write_clients(
        &self,
        new: &[(Client, AuditEntry)],
        changed: &[(Client, AuditEntry)],
        overwritten: &[(Client, AuditEntry)],
        now_ms: u64,
    ) -> Result<Vec<Revocation>> {
        let new: Vec<_> = new.iter().map(|(client, audit)| (client, audit)).collect();
        let document =
            |clients: &[(Client, AuditEntry)]| documents(clients.iter().map(|(client, audit)| (client, audit)));
        let (changed_document, overwritten_document) = (document(changed), document(overwritten));
        let overwritten_secrets = secret_documents(overwritten.iter().map(|(client, _)| client));
        let overwritten_ids: Vec<&str> = overwritten.iter().map(|(client, _)| &*client.client_id).collect();
        let at = Seconds((now_ms / 1000) as i64);
        let conflict =
            || StoreError::Conflict("some of the clients were changed by another request: read them again".to_owned());
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let mut cutoffs = Vec::new();
            if !new.is_empty() {
                cutoffs = insert(connection, &new, at, now_ms).await?.ok_or_else(conflict)?;
            }
            for (sql, clients, document) in [
                (&rows::UPDATE, changed, &changed_document),
                (&rows::OVERWRITE, overwritten, &overwritten_document),
            ] {
                if !clients.is_empty() && update(connection, sql, document, at).await? as usize != clients.len() {
                    return Err(conflict().into());
                }
            }
            if !overwritten.is_empty() {
                let delete = "DELETE FROM client_secrets WHERE client_id = ANY ($1)";
                connection.execute(delete, &[&overwritten_ids]).await?;
                connection.execute(&rows::ADD_SECRETS, &[&overwritten_secrets]).await?;
            }
            connection.commit().await?;
            Ok(cutoffs)
        })
    }

    pub(crate) async fn for_each_client(&self, on_row: &mut (dyn FnMut(LoadedRow) + Send)) -> Result<()> {
        with_connection!(self, FULL_READ, |connection| {
            // Two full scans in one snapshot: a join would cost several times as much.
            connection
                .begin(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 60000",
                )
                .await?;
            let mut rows = pin!(connection.stream(&rows::ALL).await?);
            while let Some(row) = rows.try_next().await? {
                on_row(LoadedRow::Client(Client::from_row(&row)?));
            }
            let mut rows = pin!(connection.stream(&rows::ALL_SECRETS).await?);
            while let Some(row) = rows.try_next().await? {
                let (client_id, secret) = rows::read_secret(&row)?;
                on_row(LoadedRow::Secret(client_id, secret));
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(crate) async fn clients_managed_by(&self, owner: &str, after: &str, limit: usize) -> Result<Vec<Client>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let rows = connection
                .query(&rows::MANAGED_BY, &[&owner, &after, &(limit as i64)])
                .await?;
            connection.commit().await?;
            rows.iter().map(read).collect()
        })
    }

    pub(crate) async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        with_connection!(self, LONG, |connection| {
            // The secrets of a page must be looked up through the index: other plans would scan the table for each page.
            let settings = format!("{LONG_STATEMENT}; SET LOCAL enable_hashjoin = off; SET LOCAL enable_seqscan = off");
            connection.begin(&settings).await?;
            let rows = connection.query(&rows::AFTER, &[&after, &(limit as i64)]).await?;
            connection.commit().await?;
            rows.iter().map(read).collect()
        })
    }
}
