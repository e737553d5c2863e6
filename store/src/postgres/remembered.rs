//! Values that are remembered until they expire.

use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::ORDINARY;
use crate::error::Result;

impl PostgresStore {
    pub(crate) async fn remember(
        &self,
        key: &[u8; 32],
        value: &[u8],
        expires_at: i64,
        now: i64,
    ) -> Result<Option<Vec<u8>>> {
        let key = key.as_slice();
        with_connection!(self, ORDINARY, |connection| {
            let insert = "INSERT INTO remembered AS r (key, value, expires_at) VALUES ($1, $2, $3)
                ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE r.expires_at <= $4";
            let params: [&dyn Param; 4] = [&key, &value, &Seconds(expires_at), &Seconds(now)];
            if connection.execute(insert, &params).await? == 1 {
                return Ok(None);
            }
            let found = connection
                .query("SELECT value FROM remembered WHERE key = $1", &[&key])
                .await?;
            // Deleted in between: treated as just expired. The caller may ask again.
            let first = found.first().map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()?;
            Ok(Some(first.unwrap_or_default()))
        })
    }

    pub(crate) async fn recall(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        let key = key.as_slice();
        with_connection!(self, ORDINARY, |connection| {
            let sql = "SELECT value FROM remembered WHERE key = $1 AND expires_at > $2";
            let found = connection.query(sql, &[&key, &Seconds(now)]).await?;
            Ok(found.first().map(|row| row.try_get(0)).transpose()?)
        })
    }

    pub(crate) async fn replace_remembered(&self, key: &[u8; 32], value: &[u8]) -> Result<bool> {
        let key = key.as_slice();
        with_connection!(self, ORDINARY, |connection| {
            let sql = "UPDATE remembered SET value = $2 WHERE key = $1";
            Ok(connection.execute(sql, &[&key, &value]).await? == 1)
        })
    }

    pub(crate) async fn take_remembered(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        let key = key.as_slice();
        with_connection!(self, ORDINARY, |connection| {
            let sql = "DELETE FROM remembered WHERE key = $1 AND expires_at > $2 RETURNING value";
            let found = connection.query(sql, &[&key, &Seconds(now)]).await?;
            Ok(found.first().map(|row| row.try_get(0)).transpose()?)
        })
    }
}
