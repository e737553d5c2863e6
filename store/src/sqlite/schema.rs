//! Migrations, which several processes may run concurrently.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::{Result, StoreError};
use crate::migrations;

/// Maximum attempts of a migration that collides with other processes.
const ATTEMPTS: u32 = 5;

impl SqliteStore {
    pub(crate) async fn migrate(&self) -> Result<usize> {
        let lock_wait = ADMIN_LOCK_WAIT.max(self.shared.min_lock_wait);
        self.call(&self.shared.writer, move |connection, _| {
            connection.busy_timeout(lock_wait)?;
            // The runner's transactions must take the write lock when they begin: a transaction that has read cannot wait for it.
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            let outcome = migrate(connection);
            connection.set_transaction_behavior(TransactionBehavior::Deferred);
            outcome
        })
        .await
    }

    pub(crate) async fn schema_version(&self) -> Result<Option<i64>> {
        self.read(|t| version(t)).await
    }

    pub(crate) async fn has_tables(&self) -> Result<bool> {
        self.read(|t| Ok(t.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |r| r.get(0))?))
            .await
    }
}

pub(super) fn migrate(connection: &mut Connection) -> std::result::Result<usize, Failure> {
    let latest = migrations::latest("sqlite");
    let mut attempt = 0;
    // One attempt may wait this long for the lock of another process; further attempts must not extend that.
    let deadline = Instant::now() + ADMIN_LOCK_WAIT;
    loop {
        if version(connection)? == Some(latest) {
            return Ok(0);
        }
        // The runner reads the history before it takes the lock, so another process may have migrated in between.
        let error = match migrations::runner("sqlite").run(connection) {
            Ok(report) => return Ok(report.applied_migrations().len()),
            Err(error) => error,
        };
        attempt += 1;
        if attempt == ATTEMPTS || Instant::now() >= deadline {
            return Err(match error.kind() {
                refinery::error::Kind::Connection(_, source) => match source.downcast_ref::<rusqlite::Error>() {
                    Some(rusqlite::Error::SqliteFailure(code, text)) => {
                        rusqlite::Error::SqliteFailure(*code, text.clone()).into()
                    }
                    // The error's own text contains the whole migration.
                    Some(rusqlite::Error::SqlInputError { msg, .. }) => migrations::table_exists(msg).into(),
                    _ => StoreError::Corrupt(format!("the migration failed: {error}: {source}")).into(),
                },
                _ => StoreError::Corrupt(format!("the migration failed: {error}")).into(),
            });
        }
    }
}

fn version(connection: &Connection) -> std::result::Result<Option<i64>, Failure> {
    let history: Option<i64> = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'",
            [],
            |r| r.get(0),
        )
        .optional()?;
    if history.is_none() {
        return Ok(None);
    }
    let mut statement = connection.prepare(migrations::HISTORY)?;
    let rows = statement.query_map([], |r| {
        Ok(migrations::Applied {
            version: r.get(0)?,
            name: r.get(1)?,
            checksum: r.get(2)?,
        })
    })?;
    let applied: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(migrations::check("sqlite", &applied)?)
}
