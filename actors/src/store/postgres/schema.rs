//! Bringing the schema up to date, with other nodes doing the same.

use tokio_postgres::error::SqlState;

use super::failure::{collides, to_store_error};
use super::{Connection, Failure, ORDINARY, PostgresStore, Result, StoreError, jitter, migrations, verb};

/// The advisory lock under which one node at a time migrates.
const MIGRATION_LOCK: i64 = 0x6f61_7574_6832_0001;
/// Tries of a migration that finds a table locked: each waits 100 ms at most, so that requests never wait longer.
const TRIES: u32 = 20;

impl PostgresStore {
    pub(in crate::store) async fn migrate(&self) -> Result<usize> {
        // Not from the pool: what is set here must not stay on a connection that others use.
        let mut connection = bb8_postgres::bb8::ManageConnection::connect(&self.opener).await?;
        // Another node's migration may take its time; the lock goes with the connection, however this ends.
        let lock = format!(
            "SET statement_timeout = 60000; SELECT pg_advisory_lock({MIGRATION_LOCK}); SET lock_timeout = '100ms'"
        );
        connection.batch(&lock).await.map_err(Failure::from)?;
        let mut attempt = 1;
        loop {
            if let Some(steps) = migrate(&mut connection).await? {
                return Ok(steps);
            }
            if attempt == TRIES {
                return Err(StoreError::Unavailable(
                    "a table to be migrated stays locked: try again".into(),
                ));
            }
            attempt += 1;
            tokio::time::sleep(jitter()).await;
        }
    }

    pub(in crate::store) async fn schema_version(&self) -> Result<Option<i64>> {
        verb!(self, ORDINARY, |connection| { version(connection).await })
    }
}

/// `None`: a table is locked.
async fn migrate(connection: &mut Connection) -> std::result::Result<Option<usize>, Failure> {
    version(connection).await?;
    let error = match migrations::runner("postgres").run_async(&mut connection.client).await {
        Ok(report) => return Ok(Some(report.applied_migrations().len())),
        Err(error) => error,
    };
    let refinery::error::Kind::Connection(_, source) = error.kind() else {
        return Err(StoreError::Corrupt(format!("the migration failed: {error}")).into());
    };
    match source.downcast_ref::<tokio_postgres::Error>() {
        // The runner only lends its error.
        Some(source) if collides(source) => Ok(None),
        Some(source) if source.code() == Some(&SqlState::DUPLICATE_TABLE) => {
            let message = source
                .as_db_error()
                .map_or("a table exists already", |error| error.message());
            Err(migrations::in_the_way(message).into())
        }
        Some(source) => Err(to_store_error(source).into()),
        None => Err(StoreError::Corrupt(format!("the migration failed: {error}")).into()),
    }
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
