//! Reads that a replica may answer: those that decide nothing, or whose misses are confirmed by the primary.

use uuid::Uuid;

use super::Store;
use crate::error::Result;
use crate::model::{AuditFilter, AuditPosition, AuditRow, Page, StoredToken};
use crate::replica::{ReadCounts, ReplicaStatus};

/// Calls the first verb on Postgres and the second on SQLite, and counts its failure.
macro_rules! read {
    ($self:ident, $on_postgres:ident($($of_postgres:expr),*), $on_sqlite:ident($($of_sqlite:expr),*)) => {{
        let outcome = match $self.0 {
            Store::Postgres(store) => store.$on_postgres($($of_postgres),*).await,
            Store::Sqlite(store) => store.$on_sqlite($($of_sqlite),*).await,
        };
        $self.0.error_counts().observe(&outcome);
        outcome
    }};
}

/// The reads of a store that its replica may answer. Without a replica, and for whatever it cannot answer, the primary does.
#[derive(Debug)]
pub struct Reads<'a>(&'a Store);

impl Store {
    /// The reads that the replica may answer.
    pub fn reads(&self) -> Reads<'_> {
        Reads(self)
    }

    /// Compares the replica with the primary, and decides whether reads go there until the next check. `None`: there is no replica.
    pub async fn check_replica(&self) -> Option<ReplicaStatus> {
        match self {
            Self::Postgres(store) => store.check_replica().await,
            Self::Sqlite(_) => None,
        }
    }

    /// The replica, as of its last check.
    pub fn replica_status(&self) -> Option<ReplicaStatus> {
        match self {
            Self::Postgres(store) => store.replica_status(),
            Self::Sqlite(_) => None,
        }
    }

    /// How many [`Reads`] each server answered. `None`: there is no replica.
    pub fn read_counts(&self) -> Option<&ReadCounts> {
        match self {
            Self::Postgres(store) => store.read_counts(),
            Self::Sqlite(_) => None,
        }
    }
}

impl Reads<'_> {
    /// As [`Store::token`]. Absent is what the primary says: a replica may not have it yet.
    pub async fn token(&self, jti: Uuid, expires_at: i64) -> Result<Option<StoredToken>> {
        read!(self, read_token(jti, expires_at), token(jti, Some(expires_at)))
    }

    /// As [`Store::tokens_by_id`]. Absent is what the primary says.
    pub async fn tokens_by_id(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        read!(self, read_tokens_by_id(wanted), tokens_by_id(wanted))
    }

    /// As [`Store::list_tokens`]: with everything that was committed when it was called.
    pub async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        read!(
            self,
            read_token_list(client_id, now, cursor, limit),
            list_tokens(client_id, now, cursor, limit)
        )
    }

    /// As [`Store::audit`]: with everything that was committed when it was called.
    pub async fn audit(&self, filter: &AuditFilter, from: AuditPosition, limit: usize) -> Result<Vec<AuditRow>> {
        read!(self, read_audit(filter, from, limit), audit(filter, from, limit))
    }
}
