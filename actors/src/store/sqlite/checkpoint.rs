//! Carrying the write-ahead log over into the file, without making commits wait.
//!
//! Left to itself, `SQLite` does it all in the commit that finds the log long enough: thousands of pages and a sync of the
//! file, 5 to 10 ms in which nobody gets a token. Here a thread of its own does the bulk beside the writer. It cannot end
//! it, since the writer goes on adding to the log; so the writer carries over the little that was added meanwhile and
//! begins the log anew. Should the thread not keep up, the writer does all of it after all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, DEFAULT_NAME};

use super::failure::from_sqlite;
use super::file;
use crate::error::StoreError;
use crate::store::Result;

/// Pages in the log at which the thread begins: 16 MiB, which a start after a crash reads in a moment.
const LONG: i32 = 4_000;

/// Pages in the log at which the writer does not wait for the thread any longer.
const TOO_LONG: i32 = 32_000;

/// Nothing to do.
const IDLE: u8 = 0;
/// The thread carries over.
const CARRYING: u8 = 1;
/// It has carried over what it found.
const CARRIED: u8 = 2;

/// Starts the thread and has the writer's commits wake it. It ends with the writer's connection.
pub(super) fn beside(writer: &mut Connection, path: &Path) -> Result<()> {
    let (wake, woken) = bounded(1);
    let state = Arc::new(AtomicU8::new(IDLE));
    let of_writer = Arc::clone(&state);
    let connection = file::open_checkpointer(path)?;
    std::thread::Builder::new()
        .name("store-checkpoint".to_owned())
        .spawn(move || carry_over(&connection, &woken, &state))
        .map_err(|e| StoreError::Unavailable(format!("cannot start a thread for the store: {e}")))?;
    writer
        .wal_hook(Some(move |log: &mut Wal, pages| {
            committed(log, pages, &wake, &of_writer);
            Ok(())
        }))
        .map_err(|e| from_sqlite(&e, path))
}

/// After each commit, on the writer's thread.
fn committed(log: &mut Wal, pages: i32, wake: &Sender<()>, state: &AtomicU8) {
    match state.load(Ordering::Acquire) {
        IDLE if pages >= LONG => {
            state.store(CARRYING, Ordering::Release);
            if wake.try_send(()).is_ok() {
                return;
            }
        }
        CARRIED => state.store(IDLE, Ordering::Release),
        _ if pages < TOO_LONG => return,
        _ => {}
    }
    // A reader or another process may be in the way: then the next time.
    if let Err(error) = log.checkpoint() {
        tracing::debug!(%error, "the log could not be carried over");
    }
}

fn carry_over(connection: &Connection, woken: &Receiver<()>, state: &AtomicU8) {
    for () in woken {
        let done = connection.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE);
        if let Err(error) = &done {
            tracing::debug!(%error, "the log could not be carried over");
        }
        state.store(if done.is_ok() { CARRIED } else { IDLE }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, Instant};

    use super::*;

    /// Without end, the log would grow with every token.
    #[test]
    fn the_log_stays_short_under_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("oauth2.db");
        let writer = file::open_writer(&path, Duration::from_secs(1)).unwrap();
        writer
            .execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t (x BLOB)")
            .unwrap();
        let began = Instant::now();
        let mut written: u64 = 0;
        // Four times what the log may hold at the most, with commits of about 40 pages.
        while written < 4 * TOO_LONG as u64 * 4096 {
            writer.execute_batch("INSERT INTO t VALUES (zeroblob(160000))").unwrap();
            written += 160_000;
            assert!(began.elapsed() < Duration::from_mins(1), "too slow to tell");
        }
        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
        assert!(log < u64::from(2 * TOO_LONG.unsigned_abs()) * 4096, "{log} bytes");
    }
}
