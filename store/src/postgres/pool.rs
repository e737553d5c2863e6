//! The connection pool, and the use of its connections by verbs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_postgres::bb8::{Pool, PooledConnection, QueueStrategy};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::connection::Connection;
use super::failure::Failure;
use super::opener::Opener;
use super::replica::Replica;
use super::timeouts::ORDINARY;
use crate::error::{ErrorCounts, Result, StoreError};
use crate::options::{Location, Pooler, StoreOptions};
use crate::reports::PoolUse;
use crate::server_change::ServerChange;
use crate::write_health::WriteHealth;

/// Maximum attempts of a verb that collides with other transactions.
const ATTEMPTS: u32 = 3;

/// A handle on the pool; clones share it.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pub(super) pool: Pool<Opener>,
    pub(super) opener: Opener,
    /// Opens the connection that listens to other nodes; `None` behind a pooler.
    pub(super) listener: Option<Arc<Opener>>,
    pub(super) replica: Option<Arc<Replica>>,
    pub(super) acquire_timeout: Duration,
    max_connections: u32,
    /// Whether the server accepts writes.
    pub(crate) writes: Arc<WriteHealth>,
    pub(crate) errors: Arc<ErrorCounts>,
    /// Connections of ledger writers, which are outside the pool.
    pub(super) ledger_open: Arc<AtomicU32>,
    pub(super) ledger_active: Arc<AtomicU32>,
    /// Error of the last attempt to connect, `None` after a success: the pool itself reports only a timeout.
    last_failure: Arc<Mutex<Option<StoreError>>>,
}

/// Runs a block on a pooled connection within a time limit, and repeats it if it collided with another transaction:
/// `with_connection!(store, limit, |connection| { .. })`.
macro_rules! with_connection {
    ($store:expr, $limit:expr, |$connection:ident| $body:block) => {{
        let mut attempt = 1;
        loop {
            let mut pooled = $store.acquire().await?;
            pooled.start_use();
            let outcome: std::result::Result<std::result::Result<_, $crate::postgres::failure::Failure>, _> = {
                let $connection = &mut *pooled;
                tokio::time::timeout($limit, async { $body }).await
            };
            match $crate::postgres::pool::conclude(&mut pooled, outcome, attempt).await {
                Some(result) => {
                    if let Err(error) = &result {
                        $store.writes.observe_failure(error);
                    }
                    break result;
                }
                None => attempt += 1,
            }
        }
    }};
}
pub(super) use with_connection;

impl PostgresStore {
    #[expect(clippy::unused_async, reason = "the pool starts its tasks here and needs a runtime")]
    pub(crate) async fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        let last_failure = Arc::new(Mutex::new(None));
        let opener = Opener::new(url, options, last_failure.clone())?;
        let listener = match &options.listen_at {
            Some(Location::Postgres(url)) => {
                let direct = StoreOptions {
                    pooler: Pooler::None,
                    ..options.clone()
                };
                Some(Arc::new(Opener::new(url, &direct, Arc::default())?))
            }
            _ => (options.pooler == Pooler::None).then(|| Arc::new(opener.clone())),
        };
        let replica = match &options.read_at {
            Some(replica) => Some(Arc::new(Replica::new(replica, options)?)),
            None => None,
        };
        let size = options.max_connections.saturating_sub(options.ledger_writers).max(1);
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(options.min_connections.min(size))
            .test_on_check_out(false)
            .connection_timeout(options.acquire_timeout.max(Duration::from_millis(1)))
            .idle_timeout(options.idle_timeout.max(Duration::from_secs(1)))
            .queue_strategy(QueueStrategy::Lifo)
            .build_unchecked(opener.clone());
        Ok(Self {
            pool,
            opener,
            listener,
            replica,
            acquire_timeout: options.acquire_timeout,
            max_connections: size + options.ledger_writers,
            writes: Arc::default(),
            errors: Arc::default(),
            ledger_open: Arc::default(),
            ledger_active: Arc::default(),
            last_failure,
        })
    }

    pub(crate) fn pool_use(&self) -> PoolUse {
        let state = self.pool.state();
        let pooled = state.connections.saturating_sub(state.idle_connections);
        PoolUse {
            active: pooled + self.ledger_active.load(Ordering::Relaxed),
            open: state.connections + self.ledger_open.load(Ordering::Relaxed),
            max: self.max_connections,
        }
    }

    pub(crate) fn transport_security(&self) -> String {
        self.opener.transport_security()
    }

    pub(crate) fn stale_addresses(&self) -> u64 {
        self.opener.stale_addresses()
    }

    pub(crate) fn server_change(&self) -> &ServerChange {
        self.opener.server_change()
    }

    pub(crate) async fn ping(&self) -> Result<u64> {
        with_connection!(self, ORDINARY, |connection| {
            let row = connection
                .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])
                .await?;
            Ok(row.try_get::<_, i64>(0)? as u64)
        })
    }

    /// A connection that is not known to be broken, within the acquire timeout.
    pub(super) async fn acquire(&self) -> Result<PooledConnection<'_, Opener>> {
        let deadline = Instant::now() + self.acquire_timeout;
        let mut acquired = self.pool.get();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, acquired).await {
                // The server closed it while it was idle; dropping it removes it from the pool.
                Ok(Ok(connection)) if connection.is_broken() => drop(connection),
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(_)) | Err(_) => return Err(self.no_connection()),
            }
            acquired = self.pool.get();
        }
    }

    /// The error when no connection was obtained within the acquire timeout.
    pub(super) fn no_connection(&self) -> StoreError {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let error = last.or_else(|| self.opener.no_name_server());
        error.unwrap_or_else(|| {
            StoreError::Unavailable(format!(
                "no connection was free within {} ms",
                self.acquire_timeout.as_millis()
            ))
        })
    }
}

/// Cleans up the connection after a verb and returns the verb's result; `None`: try it again.
pub(super) async fn conclude<T>(
    connection: &mut Connection,
    outcome: std::result::Result<std::result::Result<T, Failure>, Elapsed>,
    attempt: u32,
) -> Option<Result<T>> {
    let failure = match outcome {
        // The state of the session is unknown: dropping the connection closes it.
        Err(_elapsed) => return Some(Err(StoreError::Timeout)),
        Ok(Ok(value)) => {
            connection.end_use();
            return Some(Ok(value));
        }
        Ok(Err(failure)) => failure,
    };
    connection.report(&failure);
    if !failure.breaks_connection() {
        connection.reset().await;
    }
    if failure.is_collision() && attempt < ATTEMPTS {
        sleep(jitter()).await;
        return None;
    }
    Some(Err(failure.into()))
}

/// 5 to 36 ms: long enough for the other transaction to end, short compared with the deadline of a request.
pub(super) fn jitter() -> Duration {
    // The low bits of a UUIDv7 are random.
    Duration::from_millis(5 + (Uuid::now_v7().as_u128() & 31) as u64)
}
