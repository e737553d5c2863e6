//! Bringing the file's schema up to date.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Failure, PATIENT, Result, SqliteStore, StoreError, migrations};

/// Tries before a migration that keeps colliding with another process is given up.
const TRIES: u32 = 5;

impl SqliteStore {
    pub(in crate::store) async fn migrate(&self) -> Result<usize> {
        self.call(&self.shared.writer, |connection, _| {
            connection.busy_timeout(PATIENT)?;
            // The runner's transactions must take the lock at once: one that begins as a reader cannot wait for it.
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            let outcome = migrate(connection);
            connection.set_transaction_behavior(TransactionBehavior::Deferred);
            outcome
        })
        .await
    }

    pub(in crate::store) async fn schema_version(&self) -> Result<Option<i64>> {
        self.read(|t| version(t)).await
    }
}

fn migrate(connection: &mut Connection) -> std::result::Result<usize, Failure> {
    let latest = migrations::latest("sqlite");
    let mut attempt = 0;
    // One try may wait for another process's lock as long as this; the next ones must not begin anew.
    let deadline = Instant::now() + PATIENT;
    loop {
        if version(connection)? == Some(latest) {
            return Ok(0);
        }
        // The runner looks first and takes the lock later, so another process may have been faster: look again then.
        let error = match migrations::runner("sqlite").run(connection) {
            Ok(report) => return Ok(report.applied_migrations().len()),
            Err(error) => error,
        };
        attempt += 1;
        if attempt == TRIES || Instant::now() >= deadline {
            return Err(match error.kind() {
                refinery::error::Kind::Connection(_, source) => match source.downcast_ref::<rusqlite::Error>() {
                    Some(rusqlite::Error::SqliteFailure(code, text)) => {
                        rusqlite::Error::SqliteFailure(*code, text.clone()).into()
                    }
                    // Its own text quotes the whole migration.
                    Some(rusqlite::Error::SqlInputError { msg, .. }) => migrations::in_the_way(msg).into(),
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
