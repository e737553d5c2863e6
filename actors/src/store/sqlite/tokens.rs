//! The ledger: batches in, single rows and lists out.

use std::path::Path;

use crossbeam_channel::Receiver;
use rusqlite::{Connection, OptionalExtension, Row, Statement, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    Failure, HURRIED, Page, Result, SqliteStore, StoreError, StoredToken, TokenRecord, Uuid, failed, gone, row, send,
};

const BY_ID: &str =
    "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens WHERE jti = ?1";

impl SqliteStore {
    pub(in crate::store) async fn commit(&self, batch: Vec<TokenRecord>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let (batches, waiting) = &self.shared.batches;
        let (waiting, path) = (waiting.clone(), self.shared.path.clone());
        batches.send(Batch { batch, reply }).map_err(|_| gone())?;
        send(&self.shared.writer, move |connection| {
            commit_waiting(connection, &waiting, &path);
        })?;
        answer.await.map_err(|_| failed())?
    }

    pub(in crate::store) async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(BY_ID)?;
            let found = find(&mut select, jti)?;
            Ok(found.filter(|token| expires_at.is_none_or(|e| e == token.record.expires_at)))
        })
        .await
    }

    pub(in crate::store) async fn tokens_of(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
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

    pub(in crate::store) async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        let client_id = client_id.to_owned();
        self.read(move |t| {
            let below = cursor.unwrap_or(Uuid::max());
            let mut select = t.prepare_cached(
                "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                 WHERE client_id = ?1 AND expires_at > ?2 AND jti < ?3 ORDER BY jti DESC LIMIT ?4",
            )?;
            let mut rows = select.query(params![client_id, now, below.as_bytes(), limit as i64 + 1])?;
            let mut items = Vec::new();
            while let Some(r) = rows.next()? {
                items.push(read(r)?);
            }
            Ok(Page::cut(items, limit, |token| token.record.jti.to_string()))
        })
        .await
    }
}

/// What one caller wants recorded.
pub(super) struct Batch {
    batch: Vec<TokenRecord>,
    reply: oneshot::Sender<Result<()>>,
}

/// Records all that waits, from however many callers, in one transaction: the file has one writer, and they would wait for
/// each other's syncs. Each batch has sent a job like this; those that find nothing left were served by an earlier one.
fn commit_waiting(connection: &mut Connection, waiting: &Receiver<Batch>, path: &Path) {
    let batches: Vec<_> = waiting.try_iter().collect();
    let together = record(connection, &batches).map_err(|failure| failure.into_store_error(path));
    // The store refused something: one batch may be at fault, and the others must not pay for it.
    let apart = batches.len() > 1 && matches!(together, Err(StoreError::Conflict(_) | StoreError::Corrupt(_)));
    for batch in batches {
        let outcome = if apart {
            record(connection, std::slice::from_ref(&batch)).map_err(|failure| failure.into_store_error(path))
        } else {
            together.clone()
        };
        // The caller may have left: its answer is of no use to anybody then.
        drop(batch.reply.send(outcome));
    }
}

/// One transaction. What nobody waits for any more, also after a wait for another process's lock, is left out.
fn record(connection: &mut Connection, batches: &[Batch]) -> std::result::Result<(), Failure> {
    let awaited = || batches.iter().filter(|batch| !batch.reply.is_closed()).peekable();
    if awaited().peek().is_none() {
        return Ok(());
    }
    connection.busy_timeout(HURRIED)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for token in awaited().flat_map(|batch| &batch.batch) {
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
