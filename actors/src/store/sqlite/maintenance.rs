//! Clearing what has expired, in small steps: batches of tokens commit in between.

use rusqlite::params;

use super::{HURRIED, Maintenance, Result, SqliteStore, row};

/// Rows a step deletes: the writer is held for well under 50 ms.
const CHUNK: usize = 2000;

impl SqliteStore {
    pub(in crate::store) async fn maintain(&self, now: i64, _horizon: i64) -> Result<Maintenance> {
        let tokens = "DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE expires_at < ?1 LIMIT ?2)";
        let log = "DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE expires_at < ?1 LIMIT ?2)";
        Ok(Maintenance {
            tokens_deleted: self.purge(tokens, now - row::LOG_GRACE).await?,
            revocations_deleted: self.purge(log, now - row::LOG_GRACE).await?,
            ..Maintenance::default()
        })
    }

    /// Runs a statement with a moment and a number of rows until there are fewer.
    pub(super) async fn purge(&self, delete: &'static str, before: i64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let step = self
                .write(HURRIED, move |t| {
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
