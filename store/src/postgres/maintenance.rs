//! Creates partitions ahead of use, drops expired ones, and deletes stray and expired rows in chunks.
//!
//! Each step runs under a lock, on one node at a time. A step waits at most 100 ms for a table, because requests queue behind
//! it; a failed step is repeated in the next round.

use std::ops::RangeInclusive;
use std::sync::Arc;

use time::{Date, OffsetDateTime};

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, jitter, with_connection};
use super::seconds::Seconds;
use super::timeouts::{LONG, MAINTENANCE};
use crate::error::Result;
use crate::reports::{LedgerFigures, Maintenance};
use crate::row;

/// The advisory lock of a step. It is bound to the transaction, because a pooler may change the session between transactions.
const MAINTENANCE_LOCK: i64 = 0x6f61_7574_6832_0003;
/// Seconds of expiry that a partition covers. A *slot* is such a range, numbered from the Unix epoch.
const SLOT: i64 = 6 * 3600;
/// Partitions kept ready beyond the last one needed now.
const AHEAD: i64 = 2;
/// Rows deleted by one statement.
const CHUNK: u64 = 5000;
/// Maximum attempts of a step that finds the table locked.
const ATTEMPTS: u32 = 4;

impl PostgresStore {
    pub(crate) async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        // Creating partitions takes rights that requests do not need: a failure says nothing about their writes.
        let mut store = self.clone();
        store.writes = Arc::default();
        with_connection!(store, MAINTENANCE, |connection| {
            round(connection, now, horizon).await
        })
    }

    pub(crate) async fn ledger_figures(&self, now: i64) -> Result<LedgerFigures> {
        with_connection!(self, LONG, |connection| { figures(connection, now).await })
    }
}

/// The slots from the present one to the last one that is needed, and those kept beyond it.
fn needed(now: i64, horizon: i64) -> RangeInclusive<i64> {
    now.div_euclid(SLOT)..=(now + horizon).div_euclid(SLOT) + AHEAD
}

/// How many slots after the present one are kept ready.
pub(crate) fn partitions_needed(now: i64, horizon: i64) -> u32 {
    let slots = needed(now, horizon);
    (slots.end() - slots.start()) as u32
}

async fn round(connection: &mut Connection, now: i64, horizon: i64) -> std::result::Result<Maintenance, Failure> {
    let mut done = Maintenance::default();
    let slots = slots(connection).await?;
    for slot in needed(now, horizon).filter(|s| !slots.contains(s)) {
        if has_strays(connection, slot).await? {
            continue;
        }
        done.partitions_created += u32::from(step(connection, slot, true).await?);
    }
    for slot in slots.iter().filter(|s| (**s + 1) * SLOT < now - row::RETENTION_GRACE) {
        done.partitions_dropped += u32::from(step(connection, *slot, false).await?);
    }
    let tokens = "DELETE FROM tokens_default WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tokens_default WHERE expires_at < $1 AND (SELECT pg_try_advisory_xact_lock($2)) LIMIT 5000))";
    done.tokens_deleted = purge(connection, tokens, now - row::RETENTION_GRACE).await?;
    let log = "DELETE FROM revocations WHERE id = ANY (ARRAY(
        SELECT id FROM revocations WHERE expires_at < $1 AND (SELECT pg_try_advisory_xact_lock($2)) LIMIT 5000))";
    done.revocations_deleted = purge(connection, log, now - row::RETENTION_GRACE).await?;
    let remembered = "DELETE FROM remembered WHERE key = ANY (ARRAY(
        SELECT key FROM remembered WHERE expires_at < $1 AND (SELECT pg_try_advisory_xact_lock($2)) LIMIT 5000))";
    done.remembered_deleted = purge(connection, remembered, now).await?;
    Ok(done)
}

async fn figures(connection: &mut Connection, now: i64) -> std::result::Result<LedgerFigures, Failure> {
    let partition_starts = slots(connection).await?.into_iter().map(|slot| slot * SLOT).collect();
    let limit = LedgerFigures::COUNTED as i64;
    let strays = "SELECT count(*) FROM (SELECT 1 FROM tokens_default LIMIT $1) s";
    let strays: i64 = connection.query_one(strays, &[&limit]).await?.try_get(0)?;
    // Rows of a partition wait until its whole slot may be dropped; those of the default partition are deleted one by one.
    let before = now - row::RETENTION_GRACE;
    let dropped = (before - 1).div_euclid(SLOT) * SLOT;
    let waiting = "SELECT count(*) FROM (
        SELECT 1 FROM tokens WHERE expires_at < $1
        UNION ALL SELECT 1 FROM tokens_default WHERE expires_at >= $1 AND expires_at < $2 LIMIT $3) s";
    let params: [&dyn Param; 3] = [&Seconds(dropped), &Seconds(before), &limit];
    let waiting: i64 = connection.query_one(waiting, &params).await?.try_get(0)?;
    Ok(LedgerFigures {
        partition_starts,
        default_partition_rows: strays as u64,
        purge_rows_waiting: waiting as u64,
    })
}

/// The slots that have a partition. Names of other partitions, such as the default one, are ignored.
async fn slots(connection: &mut Connection) -> std::result::Result<Vec<i64>, Failure> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tokens'::regclass ORDER BY 1";
    let mut slots = Vec::new();
    for r in connection.query(sql, &[]).await? {
        slots.extend(slot_of(r.try_get(0)?));
    }
    Ok(slots)
}

/// Whether the default partition holds rows of a slot: no partition for it can be attached until they are deleted.
async fn has_strays(connection: &mut Connection, slot: i64) -> std::result::Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT 1 FROM tokens_default WHERE expires_at >= $1 AND expires_at < $2)";
    let found = connection
        .query_one(sql, &[&Seconds(slot * SLOT), &Seconds((slot + 1) * SLOT)])
        .await?;
    Ok(found.try_get(0)?)
}

/// Creates the partition of a slot (`create`) or drops it, in one transaction. `false`: the table is locked, or another node
/// has taken the step.
async fn step(connection: &mut Connection, slot: i64, create: bool) -> std::result::Result<bool, Failure> {
    for attempt in 1..=ATTEMPTS {
        let failure = match try_step(connection, slot, create).await {
            Err(failure) if !failure.breaks_connection() => failure,
            done => return done,
        };
        connection.roll_back().await?;
        match failure.code() {
            // A row of the slot was inserted into the default partition after the check, or a statement took too long.
            Some("23514" | "57014") => return Ok(false),
            _ if !failure.is_collision() => return Err(failure),
            _ if attempt < ATTEMPTS => tokio::time::sleep(jitter()).await,
            _ => tracing::debug!(partition = %name(slot), "the ledger is locked; the next round tries again"),
        }
    }
    Ok(false)
}

async fn try_step(connection: &mut Connection, slot: i64, create: bool) -> std::result::Result<bool, Failure> {
    let lock = format!("SET LOCAL lock_timeout = '100ms'; SELECT pg_advisory_xact_lock({MAINTENANCE_LOCK})");
    connection.begin(&lock).await?;
    // Read again under the lock: another node may have taken the step.
    if slots(connection).await?.contains(&slot) == create {
        connection.roll_back().await?;
        return Ok(false);
    }
    let ddl = if create {
        create_sql(slot)
    } else {
        format!("DROP TABLE {}", name(slot))
    };
    connection.batch(&ddl).await?;
    connection.commit().await?;
    Ok(true)
}

/// `CREATE .. PARTITION OF` would lock the whole ledger; attaching a table only blocks other changes of partitions. The new
/// table is empty, so nothing is scanned.
fn create_sql(slot: i64) -> String {
    let (name, from, to) = (name(slot), timestamp(slot), timestamp(slot + 1));
    format!(
        "CREATE TABLE {name} (LIKE tokens INCLUDING ALL);
         ALTER TABLE tokens ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
    )
}

async fn purge(connection: &mut Connection, sql: &'static str, before: i64) -> std::result::Result<u64, Failure> {
    let mut deleted = 0;
    loop {
        let step = connection.execute(sql, &[&Seconds(before), &MAINTENANCE_LOCK]).await?;
        deleted += step;
        if step < CHUNK {
            return Ok(deleted);
        }
    }
}

/// Name of a slot's partition: `tokens_p20261124_18`, with the hour (UTC) at which the slot starts.
fn name(slot: i64) -> String {
    let at = start(slot);
    let (year, month, day) = at.to_calendar_date();
    format!("tokens_p{year:04}{:02}{day:02}_{:02}", u8::from(month), at.hour())
}

/// Start of a slot as a Postgres literal.
fn timestamp(slot: i64) -> String {
    let at = start(slot);
    format!("{} {:02}:00:00+00", at.date(), at.hour())
}

/// Start of a slot; the Unix epoch for a slot after the year 9999, in which no token expires.
fn start(slot: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(slot * SLOT).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn slot_of(name: &str) -> Option<i64> {
    let (date, hour) = name.strip_prefix("tokens_p")?.split_once('_')?;
    let (year, month) = (date.get(..4)?.parse().ok()?, date.get(4..6)?.parse::<u8>().ok()?);
    let day = Date::from_calendar_date(year, month.try_into().ok()?, date.get(6..)?.parse().ok()?).ok()?;
    let start = day.with_hms(hour.parse().ok()?, 0, 0).ok()?.assume_utc();
    Some(start.unix_timestamp() / SLOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_names_contain_the_start_of_the_slot() {
        assert_eq!(name(1_795_543_200 / SLOT), "tokens_p20261124_18");
        assert_eq!(timestamp(951_782_400 / SLOT), "2000-02-29 00:00:00+00");
        assert_eq!(slot_of("tokens_default"), None);
        for slot in (0..200_000).step_by(7) {
            assert_eq!(slot_of(&name(slot)), Some(slot));
        }
    }
}
