//! The threads that execute all statements.
//!
//! SQLite allows one writer at a time, so all writes of this process queue for one thread; the ledger batches in the queue are
//! committed together. A job whose caller has given up is skipped, or rolled back if the caller gave up while the job waited
//! for the lock of another process: nothing is written after the caller's deadline.
//!
//! The threads end in an order that leaves one complete file: readers, writer, checkpoints. The last connection of all processes
//! copies the log into the file and deletes it, which a reader cannot.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::checkpoint::CheckpointCounts;
use super::connection::log_of;
use super::failure::Failure;
use super::timeouts::{ADMIN_LOCK_WAIT, TOKEN_LOCK_WAIT};
use super::{checkpoint, connection};
use crate::error::{ErrorCounts, Result, StoreError};
use crate::model::LedgerEntry;
use crate::options::StoreOptions;
use crate::reports::{FileFigures, PoolUse};
use crate::write_health::WriteHealth;

/// Number of reader threads.
const READERS: u32 = 2;

/// A function for one of the threads to execute.
pub(super) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Ledger entries of one caller, who waits for the reply.
pub(super) struct Batch {
    pub(super) entries: Vec<LedgerEntry>,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

/// A handle on the file; clones share the threads, which end with the last clone.
#[derive(Clone)]
pub struct SqliteStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) writer: Sender<Job>,
    pub(super) readers: Sender<Job>,
    /// Queue of batches: the writer commits all waiting batches together.
    pub(super) batches: (Sender<Batch>, Receiver<Batch>),
    active: Arc<AtomicU32>,
    pub(super) writes: WriteHealth,
    pub(super) errors: ErrorCounts,
    checkpoints: Arc<CheckpointCounts>,
    /// The least time that a write waits for the lock of another process.
    pub(super) min_lock_wait: Duration,
    reader_threads: Vec<JoinHandle<()>>,
    writer_thread: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A thread ends when the sender of its queue is dropped.
        let (closed, _) = crossbeam_channel::unbounded();
        self.readers = closed.clone();
        self.reader_threads.drain(..).for_each(join);
        self.writer = closed;
        self.writer_thread.take().into_iter().for_each(join);
    }
}

/// Waits for the end of a thread, unless it is this one.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() {
        // A panic was logged.
        let _ = thread.join();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    pub(crate) async fn open(path: &Path, options: &StoreOptions) -> Result<Self> {
        let active = Arc::new(AtomicU32::new(0));
        let (writer, jobs) = crossbeam_channel::unbounded();
        // The writer opens first: it creates the file that the readers open.
        let wait = options.connect_timeout.min(ADMIN_LOCK_WAIT);
        let checkpoints = Arc::new(CheckpointCounts::default());
        let counts = Arc::clone(&checkpoints);
        let writer_thread = start("store-writer", path, jobs, &active, move |path| {
            let mut writer = connection::open_writer(path, wait)?;
            let thread = checkpoint::start(&mut writer, path, &counts)?;
            Ok((writer, Some(thread)))
        })
        .await?;
        let (readers, jobs) = crossbeam_channel::unbounded();
        let mut reader_threads = Vec::new();
        for _ in 0..READERS {
            let open = |path: &Path| Ok((connection::open_reader(path)?, None));
            reader_threads.push(start("store-reader", path, jobs.clone(), &active, open).await?);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer,
                readers,
                batches: crossbeam_channel::unbounded(),
                active,
                writes: WriteHealth::default(),
                errors: ErrorCounts::default(),
                checkpoints,
                min_lock_wait: options.min_lock_wait,
                reader_threads,
                writer_thread: Some(writer_thread),
            }),
        })
    }

    pub(crate) fn pool_use(&self) -> PoolUse {
        let open = READERS + 1;
        PoolUse {
            active: self.shared.active.load(Ordering::Relaxed).min(open),
            open,
            max: open,
        }
    }

    pub(crate) fn writes(&self) -> &WriteHealth {
        &self.shared.writes
    }

    pub(crate) fn errors(&self) -> &ErrorCounts {
        &self.shared.errors
    }

    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(crate) fn file_figures(&self) -> FileFigures {
        FileFigures {
            checkpoints_done: self.shared.checkpoints.done(),
            checkpoints_failed: self.shared.checkpoints.failed(),
            // Without a log there is no file.
            log_bytes: std::fs::metadata(log_of(&self.shared.path)).map_or(0, |file| file.len()),
        }
    }

    /// Sends a job to a thread and awaits its result. `work` also gets a function that returns whether the caller has given up.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        thread: &Sender<Job>,
        work: impl FnOnce(&mut Connection, &dyn Fn() -> bool) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        send(thread, move |connection| {
            if reply.is_closed() {
                return;
            }
            let outcome = work(connection, &|| reply.is_closed());
            // Fails if the caller has given up.
            drop(reply.send(outcome));
        })?;
        let outcome = answer.await.map_err(|_| job_failed())?;
        outcome.map_err(|failure| failure.into_store_error(&self.shared.path))
    }

    /// Executes a job on a reader; all its statements see the same snapshot.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.call(&self.shared.readers, move |connection, _| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction)
        })
        .await
    }

    /// Executes a job on the writer, in one transaction that is durable when this returns.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        lock_wait: Duration,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let lock_wait = lock_wait.max(self.shared.min_lock_wait);
        let outcome = self
            .call(&self.shared.writer, move |connection, is_cancelled| {
                connection.busy_timeout(lock_wait)?;
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                if is_cancelled() {
                    return Err(StoreError::Timeout.into());
                }
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            })
            .await;
        self.shared.writes.observe(&outcome);
        outcome
    }

    /// Copies the log into the file, so that the file alone is complete.
    pub(crate) async fn complete_file(&self) -> Result<()> {
        self.call(&self.shared.writer, |connection, _| {
            connection.busy_timeout(TOKEN_LOCK_WAIT)?;
            Ok(checkpoint::finish(connection)?)
        })
        .await
    }

    pub(crate) async fn ping(&self) -> Result<u64> {
        let seconds: f64 = self
            .read(|t| {
                // Reads the schema table, so that the file is accessed.
                t.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                Ok(t.query_row("SELECT unixepoch('subsec')", [], |r| r.get(0))?)
            })
            .await?;
        Ok((seconds * 1000.0) as u64)
    }
}

/// Sends a job to a thread without awaiting a result.
pub(super) fn send(thread: &Sender<Job>, job: impl FnOnce(&mut Connection) + Send + 'static) -> Result<()> {
    thread.send(Box::new(job)).map_err(|_| thread_ended())
}

pub(super) fn thread_ended() -> StoreError {
    StoreError::Unavailable("a thread of the store has ended".into())
}

/// The error of a caller whose job panicked.
pub(super) fn job_failed() -> StoreError {
    StoreError::Unavailable("a thread of the store panicked in this call".into())
}

/// Starts a thread; returns when its connection is open. `open` may return another thread that ends with the connection.
async fn start(
    name: &str,
    path: &Path,
    jobs: Receiver<Job>,
    active: &Arc<AtomicU32>,
    open: impl FnOnce(&Path) -> Result<(Connection, Option<JoinHandle<()>>)> + Send + 'static,
) -> Result<JoinHandle<()>> {
    let (opened, answer) = oneshot::channel();
    let path = path.to_owned();
    let active = active.clone();
    let body = move || {
        let (mut connection, other) = match open(&path) {
            Ok(opened) => opened,
            Err(error) => return drop(opened.send(Err(error))),
        };
        drop(opened.send(Ok(())));
        for job in jobs {
            active.fetch_add(1, Ordering::Relaxed);
            // A panic fails only this call: unwinding drops its reply and rolls back its transaction.
            if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
                tracing::error!("a call to the store panicked");
            }
            active.fetch_sub(1, Ordering::Relaxed);
        }
        drop(connection);
        other.into_iter().for_each(join);
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|e| StoreError::Unavailable(format!("cannot start a thread for the store: {e}")))?;
    answer
        .await
        .map_err(|_| StoreError::Unavailable("a thread of the store ended while it started".into()))??;
    Ok(thread)
}
