//! The ledger: writes batches, reads tokens, lists and counts.

use std::path::Path;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rusqlite::{Connection, OptionalExtension, Row, Statement, TransactionBehavior, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::failure::Failure;
use super::threads::{Batch, SqliteStore, job_failed, send, thread_ended};
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::{Result, StoreError};
use crate::model::token::uuid_of_ms;
use crate::model::{ExpiringTokens, LedgerEntry, MAX_EXPIRING_ROWS, Page, StoredToken, TokenRecord};
use crate::row;

const BY_ID: &str =
    "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens WHERE jti = ?1";

impl SqliteStore {
    pub(crate) async fn commit(&self, entries: Vec<LedgerEntry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let (batches, waiting) = &self.shared.batches;
        let (waiting, path) = (waiting.clone(), self.shared.path.clone());
        let lock_wait = TOKEN_LOCK_WAIT.max(self.shared.min_lock_wait);
        batches.send(Batch { entries, reply }).map_err(|_| thread_ended())?;
        send(&self.shared.writer, move |connection| {
            commit_waiting(connection, &waiting, lock_wait, &path);
        })?;
        let outcome = answer.await.map_err(|_| job_failed())?;
        self.shared.writes.observe(&outcome);
        self.shared.errors.observe(&outcome);
        outcome
    }

    pub(crate) async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(BY_ID)?;
            let found = find(&mut select, jti)?;
            Ok(found.filter(|token| expires_at.is_none_or(|e| e == token.record.expires_at)))
        })
        .await
    }

    pub(crate) async fn tokens_by_id(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        let wanted = row::distinct(wanted);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |t| {
            let mut select = t.prepare_cached(BY_ID)?;
            let mut found = Vec::with_capacity(wanted.len());
            for (jti, expires_at) in wanted {
                found.extend(find(&mut select, jti)?.filter(|token| token.record.expires_at == expires_at));
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        let client_id = client_id.to_owned();
        self.read(move |t| {
            let before = cursor.unwrap_or(Uuid::max());
            let mut select = t.prepare_cached(
                "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                 WHERE client_id = ?1 AND expires_at > ?2 AND jti < ?3 ORDER BY jti DESC LIMIT ?4",
            )?;
            let mut rows = select.query(params![client_id, now, before.as_bytes(), limit as i64 + 1])?;
            let mut items = Vec::new();
            while let Some(r) = rows.next()? {
                items.push(read(r)?);
            }
            Ok(Page::cut(items, limit, |token| token.record.jti.to_string()))
        })
        .await
    }

    pub(crate) async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<ExpiringTokens>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT client_id, (expires_at / 60 + 1) * 60, count(*) FROM tokens WHERE expires_at > ?1 AND jti < ?2
                 GROUP BY 1, 2 LIMIT ?3",
            )?;
            let mut rows = select.query(params![now, uuid_of_ms(before_ms).as_bytes(), MAX_EXPIRING_ROWS as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(ExpiringTokens {
                    client_id: r.get(0)?,
                    expires_at: r.get(1)?,
                    count: r.get::<_, i64>(2)? as u64,
                });
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn top_clients(&self, now: i64, limit: usize, group: Option<&str>) -> Result<Vec<(String, u64)>> {
        let group = group.map(str::to_owned);
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT client_id, count(*) FROM tokens WHERE expires_at > ?1
                 AND (?3 IS NULL OR client_id IN (SELECT client_id FROM clients WHERE client_group = ?3))
                 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?2",
            )?;
            let mut rows = select.query(params![now, limit as i64, group])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push((r.get(0)?, r.get::<_, i64>(1)? as u64));
            }
            Ok(found)
        })
        .await
    }
}

/// Records all waiting batches in one transaction; otherwise callers would wait for each other's syncs. Each caller sends such a
/// job; a job that finds no batch has nothing to do, because an earlier job recorded its batch.
fn commit_waiting(connection: &mut Connection, waiting: &Receiver<Batch>, lock_wait: Duration, path: &Path) {
    let batches: Vec<_> = waiting.try_iter().collect();
    let together = record(connection, lock_wait, &batches).map_err(|failure| failure.into_store_error(path));
    // If a row was rejected, each batch is recorded separately, so that only the batch with that row fails.
    let separately = batches.len() > 1 && matches!(together, Err(StoreError::Conflict(_) | StoreError::Corrupt(_)));
    for batch in batches {
        let outcome = if separately {
            record(connection, lock_wait, std::slice::from_ref(&batch))
                .map_err(|failure| failure.into_store_error(path))
        } else {
            together.clone()
        };
        // Fails if the caller has given up.
        drop(batch.reply.send(outcome));
    }
}

/// Records batches in one transaction. Batches whose callers have given up, even while the lock was awaited, are skipped.
fn record(connection: &mut Connection, lock_wait: Duration, batches: &[Batch]) -> std::result::Result<(), Failure> {
    let wanted = || batches.iter().filter(|batch| !batch.reply.is_closed()).peekable();
    if wanted().peek().is_none() {
        return Ok(());
    }
    connection.busy_timeout(lock_wait)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for LedgerEntry::Issue(token) in wanted().flat_map(|batch| &batch.entries) {
        insert.execute(params![
            token.jti.as_bytes(),
            token.expires_at,
            &*token.client_id,
            &*token.scope,
            &*token.audience,
            row::format_code(token.format),
            token.secret_hash.as_ref(),
        ])?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}

fn find(select: &mut Statement<'_>, jti: Uuid) -> std::result::Result<Option<StoredToken>, Failure> {
    let row = select.query_row(params![jti.as_bytes()], |r| Ok(read(r)));
    row.optional()?.transpose()
}

fn read(r: &Row<'_>) -> std::result::Result<StoredToken, Failure> {
    let secret_hash: Option<Vec<u8>> = r.get(7)?;
    Ok(StoredToken {
        record: TokenRecord {
            jti: Uuid::from_bytes(r.get(0)?),
            expires_at: r.get(1)?,
            client_id: r.get::<_, String>(2)?.into(),
            scope: r.get::<_, String>(4)?.into(),
            audience: r.get::<_, String>(5)?.into(),
            format: row::format_from_code(r.get(6)?)?,
            secret_hash: secret_hash.as_deref().map(row::hash).transpose()?,
        },
        user_id: r.get(3)?,
    })
}
