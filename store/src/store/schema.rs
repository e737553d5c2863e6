//! Schema and maintenance.

use super::Store;
use crate::error::Result;
use crate::migrations;
use crate::reports::Maintenance;

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

    /// The schema version that this binary requires.
    pub fn required_schema_version(&self) -> i64 {
        migrations::latest(self.kind())
    }

    /// Creates partitions ahead of use and deletes expired rows, in small steps that never hold a lock for long.
    /// `horizon` is the longest lifetime, in seconds, of a token issued now.
    pub async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        dispatch!(self.maintain(now, horizon))
    }
}
