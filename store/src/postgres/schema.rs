//! Migrations, which several nodes may run concurrently.

use bb8_postgres::bb8::ManageConnection;

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, jitter, with_connection};
use super::timeouts::LONG;
use crate::error::{Result, StoreError};
use crate::migrations;

/// The advisory lock under which one node at a time migrates.
const MIGRATION_LOCK: i64 = 0x6f61_7574_6832_0001;
/// The history table in refinery's format.
const HISTORY: &str = "CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))";
/// Maximum attempts of a migration that finds a table locked. An attempt waits 100 ms at most, because requests wait behind it.
const ATTEMPTS: u32 = 20;

impl PostgresStore {
    pub(crate) async fn migrate(&self) -> Result<usize> {
        let migrated = self.migrate_unobserved().await;
        if let Err(error) = &migrated {
            self.writes.observe_failure(error);
        }
        migrated
    }

    async fn migrate_unobserved(&self) -> Result<usize> {
        // Not from the pool: waiting for another node's migration may exceed the limits of a verb.
        let mut connection = self.opener.connect().await?;
        self.opener.detect_pooler().await?;
        let mut attempt = 1;
        loop {
            match migrate(&mut connection).await {
                Err(failure) if failure.is_collision() && attempt < ATTEMPTS => connection.reset().await,
                Err(failure) if failure.is_collision() => {
                    return Err(StoreError::Unavailable(
                        "a table that the migration changes is locked: try again".into(),
                    ));
                }
                // Unlike a privilege that requests need, this one is asked for once: waiting for it would hide the mistake.
                Err(failure) if failure.code() == Some("42501") => {
                    let message = failure.message().unwrap_or("permission denied");
                    return Err(StoreError::Corrupt(format!(
                        "{message} (SQLSTATE 42501): run `oauth2_server migrate` as the owner of the schema"
                    )));
                }
                Err(failure) if failure.code() == Some("42P07") => {
                    let message = failure.message().unwrap_or("a table exists already");
                    return Err(migrations::table_exists(message));
                }
                done => return Ok(done?),
            }
            attempt += 1;
            tokio::time::sleep(jitter()).await;
        }
    }

    pub(crate) async fn schema_version(&self) -> Result<Option<i64>> {
        with_connection!(self, LONG, |connection| {
            self.opener.detect_pooler().await?;
            version(connection).await
        })
    }
}

/// Applies all missing migrations in one transaction that holds the lock.
async fn migrate(connection: &mut Connection) -> std::result::Result<usize, Failure> {
    let lock = format!(
        "SET LOCAL statement_timeout = 60000; SELECT pg_advisory_xact_lock({MIGRATION_LOCK}); SET LOCAL lock_timeout = '100ms'"
    );
    connection.begin(&lock).await?;
    // Must be the first statement: another node may have created the table while this one waited for the lock. A statement
    // that locks the catalogue sees that; a lookup by name may use a stale cache.
    connection.batch(HISTORY).await?;
    let steps = migrations::after("postgres", version(connection).await?);
    for step in &steps {
        connection.batch(step.sql().unwrap_or_default()).await?;
        let insert = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
            VALUES ($1::bigint, $2, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), $3)";
        let checksum = step.checksum().to_string();
        let params: [&dyn Param; 3] = [&i64::from(step.version()), &step.name(), &checksum];
        connection.execute(insert, &params).await?;
    }
    for table in ["client_secrets", "revocations", "audit_log"] {
        connection.batch(&advance_sequence(table)).await?;
    }
    connection.commit().await?;
    Ok(steps.len())
}

/// Moves the sequence of a table's ids past its rows. It is behind them only if rows were restored without it. A role that may not use
/// the sequence cannot see its value, and leaves it to the owner of the schema.
fn advance_sequence(table: &str) -> String {
    format!(
        "SELECT setval(ids.name::regclass, ids.last) FROM (SELECT pg_get_serial_sequence('{table}', 'id') AS name, max(id) AS last
             FROM {table}) ids
         WHERE has_sequence_privilege(ids.name, 'UPDATE')
             AND ids.last > coalesce(pg_sequence_last_value(ids.name::regclass), 0)"
    )
}

async fn version(connection: &mut Connection) -> std::result::Result<Option<i64>, Failure> {
    let encoding = connection
        .query_one("SELECT current_setting('server_encoding')", &[])
        .await?;
    let encoding: &str = encoding.try_get(0)?;
    // SQL_ASCII stores the bytes that it gets.
    if !matches!(encoding, "UTF8" | "SQL_ASCII") {
        let problem = format!(
            "the database has the encoding {encoding}, which cannot hold every character: create one with \
             ENCODING 'UTF8' TEMPLATE template0"
        );
        return Err(StoreError::Corrupt(problem).into());
    }
    let exists = connection
        .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?;
    if !exists.try_get::<_, bool>(0)? {
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
