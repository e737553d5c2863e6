//! The store: a closed enum of atomic verbs over Postgres and `SQLite`.
//!
//! Each verb is one transaction; no transaction type leaves this module and no caller sees which store it talks to.
//! What must be decided once (a name taken, a row unchanged since it was read) is decided by the database in the
//! statement that writes. A verb that changes something writes its audit row in the same transaction. "Not there" is
//! `Ok(None)` or `Ok(false)`, never an error.

use uuid::Uuid;

use crate::error::StoreError;
use crate::model::{
    AuditEntry, AuditFilter, AuditPlace, AuditRow, Change, Client, Expiring, Page, Revocation, SecretHash, StoredToken,
    TokenRecord, Usage, Window,
};

mod migrations;
mod postgres;
mod row;
mod sqlite;
mod types;

pub use types::{Loaded, Location, LogPosition, Maintenance, PoolUse, Pooler, StoreOptions};

/// Says what is wrong with a `postgres://` URL, without opening anything: a clause that follows the name of the URL. It repeats
/// nothing that may be secret.
pub fn check_url(url: &str) -> std::result::Result<(), String> {
    postgres::check_url(url)
}

/// What every verb answers.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A handle on the store; clones share it.
#[derive(Debug, Clone)]
pub enum Store {
    /// Through bb8.
    Postgres(postgres::PostgresStore),
    /// One writer thread, read-only connections beside it.
    Sqlite(sqlite::SqliteStore),
}

/// The connection that the ledger's batches go through, apart from the pool, so that nothing else can hold it up.
#[derive(Debug)]
pub enum LedgerWriter {
    /// A connection of its own, opened again when it is lost.
    Postgres(postgres::LedgerWriter),
    /// The writer thread that all writes of the file go through.
    Sqlite(sqlite::SqliteStore),
}

macro_rules! dispatch {
    ($self:ident.$verb:ident($($arg:expr),*)) => {
        match $self {
            Store::Postgres(store) => store.$verb($($arg),*).await,
            Store::Sqlite(store) => store.$verb($($arg),*).await,
        }
    };
}

mod key_verbs;

impl Store {
    /// Opens the store without touching its schema. SQLite: opens the file (made when missing). Postgres: builds the pool
    /// lazily; an unreachable server is found by the first verb, not here.
    pub async fn open(options: &StoreOptions) -> Result<Self> {
        Ok(match &options.location {
            Location::Sqlite(path) => Self::Sqlite(sqlite::SqliteStore::open(path, options).await?),
            Location::Postgres(url) => Self::Postgres(postgres::PostgresStore::open(url, options).await?),
        })
    }

    /// `postgres` or `sqlite`, for messages and labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// How connections are protected, for people; `None` where there are none.
    pub fn protection(&self) -> Option<String> {
        match self {
            Self::Postgres(store) => Some(store.protection()),
            Self::Sqlite(_) => None,
        }
    }

    /// Brings the schema up to this binary's version; answers how many steps were taken. Safe beside other nodes.
    /// [`StoreError::Corrupt`] when the schema is newer than this binary knows, or not the one it made.
    pub async fn migrate(&self) -> Result<usize> {
        dispatch!(self.migrate())
    }

    /// The schema's version, `None` before the first migration. Fails as [`Self::migrate`] does on a newer or unknown schema.
    pub async fn schema_version(&self) -> Result<Option<i64>> {
        dispatch!(self.schema_version())
    }

    /// The version of the schema that this binary wants.
    pub fn wanted_schema_version(&self) -> i64 {
        migrations::latest(self.kind())
    }

    /// One trivial round trip, with the store's clock in Unix milliseconds.
    pub async fn ping(&self) -> Result<u64> {
        dispatch!(self.ping())
    }

    /// Pool figures of this moment.
    pub fn pool_use(&self) -> PoolUse {
        match self {
            Self::Postgres(store) => store.pool_use(),
            Self::Sqlite(store) => store.pool_use(),
        }
    }

    /// A writer for batches of tokens. Opens nothing yet.
    pub fn ledger_writer(&self) -> LedgerWriter {
        match self {
            Self::Postgres(store) => LedgerWriter::Postgres(store.ledger_writer()),
            Self::Sqlite(store) => LedgerWriter::Sqlite(store.clone()),
        }
    }

    /// Finds a token by id. `expires_at`, where known, leads to one partition.
    pub async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        dispatch!(self.token(jti, expires_at))
    }

    /// Finds tokens by id and expiry, in one round trip: those that are there, each once, in no order.
    pub async fn tokens_of(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        dispatch!(self.tokens_of(wanted))
    }

    /// Tokens of a client, newest first. The cursor is the last `jti` of the page before. Expired rows not yet purged are left out.
    pub async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        dispatch!(self.list_tokens(client_id, now, cursor, limit))
    }

    /// Appends one row to the revocation log, with its audit row. Revoking again is no error.
    pub async fn revoke(&self, revocation: &Revocation, now_ms: u64, audit: &AuditEntry) -> Result<()> {
        dispatch!(self.revoke(revocation, now_ms, audit))?;
        let (kind, id) = row::target(&revocation.target);
        tell(audit, kind, &id);
        Ok(())
    }

    /// What the revocation log gained since `from`, and the position to go on from. A row may be handed out more than
    /// once, all of them where `from` was taken in another run of the database; none is ever left out, in whatever order
    /// transactions commit.
    pub async fn revocations_since(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        dispatch!(self.revocations_since(from))
    }

    /// Registers a client with its secrets. [`StoreError::Conflict`] when the id is taken. `true`: there was a client of
    /// this id before, and a cut-off at `now_ms` was appended that keeps everything dead that it was given, also by nodes
    /// that had not heard of its end.
    pub async fn create_client(&self, client: &Client, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.create_client(client, now_ms, audit))?;
        tell(audit, "client", &client.client_id);
        Ok(done)
    }

    /// The clients that there are of these, in no order.
    pub async fn clients_named(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        dispatch!(self.clients_named(client_ids))
    }

    /// One client with its secrets.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        dispatch!(self.client(client_id))
    }

    /// Clients by id, ascending, whose ids begin with a prefix. The cursor is the last id of the page before.
    pub async fn list_clients(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page<Client>> {
        dispatch!(self.list_clients(prefix, cursor, limit))
    }

    /// Writes a client's fields (all but `client_id`, `created_at`, `version` and its secrets) if its version is still
    /// `client.version`; the stored version grows by one. `Ok(false)`: no such client. [`StoreError::Conflict`]: it changed meanwhile.
    pub async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.update_client(client, now, audit))?;
        if done {
            tell(audit, "client", &client.client_id);
        }
        Ok(done)
    }

    /// Removes a client and its secrets, and appends the cut-off that keeps its tokens dead should the name be made again.
    pub async fn delete_client(&self, client_id: &str, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.delete_client(client_id, now_ms, audit))?;
        if done {
            tell(audit, "client", client_id);
        }
        Ok(done)
    }

    /// Adds a secret; the ones that were there expire at `old_expire_at` (or earlier, where they already did); those
    /// expired by `now` are removed. `Ok(false)`: no such client.
    pub async fn rotate_secret(
        &self,
        client_id: &str,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let done = dispatch!(self.rotate_secret(client_id, new, old_expire_at, now, audit))?;
        if done {
            tell(audit, "client", client_id);
        }
        Ok(done)
    }

    /// Writes a chunk of clients, new ones with their secrets and changed ones as [`Self::update_client`] does, all of them or
    /// none, each with its audit row. [`StoreError::Conflict`]: some changed since they were read.
    pub async fn write_clients(
        &self,
        new: &[Client],
        changed: &[Client],
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        dispatch!(self.write_clients(new, changed, now_ms, audit))?;
        for client in new.iter().chain(changed) {
            tell(audit, "client", &client.client_id);
        }
        Ok(())
    }

    /// Reads every client, in any order, and then perhaps secrets that are to be added to those of their clients. An error
    /// may come after some of them.
    pub async fn each_client(&self, take: &mut (dyn FnMut(Loaded) + Send)) -> Result<()> {
        dispatch!(self.each_client(take))
    }

    /// Clients by id, ascending, that come after an id.
    pub async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        dispatch!(self.load_clients(after, limit))
    }

    /// What the audit log says changed since `from`, each change once, and the position to go on from. Never leaves one out;
    /// but a position that is not comparable with `from` means that nothing can be told: everything is to be loaded anew.
    pub async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        dispatch!(self.changes_since(from))
    }

    /// The position of this moment in the audit log: take it before a full load, then go on with [`Self::changes_since`].
    pub async fn changes_position(&self) -> Result<LogPosition> {
        dispatch!(self.changes_position())
    }

    /// Appends an audit row for what is done without any other change.
    pub async fn note(&self, audit: &AuditEntry, target_kind: &str, target_id: &str, at: i64) -> Result<()> {
        dispatch!(self.note(audit, target_kind, target_id, at))?;
        tell(audit, target_kind, target_id);
        Ok(())
    }

    /// Appends many revocations, each with its audit row, all of them or none.
    pub async fn revoke_many(&self, revocations: &[Revocation], now_ms: u64, audit: &AuditEntry) -> Result<()> {
        dispatch!(self.revoke_many(revocations, now_ms, audit))?;
        for revocation in revocations {
            let (kind, id) = row::target(&revocation.target);
            tell(audit, kind, &id);
        }
        Ok(())
    }

    /// Rows of the audit log, from a place in one direction. What still runs is left out, so nothing ever comes in before a row
    /// that was read.
    pub async fn audit(&self, filter: &AuditFilter, place: AuditPlace, limit: usize) -> Result<Vec<AuditRow>> {
        dispatch!(self.audit(filter, place, limit))
    }

    /// What was used of quotas, in the order of clients and windows, from behind a row.
    pub async fn quota_usage(&self, after: Option<(&str, Window)>, limit: usize) -> Result<Vec<Usage>> {
        dispatch!(self.quota_usage(after, limit))
    }

    /// What these clients have used, in no order.
    pub async fn quota_usage_of(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
        dispatch!(self.quota_usage_of(client_ids))
    }

    /// Adds to what was used, all of it or none; answers what is used now, by every node's count.
    pub async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        dispatch!(self.add_quota_usage(usages))
    }

    /// Forgets what was used of windows that began before a moment; answers how many there were.
    pub async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        dispatch!(self.purge_quota_usage(before))
    }

    /// How many recorded tokens of each client expire in each minute after `now`, of those that were issued before a moment. At
    /// most half a million clients' minutes, of whichever.
    pub async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<Expiring>> {
        dispatch!(self.expiring_tokens(now, before_ms))
    }

    /// The clients with the most recorded tokens that expire after `now`, and how many.
    pub async fn top_clients(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        dispatch!(self.top_clients(now, limit))
    }

    /// Deletes audit rows of before a moment, in small steps; answers how many.
    pub async fn purge_audit(&self, before: i64) -> Result<u64> {
        dispatch!(self.purge_audit(before))
    }

    /// Makes room ahead and clears what has expired, in small steps that never hold a lock for long.
    /// `horizon` is the longest life (seconds) that a token issued now may have.
    pub async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        dispatch!(self.maintain(now, horizon))
    }
}

/// The log's line for a row of the audit log, once it is committed.
fn tell(audit: &AuditEntry, target_kind: &str, target_id: &str) {
    let (actor, action, detail) = (&audit.actor, audit.action, &audit.detail);
    tracing::info!(target: "audit", actor, action, target_kind, target_id, %detail, "audited");
}

impl LedgerWriter {
    /// Makes ready what the first batch needs, for as long as a caller may wait for it; the rest goes on by itself.
    pub async fn prepare(&mut self) {
        match self {
            Self::Postgres(writer) => writer.prepare().await,
            Self::Sqlite(_) => {}
        }
    }

    /// Commits a batch: all rows durable, or none. `SQLite` and Postgres alike answer only after the commit is on disk.
    pub async fn commit(&mut self, batch: &[TokenRecord]) -> Result<()> {
        match self {
            Self::Postgres(writer) => writer.commit(batch).await,
            Self::Sqlite(store) => store.commit(batch.to_vec()).await,
        }
    }
}
