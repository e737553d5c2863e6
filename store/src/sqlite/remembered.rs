//! Values that are remembered until they expire.

use rusqlite::{OptionalExtension, params};

use super::threads::SqliteStore;
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::Result;

impl SqliteStore {
    pub(crate) async fn remember(
        &self,
        key: &[u8; 32],
        value: &[u8],
        expires_at: i64,
        now: i64,
    ) -> Result<Option<Vec<u8>>> {
        let (key, value) = (*key, value.to_vec());
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let insert = "INSERT INTO remembered (key, value, expires_at) VALUES (?1, ?2, ?3)
                ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE expires_at <= ?4";
            if t.prepare_cached(insert)?.execute(params![key, value, expires_at, now])? == 1 {
                return Ok(None);
            }
            let mut select = t.prepare_cached("SELECT value FROM remembered WHERE key = ?1")?;
            Ok(Some(select.query_row([key], |row| row.get(0))?))
        })
        .await
    }

    pub(crate) async fn recall(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        let key = *key;
        self.read(move |t| {
            let mut select = t.prepare_cached("SELECT value FROM remembered WHERE key = ?1 AND expires_at > ?2")?;
            Ok(select.query_row(params![key, now], |row| row.get(0)).optional()?)
        })
        .await
    }

    pub(crate) async fn replace_remembered(&self, key: &[u8; 32], value: &[u8]) -> Result<bool> {
        let (key, value) = (*key, value.to_vec());
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut update = t.prepare_cached("UPDATE remembered SET value = ?2 WHERE key = ?1")?;
            Ok(update.execute(params![key, value])? == 1)
        })
        .await
    }

    pub(crate) async fn take_remembered(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        let key = *key;
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut take =
                t.prepare_cached("DELETE FROM remembered WHERE key = ?1 AND expires_at > ?2 RETURNING value")?;
            let mut rows = take.query(params![key, now])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
        .await
    }
}
