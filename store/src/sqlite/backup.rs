//! A consistent copy of the file while it is in use.

use std::path::Path;

use rusqlite::params;

use super::threads::SqliteStore;
use crate::error::{Result, StoreError};

impl SqliteStore {
    /// Copies what one read transaction sees into an empty file. Writers go on meanwhile. (The backup API of SQLite starts again
    /// whenever another process writes, and under load would never end.)
    pub(crate) async fn copy_into(&self, file: &Path) -> Result<()> {
        let Some(name) = file.to_str().map(str::to_owned) else {
            return Err(StoreError::Corrupt(format!("{} must be UTF-8", file.display())));
        };
        let copied = self
            .call(&self.shared.readers, move |connection, _| {
                connection.execute("VACUUM INTO ?1", params![name])?;
                Ok(())
            })
            .await;
        // A failure to write is one of the copy, not of the database.
        copied.map_err(|error| match error {
            StoreError::NotWritable(_) => StoreError::Unavailable(format!(
                "{} cannot be written: check its disk, and whether it is full",
                file.display()
            )),
            other => other,
        })
    }
}
