//! The probe of writes: whether the file accepts what requests write.

use rusqlite::params;

use super::threads::SqliteStore;
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::Result;

/// The id of the row that a probe writes. No token has it: its time is the Unix epoch.
const NO_TOKEN: [u8; 16] = [0; 16];

/// Bytes that a thorough probe writes: 16 pages.
const THOROUGH: i64 = 65_536;

impl SqliteStore {
    /// Writes a row to the ledger and deletes it, in a transaction that is committed: its pages reach the disk.
    pub(crate) async fn probe_writes(&self, is_thorough: bool) -> Result<()> {
        let bytes = if is_thorough { THOROUGH } else { 0 };
        self.write(TOKEN_LOCK_WAIT, move |t| {
            t.prepare_cached(
                "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
                 VALUES (?1, 0, '', '', '', 0, zeroblob(?2))",
            )?
            .execute(params![NO_TOKEN, bytes])?;
            t.prepare_cached("DELETE FROM tokens WHERE jti = ?1")?
                .execute(params![NO_TOKEN])?;
            Ok(())
        })
        .await
    }
}
