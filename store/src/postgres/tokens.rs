//! The ledger: writes batches, reads tokens, lists and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Row;
use uuid::Uuid;

use super::batch::{Column, Field};
use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::{LEDGER_COMMIT, LONG, LONG_STATEMENT, ORDINARY};
use crate::error::{Result, StoreError};
use crate::model::token::uuid_of_ms;
use crate::model::{ExpiringTokens, LedgerEntry, MAX_EXPIRING_ROWS, Page, StoredToken, TokenRecord};
use crate::row;

/// The arrays are unnested in the select list. In `FROM`, `unnest` would fill a tuple store first, which takes a sixth of the
/// statement's time.
const INSERT: &str = "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
    SELECT unnest($1::uuid[]), unnest($2::timestamptz[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
        unnest($6::smallint[]), unnest($7::bytea[])";

/// The parameters of [`INSERT`].
fn columns(batch: &[LedgerEntry]) -> [Column<'_>; 7] {
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

/// Writes batches through a dedicated connection; see [`crate::LedgerWriter`].
#[derive(Debug)]
pub struct LedgerWriter {
    store: Box<PostgresStore>,
    connection: Option<Box<LedgerConnection>>,
    /// A connection that is being opened; a later call uses it if this one times out.
    opening: Option<oneshot::Receiver<Result<Box<LedgerConnection>>>>,
}

#[derive(Debug)]
struct LedgerConnection {
    connection: Connection,
    _counted: Counted,
}

/// Counts one connection in the pool's figures until it is dropped.
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
    pub(crate) async fn prepare(&mut self) {
        // A failure is not reported here: the first batch connects again and reports its own failure.
        self.connection = self.take_connection().await.ok();
    }

    pub(crate) async fn commit(&mut self, batch: &[LedgerEntry]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let outcome = match self.attempt(batch).await {
            // Nothing was written: for example, a partition was attached while the batch waited.
            Err(failure) if failure.is_collision() => self.attempt(batch).await,
            outcome => outcome,
        }
        .map_err(StoreError::from);
        self.store.writes.observe(&outcome);
        self.store.errors.observe(&outcome);
        outcome
    }

    async fn attempt(&mut self, batch: &[LedgerEntry]) -> std::result::Result<(), Failure> {
        // Moved out of `self` while in use: if this future is dropped, the connection is closed.
        let mut ledger = self.take_connection().await?;
        let _active = Counted::new(&self.store.ledger_active);
        let columns = columns(batch);
        let params = columns.each_ref().map(|column| column as &dyn Param);
        let outcome = timeout(LEDGER_COMMIT, ledger.connection.execute(INSERT, &params)).await;
        let failure = match outcome {
            Ok(Ok(_)) => {
                self.connection = Some(ledger);
                return Ok(());
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_) => {
                // Cancels in the background, so that the caller does not wait. The server's own limit ends the statement soon
                // even if the request is lost.
                if let (Some(cancel), Ok(tls)) = (ledger.connection.cancel_token(), self.store.opener.tls()) {
                    tokio::spawn(async move { drop(timeout(LEDGER_COMMIT, cancel.cancel_query(tls)).await) });
                }
                return Err(StoreError::Timeout.into());
            }
        };
        ledger.connection.report(&failure);
        if !failure.breaks_connection() {
            self.connection = Some(ledger);
        }
        Err(failure)
    }

    async fn take_connection(&mut self) -> Result<Box<LedgerConnection>> {
        if let Some(ledger) = self.connection.take()
            && !ledger.connection.is_broken()
        {
            return Ok(ledger);
        }
        let opening = self.opening.get_or_insert_with(|| open(&self.store));
        match timeout(self.store.acquire_timeout, &mut *opening).await {
            Ok(opened) => {
                self.opening = None;
                opened.unwrap_or_else(|_| {
                    Err(StoreError::Unavailable(
                        "the task that opens the connection of the ledger ended early".into(),
                    ))
                })
            }
            Err(_) => Err(self.store.no_connection()),
        }
    }
}

/// Opens a connection on the current runtime, so that its traffic stays on this thread.
fn open(store: &PostgresStore) -> oneshot::Receiver<Result<Box<LedgerConnection>>> {
    let (sender, receiver) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let opened = async {
            let mut connection = store.pool.dedicated_connection().await?;
            let columns = columns(&[]);
            let params = columns.each_ref().map(|column| column as &dyn Param);
            connection.prepare(INSERT, &params).await.map_err(Failure::from)?;
            Ok(Box::new(LedgerConnection {
                connection,
                _counted: Counted::new(&store.ledger_open),
            }))
        };
        drop(sender.send(opened.await));
    });
    receiver
}

impl PostgresStore {
    pub(crate) fn ledger_writer(&self) -> LedgerWriter {
        LedgerWriter {
            store: Box::new(self.clone()),
            connection: None,
            opening: None,
        }
    }

    pub(crate) async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        with_connection!(self, ORDINARY, |connection| {
            token_on(connection, jti, expires_at).await
        })
    }

    pub(crate) async fn tokens_by_id(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        let wanted = row::distinct(wanted);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        with_connection!(self, ORDINARY, |connection| {
            tokens_by_id_on(connection, &wanted).await
        })
    }

    pub(crate) async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let page = list_tokens_on(connection, client_id, now, cursor, limit).await?;
            connection.commit().await?;
            Ok(page)
        })
    }

    pub(crate) async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<ExpiringTokens>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let sql = "SELECT client_id, (extract(epoch FROM expires_at)::bigint / 60 + 1) * 60, count(*) FROM tokens
                WHERE expires_at > $1 AND jti < $2 GROUP BY 1, 2 LIMIT $3";
            let params: [&dyn Param; 3] = [&Seconds(now), &uuid_of_ms(before_ms), &(MAX_EXPIRING_ROWS as i64)];
            let rows = connection.query(sql, &params).await?;
            connection.commit().await?;
            let read = |r: &Row| {
                Ok(ExpiringTokens {
                    client_id: r.try_get(0)?,
                    expires_at: r.try_get(1)?,
                    count: r.try_get::<_, i64>(2)? as u64,
                })
            };
            rows.iter().map(read).collect()
        })
    }

    pub(crate) async fn top_clients(&self, now: i64, limit: usize, group: Option<&str>) -> Result<Vec<(String, u64)>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let sql = "SELECT client_id, count(*) FROM tokens WHERE expires_at > $1
                AND ($3::text IS NULL OR client_id IN (SELECT client_id FROM clients WHERE client_group = $3))
                GROUP BY client_id ORDER BY 2 DESC, client_id COLLATE \"C\" LIMIT $2";
            let rows = connection.query(sql, &[&Seconds(now), &(limit as i64), &group]).await?;
            connection.commit().await?;
            rows.iter()
                .map(|r| Ok((r.try_get(0)?, r.try_get::<_, i64>(1)? as u64)))
                .collect()
        })
    }
}

/// The token of an id. If its expiry is known, only one partition is read.
pub(super) async fn token_on(
    connection: &mut Connection,
    jti: Uuid,
    expires_at: Option<i64>,
) -> std::result::Result<Option<StoredToken>, Failure> {
    let rows = if let Some(expires_at) = expires_at {
        let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                   WHERE jti = $1 AND expires_at = $2";
        connection.query(sql, &[&jti, &Seconds(expires_at)]).await?
    } else {
        let (after, until) = row::expiry_range(&jti);
        let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                   WHERE jti = $1 AND expires_at > least($2::timestamptz, now()) AND expires_at <= $3 LIMIT 1";
        connection.query(sql, &[&jti, &Seconds(after), &Seconds(until)]).await?
    };
    rows.first().map(read).transpose()
}

/// The tokens of distinct ids and expiries.
pub(super) async fn tokens_by_id_on(
    connection: &mut Connection,
    wanted: &[(Uuid, i64)],
) -> std::result::Result<Vec<StoredToken>, Failure> {
    let (ids, expiries): (Vec<_>, Vec<_>) = wanted.iter().map(|(jti, at)| (*jti, Seconds(*at))).unzip();
    // `LIMIT` prevents the planner from turning the inner query into a join, which might read whole partitions. With
    // it there is one lookup per token, in the partition of its expiry.
    let sql = "SELECT t.* FROM unnest($1::uuid[], $2::timestamptz[]) AS wanted (jti, expires_at),
               LATERAL (SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                        WHERE jti = wanted.jti AND expires_at = wanted.expires_at LIMIT 1) AS t";
    let rows = connection.query(sql, &[&ids, &expiries]).await?;
    rows.iter().map(read).collect()
}

/// A page of a client's unexpired tokens. In a transaction, for its time limit.
pub(super) async fn list_tokens_on(
    connection: &mut Connection,
    client_id: &str,
    now: i64,
    cursor: Option<Uuid>,
    limit: usize,
) -> std::result::Result<Page<StoredToken>, Failure> {
    // Merges backward scans of the partitions' primary keys and stops at the limit: no index by client is needed.
    let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
               WHERE client_id = $1 AND expires_at > $2 AND jti < $3 ORDER BY jti DESC LIMIT $4";
    let before = cursor.unwrap_or(Uuid::max());
    let rows = connection
        .query(sql, &[&client_id, &Seconds(now), &before, &(limit as i64 + 1)])
        .await?;
    let items = rows.iter().map(read).collect::<std::result::Result<_, Failure>>()?;
    Ok(Page::cut(items, limit, |token: &StoredToken| {
        token.record.jti.to_string()
    }))
}

fn read(r: &Row) -> std::result::Result<StoredToken, Failure> {
    let secret_hash: Option<&[u8]> = r.try_get(7)?;
    Ok(StoredToken {
        record: TokenRecord {
            jti: r.try_get(0)?,
            expires_at: r.try_get::<_, Seconds>(1)?.0,
            client_id: r.try_get::<_, &str>(2)?.into(),
            scope: r.try_get::<_, &str>(4)?.into(),
            audience: r.try_get::<_, &str>(5)?.into(),
            format: row::format_from_code(r.try_get(6)?)?,
            secret_hash: secret_hash.map(row::hash).transpose()?,
        },
        user_id: r.try_get(3)?,
    })
}
