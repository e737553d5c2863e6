//! Reads that the replica may answer. Whatever is wrong with it, the primary answers.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::time::timeout;
use uuid::Uuid;

use super::audit::audit_on;
use super::pool::{PostgresStore, with_connection};
use super::replica::{Need, Replica};
use super::timeouts::ORDINARY;
use super::tokens::{list_tokens_on, token_on, tokens_by_id_on};
use super::wal::{POSITION, Position, WRITTEN};
use crate::error::Result;
use crate::model::{AuditFilter, AuditPosition, AuditRow, Page, StoredToken};
use crate::replica::{Fallback, ReadCounts, ReplicaStatus};
use crate::row;

/// How long the replica may take before the primary is asked as well.
#[derive(Clone, Copy, PartialEq)]
enum Patience {
    /// To find tokens by their ids. The deadline of introspection is 1 s.
    Find,
    /// To read a list, which may read many rows. The deadline of the admin API is 5 s.
    List,
}

impl Patience {
    fn limit(self) -> Duration {
        match self {
            Self::Find => Duration::from_millis(150),
            Self::List => Duration::from_secs(1),
        }
    }
}

impl PostgresStore {
    /// The state of the replica as of its last check.
    pub(crate) fn replica_status(&self) -> Option<ReplicaStatus> {
        self.replica.as_ref().map(|replica| replica.status())
    }

    pub(crate) fn read_counts(&self) -> Option<&ReadCounts> {
        self.replica.as_ref().map(|replica| &replica.counts)
    }

    /// Compares the replica with the primary, and decides whether it is read from.
    pub(crate) async fn check_replica(&self) -> Option<ReplicaStatus> {
        let replica = self.replica.as_ref()?;
        // First the replica: if it is ahead of what the primary has later, it does not follow this primary.
        let found = replica.check().await;
        let asked = Instant::now();
        let primary = self.wal_position(POSITION).await;
        Some(replica.conclude(found, primary.ok().map(|position| (asked, position))))
    }

    pub(crate) async fn read_token(&self, jti: Uuid, expires_at: i64) -> Result<Option<StoredToken>> {
        let primary = self.token(jti, Some(expires_at));
        let Some(replica) = &self.replica else {
            return primary.await;
        };
        let read = async {
            let found = replica.run(Need::Recent, async |connection| {
                token_on(connection, jti, Some(expires_at)).await
            });
            found.await?.map(Some).ok_or(Fallback::Missing)
        };
        Box::pin(replica.or_primary(Patience::Find, read, primary)).await
    }

    pub(crate) async fn read_tokens_by_id(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        let primary = self.tokens_by_id(wanted);
        let Some(replica) = &self.replica else {
            return primary.await;
        };
        let distinct = row::distinct(wanted);
        if distinct.is_empty() {
            return Ok(Vec::new());
        }
        let read = async {
            let found = replica.run(Need::Recent, async |connection| {
                tokens_by_id_on(connection, &distinct).await
            });
            let found = found.await?;
            if found.len() == distinct.len() {
                Ok(found)
            } else {
                Err(Fallback::Missing)
            }
        };
        Box::pin(replica.or_primary(Patience::Find, read, primary)).await
    }

    pub(crate) async fn read_token_list(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        let primary = self.list_tokens(client_id, now, cursor, limit);
        let Some(replica) = &self.replica else {
            return primary.await;
        };
        let read = async {
            let need = self.everything().await?;
            let listed = replica.run(need, async |connection| {
                list_tokens_on(connection, client_id, now, cursor, limit).await
            });
            listed.await
        };
        Box::pin(replica.or_primary(Patience::List, read, primary)).await
    }

    pub(crate) async fn read_audit(
        &self,
        filter: &AuditFilter,
        from: AuditPosition,
        limit: usize,
    ) -> Result<Vec<AuditRow>> {
        let primary = self.audit(filter, from, limit);
        let Some(replica) = &self.replica else {
            return primary.await;
        };
        let read = async {
            let need = self.everything().await?;
            let listed = replica.run(need, async |connection| audit_on(connection, filter, from, limit).await);
            listed.await
        };
        Box::pin(replica.or_primary(Patience::List, read, primary)).await
    }

    /// All that the primary has now: a list shows what its caller has just changed, and no page misses what an earlier one showed.
    async fn everything(&self) -> std::result::Result<Need, Fallback> {
        let position = self.wal_position(WRITTEN).await;
        position.map(Need::Everything).map_err(|_| Fallback::Behind)
    }

    async fn wal_position(&self, sql: &'static str) -> Result<Position> {
        with_connection!(self, ORDINARY, |connection| {
            Position::read(&connection.query_one(sql, &[]).await?)
        })
    }
}

impl Replica {
    /// The answer of the replica; without one, that of the primary. When the patience is exhausted, both are asked, and the first answer
    /// counts.
    async fn or_primary<T>(
        &self,
        patience: Patience,
        read: impl Future<Output = std::result::Result<T, Fallback>>,
        primary: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut read = pin!(read);
        let answer = match timeout(patience.limit(), &mut read).await {
            Ok(Ok(answer)) => {
                self.counts.count_replica();
                return Ok(answer);
            }
            Ok(Err(reason)) => {
                self.counts.count_fallback(reason);
                primary.await
            }
            Err(_) => {
                self.counts.count_fallback(Fallback::Slow);
                if patience == Patience::Find {
                    self.leave_slow("it did not answer in time");
                }
                match first(read, pin!(primary)).await {
                    Ok(answer) => {
                        self.counts.count_replica();
                        return Ok(answer);
                    }
                    Err(of_primary) => of_primary,
                }
            }
        };
        self.counts.count_primary();
        answer
    }
}

/// The first answer: `Ok` is of the replica, `Err` of the primary.
async fn first<T>(
    replica: impl Future<Output = std::result::Result<T, Fallback>> + Unpin,
    primary: impl Future<Output = Result<T>> + Unpin,
) -> std::result::Result<T, Result<T>> {
    match select(replica, primary).await {
        Either::Left((Ok(answer), _)) => Ok(answer),
        Either::Left((Err(_), primary)) => Err(primary.await),
        Either::Right((Ok(answer), _)) => Err(Ok(answer)),
        Either::Right((Err(error), replica)) => replica.await.map_err(|_| Err(error)),
    }
}
