//! The ledger of issued tokens.

use uuid::Uuid;

use super::Store;
use crate::error::Result;
use crate::model::{ExpiringTokens, LedgerEntry, Page, StoredToken};
use crate::{postgres, sqlite};

/// Commits batches of entries to the ledger, independently of the connection pool, so that no other verb can delay it.
#[derive(Debug)]
pub enum LedgerWriter {
    /// A dedicated connection, opened again after it was lost.
    Postgres(postgres::LedgerWriter),
    /// The writer thread of the file.
    Sqlite(sqlite::SqliteStore),
}

impl LedgerWriter {
    /// Opens the connection and prepares the statement for the first batch. Returns after the acquire timeout at the latest;
    /// the connection is then opened in the background.
    pub async fn prepare(&mut self) {
        match self {
            Self::Postgres(writer) => writer.prepare().await,
            Self::Sqlite(_) => {}
        }
    }

    /// Commits a batch, all entries or none. Returns when the commit is on disk.
    pub async fn commit(&mut self, batch: &[LedgerEntry]) -> Result<()> {
        match self {
            Self::Postgres(writer) => writer.commit(batch).await,
            Self::Sqlite(store) => store.commit(batch.to_vec()).await,
        }
    }
}

impl Store {
    /// A writer for batches of ledger entries. It connects on first use.
    pub fn ledger_writer(&self) -> LedgerWriter {
        match self {
            Self::Postgres(store) => LedgerWriter::Postgres(store.ledger_writer()),
            Self::Sqlite(store) => LedgerWriter::Sqlite(store.clone()),
        }
    }

    /// Finds a token by id. If its expiry is known, only one partition is read.
    pub async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        dispatch!(self.token(jti, expires_at))
    }

    /// Finds tokens by id and expiry in one round trip, without duplicates and in no particular order; unknown tokens are left
    /// out.
    pub async fn tokens_by_id(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        dispatch!(self.tokens_by_id(wanted))
    }

    /// A page of a client's unexpired tokens, newest first. The cursor is the last `jti` of the previous page.
    pub async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        dispatch!(self.list_tokens(client_id, now, cursor, limit))
    }

    /// Counts recorded tokens that expire after `now` and were issued before `before_ms`, per client and minute of expiry.
    /// Returns at most [`MAX_EXPIRING_ROWS`] rows, chosen arbitrarily.
    ///
    /// [`MAX_EXPIRING_ROWS`]: crate::model::MAX_EXPIRING_ROWS
    pub async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<ExpiringTokens>> {
        dispatch!(self.expiring_tokens(now, before_ms))
    }

    /// The clients, of a group or of all, with the most recorded tokens that expire after `now`, with the number of these tokens.
    pub async fn top_clients(&self, now: i64, limit: usize, group: Option<&str>) -> Result<Vec<(String, u64)>> {
        dispatch!(self.top_clients(now, limit, group))
    }
}
