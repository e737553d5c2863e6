//! The store's clock, and the time of token ids.

use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::timeouts::ORDINARY;
use crate::error::Result;
use crate::model::{Slew, StoreTime};

impl PostgresStore {
    pub(crate) async fn time(&self) -> Result<StoreTime> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                    reserved_ms, slew_from_ms, slew_ahead_ms FROM id_clock";
            let row = connection.query_one(sql, &[]).await?;
            let ms = |index| Ok::<_, tokio_postgres::Error>(row.try_get::<_, i64>(index)? as u64);
            Ok(StoreTime {
                now_ms: ms(0)?,
                reserved_ms: ms(1)?,
                slew: Slew {
                    from_ms: ms(2)?,
                    ahead_ms: ms(3)?,
                },
            })
        })
    }

    pub(crate) async fn reserve_ids(&self, reserved_ms: u64, known: Slew, slew: Slew) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "UPDATE id_clock SET reserved_ms = greatest(reserved_ms, $1::bigint),
                slew_from_ms = CASE WHEN slew_from_ms = $2::bigint AND slew_ahead_ms = $3::bigint THEN $4::bigint ELSE slew_from_ms END,
                slew_ahead_ms = CASE WHEN slew_from_ms = $2::bigint AND slew_ahead_ms = $3::bigint THEN $5::bigint ELSE slew_ahead_ms END";
            let params: [&dyn Param; 5] = [
                &(reserved_ms as i64),
                &(known.from_ms as i64),
                &(known.ahead_ms as i64),
                &(slew.from_ms as i64),
                &(slew.ahead_ms as i64),
            ];
            connection.execute(sql, &params).await?;
            Ok(())
        })
    }
}
