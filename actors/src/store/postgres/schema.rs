//! Bringing the schema up to date, with other nodes doing the same.

use super::{Connection, Failure, PATIENT, Param, PostgresStore, Result, StoreError, jitter, migrations, verb};

/// The advisory lock under which one node at a time migrates.
const MIGRATION_LOCK: i64 = 0x6f61_7574_6832_0001;
/// The history as refinery keeps it, whose migrations these are.
const HISTORY: &str = "CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))";
/// Tries of a migration that finds a table locked: each waits 100 ms at most, so that requests never wait longer.
const TRIES: u32 = 20;

impl PostgresStore {
    pub(in crate::store) async fn migrate(&self) -> Result<usize> {
        // Not from the pool: another node's migration may take its time.
        let mut connection = bb8_postgres::bb8::ManageConnection::connect(&self.opener).await?;
        self.opener.find_pooler().await?;
        let mut attempt = 1;
        loop {
            match migrate(&mut connection).await {
                Err(failure) if failure.is_collision() && attempt < TRIES => connection.roll_back().await,
                Err(failure) if failure.is_collision() => {
                    return Err(StoreError::Unavailable(
                        "a table to be migrated stays locked: try again".into(),
                    ));
                }
                Err(failure) if failure.code() == Some("42P07") => {
                    let message = failure.message().unwrap_or("a table exists already");
                    return Err(migrations::in_the_way(message));
                }
                done => return Ok(done?),
            }
            attempt += 1;
            tokio::time::sleep(jitter()).await;
        }
    }

    pub(in crate::store) async fn schema_version(&self) -> Result<Option<i64>> {
        verb!(self, PATIENT, |connection| {
            self.opener.find_pooler().await?;
            version(connection).await
        })
    }
}

/// All steps in one transaction, under a lock that goes with it.
async fn migrate(connection: &mut Connection) -> std::result::Result<usize, Failure> {
    let lock = format!(
        "SET LOCAL statement_timeout = 60000; SELECT pg_advisory_xact_lock({MIGRATION_LOCK}); SET LOCAL lock_timeout = '100ms'"
    );
    connection.begin(&lock).await?;
    // First of all: what another node made while the lock was waited for is looked at by what takes a lock in the catalogue, and not
    // by a mere look-up of a name, which may be answered from a cache.
    connection.batch(HISTORY).await?;
    let steps = migrations::after("postgres", version(connection).await?);
    for step in &steps {
        connection.batch(step.sql().unwrap_or_default()).await?;
        let note = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
            VALUES ($1::bigint, $2, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), $3)";
        let checksum = step.checksum().to_string();
        let params: [&dyn Param; 3] = [&i64::from(step.version()), &step.name(), &checksum];
        connection.execute(note, &params).await?;
    }
    connection.commit().await?;
    Ok(steps.len())
}

async fn version(connection: &mut Connection) -> std::result::Result<Option<i64>, Failure> {
    let there = connection
        .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let mut applied = Vec::new();
    for r in connection.query(migrations::HISTORY, &[]).await? {
        applied.push(migrations::Applied {
            version: r.try_get::<_, i32>(0)?.into(),
            name: r.try_get(1)?,
            checksum: r.try_get(2)?,
        });
    }
    Ok(migrations::check("postgres", &applied)?)
}
