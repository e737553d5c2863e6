//! Checkpoints: copying the write-ahead log into the file without delaying commits.
//!
//! By default, SQLite runs the whole checkpoint in the commit that reaches the threshold: thousands of pages and a sync of the
//! file, 5 to 10 ms in which no token is issued. Here a separate thread copies most pages while the writer continues. It cannot
//! finish, because the writer keeps appending to the log; so the writer copies the few remaining pages and restarts the log. If
//! the thread does not keep up, the writer runs the whole checkpoint itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, DEFAULT_NAME};

use super::connection;
use super::failure::from_sqlite;
use crate::error::{Result, StoreError};

/// Pages in the log at which the thread starts: 16 MiB, which recovery after a crash reads quickly.
const CHECKPOINT_AT: i32 = 4_000;

/// Pages in the log at which the writer no longer waits for the thread.
const MAX_LOG_PAGES: i32 = 32_000;

/// No checkpoint is needed.
const IDLE: u8 = 0;
/// The thread is copying.
const COPYING: u8 = 1;
/// The thread has copied all pages that it found.
const COPIED: u8 = 2;

/// How checkpoints ended.
#[derive(Debug, Default)]
pub(super) struct CheckpointCounts {
    done: AtomicU64,
    failed: AtomicU64,
}

impl CheckpointCounts {
    /// Checkpoints that the writer finished.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Failures, of the thread or of the writer.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Starts the thread, which commits of the writer wake. It ends with the writer's connection.
pub(super) fn start(writer: &mut Connection, path: &Path, counts: &Arc<CheckpointCounts>) -> Result<JoinHandle<()>> {
    let (wake, woken) = bounded(1);
    let state = Arc::new(AtomicU8::new(IDLE));
    let writer_state = Arc::clone(&state);
    let (counts, writer_counts) = (Arc::clone(counts), Arc::clone(counts));
    let connection = connection::open_checkpointer(path)?;
    let thread = std::thread::Builder::new()
        .name("store-checkpoint".to_owned())
        .spawn(move || checkpoint_when_woken(&connection, &woken, &state, &counts))
        .map_err(|e| StoreError::Unavailable(format!("cannot start a thread for the store: {e}")))?;
    writer
        .wal_hook(Some(move |log: &mut Wal, pages| {
            after_commit(log, pages, &wake, &writer_state, &writer_counts);
            Ok(())
        }))
        .map_err(|e| from_sqlite(&e, path))?;
    Ok(thread)
}

/// Copies the whole log into the file and empties it, so that the file alone is complete. Waits for readers within the busy timeout.
pub(super) fn finish(writer: &Connection) -> rusqlite::Result<()> {
    writer
        .wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::TRUNCATE)
        .map(drop)
}

/// Runs on the writer's thread after each commit.
fn after_commit(log: &mut Wal, pages: i32, wake: &Sender<()>, state: &AtomicU8, counts: &CheckpointCounts) {
    match state.load(Ordering::Acquire) {
        IDLE if pages >= CHECKPOINT_AT => {
            state.store(COPYING, Ordering::Release);
            if wake.try_send(()).is_ok() {
                return;
            }
        }
        COPIED => state.store(IDLE, Ordering::Release),
        _ if pages < MAX_LOG_PAGES => return,
        _ => {}
    }
    // A reader or another process can prevent it; the next commit tries again.
    match log.checkpoint() {
        Ok(()) => _ = counts.done.fetch_add(1, Ordering::Relaxed),
        Err(error) => {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "the checkpoint failed");
        }
    }
}

fn checkpoint_when_woken(connection: &Connection, woken: &Receiver<()>, state: &AtomicU8, counts: &CheckpointCounts) {
    for () in woken {
        let done = connection.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE);
        if let Err(error) = &done {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "the checkpoint failed");
        }
        state.store(if done.is_ok() { COPIED } else { IDLE }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, Instant};

    use super::*;

    /// Without checkpoints that restart the log, it would grow with every token.
    #[test]
    fn log_stays_short_under_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("oauth2.db");
        let mut writer = connection::open_writer(&path, Duration::from_secs(1)).unwrap();
        let counts = Arc::default();
        start(&mut writer, &path, &counts).unwrap();
        writer
            .execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t (x BLOB)")
            .unwrap();
        let started = Instant::now();
        let mut written: u64 = 0;
        // Four times the maximum of the log, with commits of about 40 pages.
        while written < 4 * MAX_LOG_PAGES as u64 * 4096 {
            writer.execute_batch("INSERT INTO t VALUES (zeroblob(160000))").unwrap();
            written += 160_000;
            assert!(started.elapsed() < Duration::from_mins(1), "the writes take too long");
        }
        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
        assert!(log < u64::from(2 * MAX_LOG_PAGES.unsigned_abs()) * 4096, "{log} bytes");
        assert!(counts.done() > 0, "checkpoints are counted");
    }
}
