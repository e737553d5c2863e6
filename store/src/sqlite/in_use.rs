//! A mark in the file itself while a server uses it: without the write-ahead log, the file lacks what was committed last.
//!
//! SQLite opens a file whose log is missing as if nothing had been committed after the last checkpoint. So a server sets the mark before
//! it changes anything, and removes it when the log is copied at the end. The mark is made from what tells this file from a copy of it:
//! after a crash, any other program that opens the database also copies the log and deletes it, and then this very file is complete.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, DEFAULT_NAME, OpenFlags};

use super::checkpoint;
use super::connection::{connect, log_of};
use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::{ADMIN_LOCK_WAIT, TOKEN_LOCK_WAIT};
use crate::error::{Result, StoreError};

/// The field of the file's header that holds the mark, a big-endian number that SQLite itself does not use. 0: not in use.
const FIELD: &str = "user_version";
const HEADER: usize = 100;
const OFFSET: usize = 60;

/// The first bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";

impl SqliteStore {
    /// Marks the file as in use, until [`Self::close`].
    pub(crate) async fn mark_in_use(&self) -> Result<()> {
        let path = self.shared.path.clone();
        let marked = self
            .call(&self.shared.writer, move |connection, _| {
                connection.busy_timeout(ADMIN_LOCK_WAIT)?;
                connection.pragma_update(None, FIELD, mark(&path).map_err(|error| not_read(&error))?)?;
                // From the log into the file. The log stays as long as it is, and so does not look like a missing one.
                connection.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::FULL)?;
                Ok(())
            })
            .await;
        self.shared.is_marked.store(marked.is_ok(), Ordering::Release);
        marked
    }

    /// Copies the log into the file, so that the file alone is complete.
    pub(crate) async fn close(&self) -> Result<()> {
        let is_marked = self.shared.is_marked.swap(false, Ordering::AcqRel);
        self.call(&self.shared.writer, move |connection, _| {
            connection.busy_timeout(TOKEN_LOCK_WAIT)?;
            checkpoint::finish(connection)?;
            if is_marked {
                // Only now: a checkpoint begins with the page that has the mark.
                remove_mark(connection)?;
                checkpoint::finish(connection)?;
            }
            Ok(())
        })
        .await
    }

    /// Takes a copy without its log for what it is: the file is complete from now on.
    pub(crate) async fn accept_without_log(&self) -> Result<()> {
        self.call(&self.shared.writer, |connection, _| {
            connection.busy_timeout(ADMIN_LOCK_WAIT)?;
            Ok(remove_mark(connection)?)
        })
        .await
    }
}

/// Removes the mark from a copy that is complete.
pub(super) fn remove_mark_of_copy(file: &Path) -> std::result::Result<(), Failure> {
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Nobody else uses the copy, and it is discarded if this fails.
    connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
    Ok(remove_mark(&connection)?)
}

fn remove_mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, FIELD, 0)
}

/// Whether a file is a copy of one that was in use, and its log is not next to it. Reads only the file's header: opening the database would
/// create a log.
pub(crate) fn is_without_log(path: &Path) -> io::Result<bool> {
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)?.take(HEADER as u64).read_to_end(&mut header)?;
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Ok(false);
    }
    let mut number = [0; 4];
    number.copy_from_slice(&header[OFFSET..OFFSET + 4]);
    let found = i32::from_be_bytes(number);
    if found == 0 || std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0) {
        return Ok(false);
    }
    Ok(found != mark(path)?)
}

/// A number that a copy of the file does not have: from its inode, and when that was made, where the file system says so. A renamed file
/// keeps it.
fn mark(path: &Path) -> io::Result<i32> {
    let metadata = std::fs::metadata(path)?;
    let created = metadata.created().ok();
    let nanos = created.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let nanos = nanos.map_or(0, |since| since.as_nanos() as u64);
    // Spreads numbers that differ little.
    let mixed = (metadata.ino() ^ nanos.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Ok(((mixed >> 33) as i32).max(1))
}

fn not_read(error: &io::Error) -> Failure {
    StoreError::Unavailable(format!("the file's metadata cannot be read: {error}")).into()
}
