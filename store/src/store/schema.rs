//! Schema and maintenance.

use std::path::Path;

use super::Store;
use crate::error::{Result, StoreError};
use crate::migrations;
use crate::postgres;
use crate::reports::{LedgerFigures, Maintenance};
use crate::sqlite;

impl Store {
    /// Migrates the schema to the version of this binary; returns the number of migrations applied. Nodes may call it
    /// concurrently. [`StoreError::Corrupt`]: the schema is newer than this binary, or was not created by it.
    ///
    /// [`StoreError::Corrupt`]: crate::StoreError::Corrupt
    pub async fn migrate(&self) -> Result<usize> {
        dispatch!(self.migrate())
    }

    /// The version of the schema; `None` before the first migration. Rejects a newer or unknown schema as [`Self::migrate`]
    /// does.
    pub async fn schema_version(&self) -> Result<Option<i64>> {
        dispatch!(self.schema_version())
    }

    /// Whether the database has any table, also of another program. Postgres always has.
    pub async fn has_tables(&self) -> Result<bool> {
        match self {
            Self::Postgres(_) => Ok(true),
            Self::Sqlite(store) => store.has_tables().await,
        }
    }

    /// The schema version that this binary requires.
    pub fn required_schema_version(&self) -> i64 {
        migrations::latest(self.kind())
    }

    /// Copies the whole database into an empty file, consistently and while it is in use (SQLite). Postgres has `pg_dump`.
    pub async fn copy_into(&self, file: &Path) -> Result<()> {
        match self {
            Self::Postgres(_) => Err(StoreError::Corrupt(
                "a Postgres database is copied by pg_dump".to_owned(),
            )),
            Self::Sqlite(store) => store.copy_into(file).await,
        }
    }

    /// Creates an SQLite database that is missing, complete with its schema or not at all; returns the number of its migrations. 0: another
    /// process has created it meanwhile.
    pub async fn create(database: &Path) -> Result<usize> {
        sqlite::create(database).await
    }

    /// Completes the database file (SQLite): without the write-ahead log next to it, it has everything that was committed before.
    pub async fn complete_file(&self) -> Result<()> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(store) => store.complete_file().await,
        }
    }

    /// Creates partitions ahead of use and deletes expired rows, in small steps that never hold a lock for long.
    /// `horizon` is the longest lifetime, in seconds, of a token issued now.
    pub async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        dispatch!(self.maintain(now, horizon))
    }

    /// The state of the ledger at `now`, Unix seconds.
    pub async fn ledger_figures(&self, now: i64) -> Result<LedgerFigures> {
        dispatch!(self.ledger_figures(now))
    }

    /// How many partitions for times after the present one [`Self::maintain`] keeps; 0 on SQLite.
    pub fn partitions_needed(&self, now: i64, horizon: i64) -> u32 {
        match self {
            Self::Postgres(_) => postgres::partitions_needed(now, horizon),
            Self::Sqlite(_) => 0,
        }
    }
}
