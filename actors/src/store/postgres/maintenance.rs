//! Partitions made ahead and dropped whole, strays and old log rows deleted in chunks.
//!
//! One node at a time takes a step. A lock is waited for 100 ms at most, because requests queue behind the one who waits for a
//! table; what could not be done now is done in the next round.

use std::time::Duration;

use time::{Date, OffsetDateTime};

use super::column::Seconds;
use super::{Connection, Failure, Maintenance, PostgresStore, Result, jitter, row, verb};

/// The advisory lock of a step. It is its transaction's: a session may be lent for no longer.
const MAINTENANCE_LOCK: i64 = 0x6f61_7574_6832_0003;
/// Seconds of expiry that a partition covers.
const SLOT: i64 = 6 * 3600;
/// Partitions kept ready beyond what is needed now.
const AHEAD: i64 = 2;
/// Seconds a partition is kept after its last token expired.
const KEPT: i64 = 3600;
/// Rows deleted at once.
const CHUNK: u64 = 5000;
/// Tries of a step that finds the table locked.
const TRIES: u32 = 4;
/// Bound on a whole round.
const ROUND: Duration = Duration::from_mins(2);

impl PostgresStore {
    pub(in crate::store) async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        verb!(self, ROUND, |connection| { round(connection, now, horizon).await })
    }
}

async fn round(connection: &mut Connection, now: i64, horizon: i64) -> std::result::Result<Maintenance, Failure> {
    let mut done = Maintenance::default();
    let slots = slots(connection).await?;
    let first = now.div_euclid(SLOT);
    let last = (now + horizon).div_euclid(SLOT) + AHEAD;
    for slot in (first..=last).filter(|s| !slots.contains(s)) {
        if strays(connection, slot).await? {
            continue;
        }
        done.partitions_created += u32::from(step(connection, slot, true).await?);
    }
    for slot in slots.iter().filter(|s| (**s + 1) * SLOT < now - KEPT) {
        done.partitions_dropped += u32::from(step(connection, *slot, false).await?);
    }
    let tokens = "DELETE FROM tokens_default WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tokens_default WHERE expires_at < $1 AND (SELECT pg_try_advisory_xact_lock($2)) LIMIT 5000))";
    done.tokens_deleted = purge(connection, tokens, now - row::LOG_GRACE).await?;
    let log = "DELETE FROM revocations WHERE id = ANY (ARRAY(
        SELECT id FROM revocations WHERE expires_at < $1 AND (SELECT pg_try_advisory_xact_lock($2)) LIMIT 5000))";
    done.revocations_deleted = purge(connection, log, now - row::LOG_GRACE).await?;
    let found = figures(connection).await?;
    Ok(Maintenance {
        partitions: found.partitions,
        default_partition_rows: found.default_partition_rows,
        ..done
    })
}

async fn figures(connection: &mut Connection) -> std::result::Result<Maintenance, Failure> {
    let partitions = slots(connection).await?.len() as u32;
    // Counted up to a bound: beyond it the number says nothing new.
    let strays = "SELECT count(*) FROM (SELECT 1 FROM tokens_default LIMIT 100000) s";
    let rows: i64 = connection.query_one(strays, &[]).await?.try_get(0)?;
    Ok(Maintenance {
        partitions,
        default_partition_rows: rows as u64,
        ..Maintenance::default()
    })
}

/// The slots that have a partition. Others' tables and the default partition have other names.
async fn slots(connection: &mut Connection) -> std::result::Result<Vec<i64>, Failure> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tokens'::regclass ORDER BY 1";
    let mut slots = Vec::new();
    for r in connection.query(sql, &[]).await? {
        slots.extend(slot_of(r.try_get(0)?));
    }
    Ok(slots)
}

/// Whether the default partition holds rows of a slot: then it cannot have a partition until they are gone.
async fn strays(connection: &mut Connection, slot: i64) -> std::result::Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT 1 FROM tokens_default WHERE expires_at >= $1 AND expires_at < $2)";
    let found = connection
        .query_one(sql, &[&Seconds(slot * SLOT), &Seconds((slot + 1) * SLOT)])
        .await?;
    Ok(found.try_get(0)?)
}

/// Makes a slot's partition or drops it, all or nothing. `false`: not now, or another node did.
async fn step(connection: &mut Connection, slot: i64, wanted: bool) -> std::result::Result<bool, Failure> {
    for attempt in 1..=TRIES {
        let failure = match try_step(connection, slot, wanted).await {
            Err(failure) if !failure.breaks_connection() => failure,
            done => return done,
        };
        connection.abandon().await?;
        match failure.code() {
            // A row of the slot came to the default partition meanwhile, or a statement took too long.
            Some("23514" | "57014") => return Ok(false),
            _ if !failure.is_collision() => return Err(failure),
            _ if attempt < TRIES => tokio::time::sleep(jitter()).await,
            _ => tracing::debug!(partition = %name(slot), "the ledger is locked, the step waits for the next round"),
        }
    }
    Ok(false)
}

async fn try_step(connection: &mut Connection, slot: i64, wanted: bool) -> std::result::Result<bool, Failure> {
    let lock = format!("SET LOCAL lock_timeout = '100ms'; SELECT pg_advisory_xact_lock({MAINTENANCE_LOCK})");
    connection.begin(&lock).await?;
    // Read again: another node may have had the lock.
    if slots(connection).await?.contains(&slot) == wanted {
        connection.abandon().await?;
        return Ok(false);
    }
    let ddl = if wanted {
        create(slot)
    } else {
        format!("DROP TABLE {}", name(slot))
    };
    connection.batch(&ddl).await?;
    connection.commit().await?;
    Ok(true)
}

/// `CREATE .. PARTITION OF` would lock the whole ledger; attaching a table locks new partitions out only. The new
/// table is empty, so that there is nothing to scan.
fn create(slot: i64) -> String {
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

/// `tokens_p20261124_18`: the hour (UTC) at which the slot begins.
fn name(slot: i64) -> String {
    let at = begin(slot);
    let (year, month, day) = at.to_calendar_date();
    format!("tokens_p{year:04}{:02}{day:02}_{:02}", u8::from(month), at.hour())
}

/// When a slot begins, as Postgres reads it.
fn timestamp(slot: i64) -> String {
    let at = begin(slot);
    format!("{} {:02}:00:00+00", at.date(), at.hour())
}

/// A slot out of the calendar's range, which ends with the year 9999, is none that a token's expiry could be in.
fn begin(slot: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(slot * SLOT).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn slot_of(name: &str) -> Option<i64> {
    let (date, hour) = name.strip_prefix("tokens_p")?.split_once('_')?;
    let (year, month) = (date.get(..4)?.parse().ok()?, date.get(4..6)?.parse::<u8>().ok()?);
    let day = Date::from_calendar_date(year, month.try_into().ok()?, date.get(6..)?.parse().ok()?).ok()?;
    let begin = day.with_hms(hour.parse().ok()?, 0, 0).ok()?.assume_utc();
    Some(begin.unix_timestamp() / SLOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_named_by_their_first_hour() {
        assert_eq!(name(1_795_543_200 / SLOT), "tokens_p20261124_18");
        assert_eq!(timestamp(951_782_400 / SLOT), "2000-02-29 00:00:00+00");
        assert_eq!(slot_of("tokens_default"), None);
        for slot in (0..200_000).step_by(7) {
            assert_eq!(slot_of(&name(slot)), Some(slot));
        }
    }
}
