//! The way of a batch of tokens into the ledger: one round trip on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::column::{Column, Field};
use super::{Connection, Failure, Param, PostgresStore, Result, StoreError, TokenRecord};

/// Bound on a batch: a token request's own deadline is one second.
const COMMIT: Duration = Duration::from_millis(900);

/// The arrays are taken apart side by side. As one function in `FROM` they would be put into a tuple store first, which costs
/// a sixth of the statement.
const INSERT: &str = "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
    SELECT unnest($1::uuid[]), unnest($2::timestamptz[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
        unnest($6::smallint[]), unnest($7::bytea[])";

/// What [`INSERT`] takes.
fn columns(batch: &[TokenRecord]) -> [Column<'_>; 7] {
    let fields = [
        Field::Jti,
        Field::ExpiresAt,
        Field::ClientId,
        Field::Scope,
        Field::Audience,
        Field::Format,
        Field::SecretHash,
    ];
    fields.map(|field| Column(field, batch))
}

/// See [`crate::store::LedgerWriter`].
#[derive(Debug)]
pub struct LedgerWriter {
    store: PostgresStore,
    lane: Option<Box<Lane>>,
    /// A connection that is being opened: an opening that takes longer than a caller waits serves a later one.
    opening: Option<oneshot::Receiver<Result<Box<Lane>>>>,
}

#[derive(Debug)]
struct Lane {
    connection: Connection,
    _counted: Counted,
}

/// One connection in the pool's figures.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn new(counter: &Arc<AtomicU32>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LedgerWriter {
    pub(super) fn new(store: PostgresStore) -> Self {
        Self {
            store,
            lane: None,
            opening: None,
        }
    }

    pub(in crate::store) async fn prepare(&mut self) {
        // What failed is tried again for the first batch, whose callers are told.
        self.lane = self.lane().await.ok();
    }

    pub(in crate::store) async fn commit(&mut self, batch: &[TokenRecord]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.attempt(batch).await {
            // Nothing was written; a partition may just have been attached under the batch's feet.
            Err(failure) if failure.is_collision() => self.attempt(batch).await,
            outcome => outcome,
        }
        .map_err(StoreError::from)
    }

    async fn attempt(&mut self, batch: &[TokenRecord]) -> std::result::Result<(), Failure> {
        // Out of `self` while in use: a caller that leaves in the middle takes the connection with it.
        let mut lane = self.lane().await?;
        let _active = Counted::new(&self.store.ledger_active);
        let columns = columns(batch);
        let params = columns.each_ref().map(|column| column as &dyn Param);
        let outcome = timeout(COMMIT, lane.connection.execute(INSERT, &params)).await;
        let failure = match outcome {
            Ok(Ok(_)) => {
                self.lane = Some(lane);
                return Ok(());
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_) => {
                // On its own, so that the answer does not wait for it. It may fail: the server's own bound is near.
                if let (Some(cancel), Ok(tls)) = (lane.connection.cancel_token(), self.store.opener.tls()) {
                    tokio::spawn(async move { drop(timeout(COMMIT, cancel.cancel_query(tls)).await) });
                }
                return Err(StoreError::Timeout.into());
            }
        };
        if failure.shows_a_pooler() {
            lane.connection.refute();
        }
        if !failure.breaks_connection() {
            lane.connection.leave();
            self.lane = Some(lane);
        }
        Err(failure)
    }

    async fn lane(&mut self) -> Result<Box<Lane>> {
        if let Some(lane) = self.lane.take()
            && !lane.connection.is_broken()
        {
            return Ok(lane);
        }
        let opening = self.opening.get_or_insert_with(|| open(&self.store));
        match timeout(self.store.acquire_timeout, &mut *opening).await {
            Ok(answer) => {
                self.opening = None;
                answer.unwrap_or_else(|_| Err(StoreError::Unavailable("the connection's opening was dropped".into())))
            }
            Err(_) => Err(self.store.no_connection()),
        }
    }
}

/// Opens a connection in the runtime of the caller, so that its traffic stays on that thread.
fn open(store: &PostgresStore) -> oneshot::Receiver<Result<Box<Lane>>> {
    let (reply, answer) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let opened = async {
            let mut connection = store.pool.dedicated_connection().await?;
            let columns = columns(&[]);
            let params = columns.each_ref().map(|column| column as &dyn Param);
            connection.prepare(INSERT, &params).await.map_err(Failure::from)?;
            Ok(Box::new(Lane {
                connection,
                _counted: Counted::new(&store.ledger_open),
            }))
        };
        drop(reply.send(opened.await));
    });
    answer
}
