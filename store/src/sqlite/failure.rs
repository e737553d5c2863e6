//! Conversion of SQLite errors to store errors.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::error::StoreError;

/// Why a job failed.
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub(super) fn into_store_error(self, path: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => from_sqlite(&error, path),
        }
    }
}

pub(super) fn from_sqlite(error: &rusqlite::Error, path: &Path) -> StoreError {
    let file = path.display();
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Corrupt(format!("{file} contains an invalid row: {error}"));
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Unavailable(format!(
            "the database {file} is locked by another process: stop that process or try again"
        )),
        ErrorCode::NotADatabase => StoreError::Corrupt(format!("{file} is not an SQLite database")),
        ErrorCode::DatabaseCorrupt => {
            StoreError::Corrupt(format!("the database {file} is damaged: restore it from a backup"))
        }
        ErrorCode::ReadOnly => StoreError::NotWritable(format!(
            "{file} is read-only: make the file, its directory and its file system writable"
        )),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => StoreError::Corrupt(format!(
            "{file} cannot be opened for writing: check the path and its permissions"
        )),
        ErrorCode::DiskFull => StoreError::NotWritable(format!("the disk that holds {file} is full: free some space")),
        ErrorCode::SystemIoFailure if is_write(error) => StoreError::NotWritable(format!(
            "writing to {file} failed: check its disk, and whether it is full"
        )),
        ErrorCode::SystemIoFailure => StoreError::Unavailable(format!("reading or writing {file} failed: {error}")),
        ErrorCode::OperationInterrupted => StoreError::Timeout,
        ErrorCode::ConstraintViolation => {
            tracing::debug!(%error, "a row was rejected");
            StoreError::Conflict("the change conflicts with stored data".to_owned())
        }
        ErrorCode::Unknown => {
            // SQLITE_ERROR: a statement does not match the schema.
            StoreError::Corrupt(format!("{file} does not have the tables of this server: {error}"))
        }
        _ => StoreError::Unavailable(format!("{file}: {error}")),
    }
}

/// Whether an I/O failure is one of writing. Shared memory is written too: a full disk fails its growth.
fn is_write(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|error| error.extended_code),
        Some(
            ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMMAP
                | ffi::SQLITE_IOERR_SHMOPEN
        )
    )
}
