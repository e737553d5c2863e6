//! The shared store: Postgres through a pool.
//!
//! A verb is one statement where it can be (an autocommit round trip), so most of them leave no transaction behind
//! whatever happens. A connection that a caller left in the middle of something, that lost its server, or whose server
//! takes no writes any more is closed, never handed out again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_postgres::bb8::{self, Pool, PooledConnection};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{LogPosition, Maintenance, PoolUse, Result, StoreOptions, migrations, row};
use crate::error::StoreError;
use crate::model::{AuditEntry, Change, Client, Page, Revocation, SecretHash, StoredKey, StoredToken, TokenRecord};

mod audit;
mod backends;
mod bulk;
mod clients;
mod column;
mod connection;
mod failure;
mod keys;
mod ledger;
mod logs;
mod maintenance;
mod opener;
mod param;
mod quotas;
mod schema;
mod tls;
mod tokens;
mod url;

use connection::Connection;
use failure::Failure;
pub use ledger::LedgerWriter;
use opener::Opener;
use param::Param;

/// The server's own bound on an ordinary statement, and ours for when the server does not answer at all.
const STATEMENT: Duration = Duration::from_secs(1);
const ORDINARY: Duration = Duration::from_millis(1500);
/// The same for lists and for the first reading of a log.
const PATIENT: Duration = Duration::from_secs(6);
/// The same for reading all clients, at the start.
const LONG: Duration = Duration::from_mins(1);
/// Tries of a verb that collides with another transaction.
const TRIES: u32 = 3;

/// A handle on the pool; clones share it.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: Pool<Opener>,
    opener: Opener,
    acquire_timeout: Duration,
    max_connections: u32,
    ledger_open: Arc<AtomicU32>,
    ledger_active: Arc<AtomicU32>,
    /// Why the last attempt at a connection failed, until one succeeds: the pool itself only says that it waited in vain.
    last_failure: Arc<Mutex<Option<StoreError>>>,
}

/// Runs a verb on a pooled connection, again if it collided: `verb!(store, limit, |connection| { .. })`.
macro_rules! verb {
    ($store:expr, $limit:expr, |$connection:ident| $body:block) => {{
        let mut attempt = 1;
        loop {
            let mut pooled = $store.acquire().await?;
            pooled.enter();
            let outcome: std::result::Result<std::result::Result<_, $crate::store::postgres::Failure>, _> = {
                let $connection = &mut *pooled;
                tokio::time::timeout($limit, async { $body }).await
            };
            match $crate::store::postgres::settle(&mut pooled, outcome, attempt).await {
                Some(answer) => break answer,
                None => attempt += 1,
            }
        }
    }};
}
use verb;

/// What is wrong with a URL, as far as that shows without a file and without a network, as what comes after its name.
pub(super) fn check_url(url: &str) -> std::result::Result<(), String> {
    url::read(url).map(drop)
}

impl PostgresStore {
    #[expect(
        clippy::unused_async,
        reason = "the pool starts its tasks here, so a runtime must be there"
    )]
    pub(super) async fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        let last_failure = Arc::new(Mutex::new(None));
        let opener = Opener::new(url, options, last_failure.clone())?;
        let size = options.max_connections.saturating_sub(options.ledger_writers).max(1);
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(options.min_connections.min(size))
            .test_on_check_out(false)
            .connection_timeout(options.acquire_timeout.max(Duration::from_millis(1)))
            .idle_timeout(options.idle_timeout.max(Duration::from_secs(1)))
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .build_unchecked(opener.clone());
        Ok(Self {
            pool,
            opener,
            acquire_timeout: options.acquire_timeout,
            max_connections: size + options.ledger_writers,
            ledger_open: Arc::default(),
            ledger_active: Arc::default(),
            last_failure,
        })
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let state = self.pool.state();
        let pooled = state.connections.saturating_sub(state.idle_connections);
        PoolUse {
            active: pooled + self.ledger_active.load(Ordering::Relaxed),
            open: state.connections + self.ledger_open.load(Ordering::Relaxed),
            max: self.max_connections,
        }
    }

    pub(super) fn protection(&self) -> String {
        self.opener.protection()
    }

    pub(super) fn ledger_writer(&self) -> LedgerWriter {
        LedgerWriter::new(self.clone())
    }

    pub(super) async fn ping(&self) -> Result<u64> {
        verb!(self, ORDINARY, |connection| {
            let row = connection
                .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])
                .await?;
            Ok(row.try_get::<_, i64>(0)? as u64)
        })
    }

    /// A connection that is not known to be dead, within the time a caller may wait for one.
    async fn acquire(&self) -> Result<PooledConnection<'_, Opener>> {
        let deadline = Instant::now() + self.acquire_timeout;
        let mut given = self.pool.get();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, given).await {
                // One whose server went away while it lay idle: dropping it closes it.
                Ok(Ok(connection)) if connection.is_broken() => drop(connection),
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(_)) | Err(_) => return Err(self.no_connection()),
            }
            given = self.pool.get();
        }
    }

    fn no_connection(&self) -> StoreError {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| {
            StoreError::Unavailable(format!(
                "no connection was free within {} ms",
                self.acquire_timeout.as_millis()
            ))
        })
    }
}

/// What a verb's outcome means for its connection and its caller; `None`: try it again.
async fn settle<T>(
    connection: &mut Connection,
    outcome: std::result::Result<std::result::Result<T, Failure>, tokio::time::error::Elapsed>,
    attempt: u32,
) -> Option<Result<T>> {
    let failure = match outcome {
        // Somewhere between request and answer: the connection is closed as it is dropped.
        Err(_elapsed) => return Some(Err(StoreError::Timeout)),
        Ok(Ok(value)) => {
            connection.leave();
            return Some(Ok(value));
        }
        Ok(Err(failure)) => failure,
    };
    if failure.shows_a_pooler() {
        connection.refute();
    }
    if !failure.breaks_connection() {
        connection.roll_back().await;
    }
    if failure.is_collision() && attempt < TRIES {
        sleep(jitter()).await;
        return None;
    }
    Some(Err(failure.into()))
}

/// 5 to 36 ms: long enough for the other transaction to end, short beside a caller's deadline.
fn jitter() -> Duration {
    // The low bits of a UUIDv7 are random.
    Duration::from_millis(5 + (Uuid::now_v7().as_u128() & 31) as u64)
}
