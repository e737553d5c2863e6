//! Deletes expired rows in small steps, between which batches of tokens can commit.

use rusqlite::params;

use super::threads::SqliteStore;
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::Result;
use crate::reports::{LedgerFigures, Maintenance};
use crate::row;

/// Rows deleted per step, which occupies the writer for well under 50 ms.
const CHUNK: usize = 2000;

impl SqliteStore {
    pub(crate) async fn maintain(&self, now: i64, _horizon: i64) -> Result<Maintenance> {
        let tokens = "DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE expires_at < ?1 LIMIT ?2)";
        let log = "DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE expires_at < ?1 LIMIT ?2)";
        let remembered =
            "DELETE FROM remembered WHERE key IN (SELECT key FROM remembered WHERE expires_at < ?1 LIMIT ?2)";
        Ok(Maintenance {
            remembered_deleted: self.purge(remembered, now).await?,
            tokens_deleted: self.purge(tokens, now - row::RETENTION_GRACE).await?,
            revocations_deleted: self.purge(log, now - row::RETENTION_GRACE).await?,
            ..Maintenance::default()
        })
    }

    pub(crate) async fn ledger_figures(&self, now: i64) -> Result<LedgerFigures> {
        let before = now - row::RETENTION_GRACE;
        let sql = "SELECT count(*) FROM (SELECT 1 FROM tokens WHERE expires_at < ?1 LIMIT ?2)";
        let waiting: i64 = self
            .read(move |t| {
                Ok(t.prepare_cached(sql)?
                    .query_row(params![before, LedgerFigures::COUNTED as i64], |r| r.get(0))?)
            })
            .await?;
        Ok(LedgerFigures {
            purge_rows_waiting: waiting as u64,
            ..LedgerFigures::default()
        })
    }

    /// Repeats a `DELETE` with a time (`?1`) and a maximum number of rows (`?2`) until it deletes fewer; returns the number of
    /// deleted rows.
    pub(super) async fn purge(&self, delete: &'static str, before: i64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let step = self
                .write(TOKEN_LOCK_WAIT, move |t| {
                    Ok(t.prepare_cached(delete)?.execute(params![before, CHUNK as i64])?)
                })
                .await?;
            deleted += step as u64;
            if step < CHUNK {
                return Ok(deleted);
            }
        }
    }
}
