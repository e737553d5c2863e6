//! Log positions as transaction ids.
//!
//! A position is a transaction id such that every transaction below it had ended in the snapshot in which the log was read.
//! So a row that commits late is never before the position; rows at or after the position may be returned again.
//!
//! Transaction ids count within one cluster. The upper bits of a position, from the 48th on, are the epoch: it
//! numbers the clusters that have held this database. Rows of an earlier cluster precede those of a later one.

use tokio_postgres::Row;

use super::failure::Failure;
use crate::error::StoreError;
use crate::model::log::LogPosition;

/// Table expression with the position of a statement's snapshot: `floor`, the oldest transaction that is still running, and
/// `run`, the start time of the server that counted it. `ceiling` is the first transaction that had not begun: no row is beyond it, unless
/// transaction ids were set back. If the last epoch is another cluster's, none of this one has begun: the first transaction that appends
/// to a log begins it.
macro_rules! snapshot {
    () => {
        "(SELECT e.base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor,
                 (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS run,
                 e.base + pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ceiling
          FROM (SELECT coalesce(max(l.epoch) + (CASE WHEN max(l.epoch) = max(l.epoch) FILTER (WHERE
                           l.system_identifier = (SELECT c.system_identifier FROM pg_control_system() c))
                       THEN 0 ELSE 1 END), 0) << 48 AS base FROM log_epochs l) e) s"
    };
}
pub(super) use snapshot;

/// The position after rows of which this is the first: `s.floor, s.run` are the first columns of each.
pub(super) fn position(first: Option<&Row>) -> Result<LogPosition, Failure> {
    let first = first.ok_or_else(|| StoreError::Corrupt("a read of a log returned no position".into()))?;
    Ok(LogPosition {
        at: first.try_get(0)?,
        run: first.try_get(1)?,
        corrections: 0,
    })
}
