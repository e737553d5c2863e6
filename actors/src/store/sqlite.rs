//! The embedded store: one file, one thread that writes, two that read.
//!
//! `SQLite` has one writer at a time whatever one does, so all writes of this process queue for one thread; what queues
//! up meanwhile is what the next group commit takes. A job whose caller has left is skipped, and one whose caller left
//! while it waited for another process's lock is rolled back: nothing is written later than its deadline.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{LogPosition, Maintenance, PoolUse, Result, StoreOptions, migrations, row};
use crate::error::StoreError;
use crate::model::{AuditEntry, Change, Client, Page, Revocation, SecretHash, StoredKey, StoredToken, TokenRecord};

mod audit;
mod bulk;
mod checkpoint;
mod clients;
mod failure;
mod file;
mod keys;
mod logs;
mod maintenance;
mod quotas;
mod schema;
mod tokens;

use failure::Failure;
use tokens::Batch;

/// Threads that read.
const READERS: u32 = 2;
/// How long an administrative change waits for another process's lock.
const PATIENT: Duration = Duration::from_secs(5);
/// How long a batch of tokens waits for it: a token request's own deadline is one second.
const HURRIED: Duration = Duration::from_millis(900);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the file; clones share the threads, which end with the last of them.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Sender<Job>,
    readers: Sender<Job>,
    /// Tokens that wait to be recorded: the writer takes all there are at once.
    batches: (Sender<Batch>, Receiver<Batch>),
    active: Arc<AtomicU32>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &StoreOptions) -> Result<Self> {
        let active = Arc::new(AtomicU32::new(0));
        let (writer, jobs) = crossbeam_channel::unbounded();
        // The writer opens first: it makes the file that readers then find.
        let patience = options.connect_timeout.min(PATIENT);
        start("store-writer", path, jobs, &active, move |path| {
            file::open_writer(path, patience)
        })
        .await?;
        let (readers, jobs) = crossbeam_channel::unbounded();
        for _ in 0..READERS {
            start("store-reader", path, jobs.clone(), &active, file::open_reader).await?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer,
                readers,
                batches: crossbeam_channel::unbounded(),
                active,
            }),
        })
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let open = READERS + 1;
        PoolUse {
            active: self.shared.active.load(Ordering::Relaxed).min(open),
            open,
            max: open,
        }
    }

    /// Sends a job to a lane's threads and awaits its answer.
    async fn call<T: Send + 'static>(
        &self,
        lane: &Sender<Job>,
        work: impl FnOnce(&mut Connection, &dyn Fn() -> bool) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        send(lane, move |connection| {
            if reply.is_closed() {
                return;
            }
            let outcome = work(connection, &|| reply.is_closed());
            // The caller may have left: its answer is of no use to anybody then.
            drop(reply.send(outcome));
        })?;
        let outcome = answer.await.map_err(|_| failed())?;
        outcome.map_err(|failure| failure.into_store_error(&self.shared.path))
    }

    /// A job for the readers: several statements see one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.call(&self.shared.readers, move |connection, _| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction)
        })
        .await
    }

    /// A job for the writer: one transaction, durable when this answers.
    async fn write<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.call(&self.shared.writer, move |connection, caller_left| {
            connection.busy_timeout(wait)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if caller_left() {
                return Err(StoreError::Timeout.into());
            }
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    pub(super) async fn ping(&self) -> Result<u64> {
        let seconds: f64 = self
            .read(|t| {
                // The schema table, so that the file is really looked at.
                t.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                Ok(t.query_row("SELECT unixepoch('subsec')", [], |r| r.get(0))?)
            })
            .await?;
        Ok((seconds * 1000.0) as u64)
    }
}

fn send(lane: &Sender<Job>, job: impl FnOnce(&mut Connection) + Send + 'static) -> Result<()> {
    lane.send(Box::new(job)).map_err(|_| gone())
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store's thread is gone".into())
}

fn failed() -> StoreError {
    StoreError::Unavailable("the store's thread failed in this call".into())
}

/// Starts one thread of a lane; answers when its connection is open.
async fn start(
    name: &str,
    path: &Path,
    jobs: Receiver<Job>,
    active: &Arc<AtomicU32>,
    open: impl FnOnce(&Path) -> Result<Connection> + Send + 'static,
) -> Result<()> {
    let (opened, answer) = oneshot::channel();
    let path = path.to_owned();
    let active = active.clone();
    let body = move || {
        let mut connection = match open(&path) {
            Ok(connection) => connection,
            Err(error) => return drop(opened.send(Err(error))),
        };
        drop(opened.send(Ok(())));
        for job in jobs {
            active.fetch_add(1, Ordering::Relaxed);
            // A panic costs the one caller its answer (its reply is dropped); its transaction rolled back as it unwound.
            if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
                tracing::error!("a call on the store panicked");
            }
            active.fetch_sub(1, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|e| StoreError::Unavailable(format!("cannot start a thread for the store: {e}")))?;
    answer
        .await
        .map_err(|_| StoreError::Unavailable("the store's thread ended as it started".into()))?
}
