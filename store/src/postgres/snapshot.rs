//! Log positions as transaction ids.
//!
//! A position is a transaction id such that every transaction below it had ended in the snapshot in which the log was read.
//! So a row that commits late is never before the position; rows at or after the position may be returned again.

use tokio_postgres::Row;

use super::failure::Failure;
use crate::error::StoreError;
use crate::model::log::LogPosition;

/// Table expression with the position of a statement's snapshot: `floor`, the oldest transaction that is still running, and
/// `run`, the start time of the server that counted it. `ceiling` is the first transaction that had not begun: a restored
/// dump may hold rows whose transaction ids this server has not reached yet.
macro_rules! snapshot {
    () => {
        "(SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor,
                 (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS run,
                 pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ceiling) s"
    };
}
pub(super) use snapshot;

/// The position after these rows: `s.floor, s.run` are the first columns of each.
pub(super) fn position(rows: &[Row]) -> Result<LogPosition, Failure> {
    let first = rows
        .first()
        .ok_or_else(|| StoreError::Corrupt("a read of a log returned no position".into()))?;
    Ok(LogPosition {
        at: first.try_get(0)?,
        run: first.try_get(1)?,
    })
}
