//! The store's clock, and the time of token ids.

use rusqlite::params;

use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::Result;
use crate::model::{Slew, StoreTime};

impl SqliteStore {
    pub(crate) async fn time(&self) -> Result<StoreTime> {
        self.read(|t| {
            let mut select =
                t.prepare_cached("SELECT unixepoch('subsec'), reserved_ms, slew_from_ms, slew_ahead_ms FROM id_clock")?;
            Ok(select.query_row([], |r| {
                let ms = |index| Ok::<_, rusqlite::Error>(r.get::<_, i64>(index)? as u64);
                Ok(StoreTime {
                    now_ms: (r.get::<_, f64>(0)? * 1000.0) as u64,
                    reserved_ms: ms(1)?,
                    slew: Slew {
                        from_ms: ms(2)?,
                        ahead_ms: ms(3)?,
                    },
                })
            })?)
        })
        .await
    }

    pub(crate) async fn reserve_ids(&self, reserved_ms: u64, known: Slew, slew: Slew) -> Result<()> {
        self.write(ADMIN_LOCK_WAIT, move |t| {
            t.prepare_cached("UPDATE id_clock SET reserved_ms = max(reserved_ms, ?1)")?
                .execute([reserved_ms as i64])?;
            t.prepare_cached(
                "UPDATE id_clock SET slew_from_ms = ?3, slew_ahead_ms = ?4 WHERE slew_from_ms = ?1 AND slew_ahead_ms = ?2",
            )?
            .execute(params![
                known.from_ms as i64,
                known.ahead_ms as i64,
                slew.from_ms as i64,
                slew.ahead_ms as i64
            ])?;
            Ok(())
        })
        .await
    }
}
