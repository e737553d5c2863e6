//! Opening the file: made when missing, for its owner only.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::from_sqlite;
use super::{PATIENT, checkpoint};
use crate::error::StoreError;
use crate::store::Result;

/// Statements kept prepared on a connection: more than there are.
const STATEMENTS: usize = 64;

pub(super) fn open_writer(path: &Path, patience: Duration) -> Result<Connection> {
    make(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let fail = |e: rusqlite::Error| from_sqlite(&e, path);
    to_wal(&connection, patience).map_err(fail)?;
    connection
        .execute_batch(
            // FULL syncs the log at each commit: an answered token survives a power cut.
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -4096;
             PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(fail)?;
    checkpoint::beside(&mut connection, path)?;
    Ok(connection)
}

/// A connection that only carries the log over into the file.
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

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| from_sqlite(&e, path))?;
    connection.busy_timeout(PATIENT).map_err(|e| from_sqlite(&e, path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes the directory (0700) and the file (0600) where they are missing; the log files beside it take the file's mode.
fn make(path: &Path) -> Result<()> {
    let refused = |what: &Path, e: std::io::Error| {
        StoreError::Corrupt(format!(
            "cannot write {}: {e}: check the path and its permissions",
            what.display()
        ))
    };
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| refused(directory, e))?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| refused(path, e))?;
    Ok(())
}

/// Two processes that open a new file together collide here, and the busy handler is not asked: so it is tried again.
fn to_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Nothing outside can tell: a killed process loses nothing either way, and the power is not to be cut.
    #[test]
    fn the_writer_syncs_at_each_commit() {
        let directory = tempfile::tempdir().unwrap();
        let writer = open_writer(&directory.path().join("oauth2.db"), Duration::from_secs(1)).unwrap();
        let synchronous: i64 = writer.pragma_query_value(None, "synchronous", |r| r.get(0)).unwrap();
        let journal: String = writer.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        // 2 is FULL.
        assert_eq!((synchronous, &*journal), (2, "wal"));
    }
}
