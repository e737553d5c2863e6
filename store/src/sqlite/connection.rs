//! Opens connections to the file; creates a missing file, accessible to its owner only.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::from_sqlite;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::{Result, StoreError};

/// Size of a connection's cache of prepared statements: more than the number of statements.
const STATEMENTS: usize = 64;

/// Opens the writer's connection. `lock_wait` limits the wait for other processes that open a new file at the same time.
pub(super) fn open_writer(path: &Path, lock_wait: Duration) -> Result<Connection> {
    create(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let fail = |e: rusqlite::Error| from_sqlite(&e, path);
    switch_to_wal(&connection, lock_wait).map_err(fail)?;
    connection
        .execute_batch(
            // FULL syncs the log at each commit, so issued tokens survive a power failure.
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -4096;
             PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(fail)?;
    Ok(connection)
}

/// Opens a connection for checkpoints.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA mmap_size = 0;")
        .map_err(|e| from_sqlite(&e, path))?;
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .execute_batch("PRAGMA cache_size = -2048; PRAGMA mmap_size = 0;")
        .map_err(|e| from_sqlite(&e, path))?;
    Ok(connection)
}

pub(super) fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| from_sqlite(&e, path))?;
    connection
        .busy_timeout(ADMIN_LOCK_WAIT)
        .map_err(|e| from_sqlite(&e, path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn cannot_write(what: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Corrupt(format!(
        "cannot write {}: {error}: check the path and its permissions",
        what.display()
    ))
}

/// Creates the directory of a file (0700) where it is missing.
pub(super) fn create_directory(path: &Path) -> Result<()> {
    let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| cannot_write(directory, &e))
}

/// Creates the directory and the file (0600) where they are missing; SQLite gives its log files the file's mode.
fn create(path: &Path) -> Result<()> {
    create_directory(path)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| cannot_write(path, &e))?;
    Ok(())
}

/// Two processes that open a new file at the same time collide here. SQLite does not call the busy handler, so the statement
/// is retried for up to `lock_wait`.
fn switch_to_wal(connection: &Connection, lock_wait: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + lock_wait;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// The write-ahead log of a database.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Checks the setting, because its effect cannot be tested: a killed process loses nothing either way.
    #[test]
    fn writer_syncs_at_each_commit() {
        let directory = tempfile::tempdir().unwrap();
        let writer = open_writer(&directory.path().join("oauth2.db"), Duration::from_secs(1)).unwrap();
        let synchronous: i64 = writer.pragma_query_value(None, "synchronous", |r| r.get(0)).unwrap();
        let journal: String = writer.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        // 2 is FULL.
        assert_eq!((synchronous, &*journal), (2, "wal"));
    }
}
