//! The store: a closed enum of atomic verbs over Postgres and SQLite.
//!
//! Each verb is one transaction; no transaction type leaves the crate, and callers do not depend on the backend. What must
//! happen only once (registering a client id, updating a row that has not changed since it was read) is decided by the
//! database in the statement that writes. A verb that changes data writes its audit row in the same transaction. A missing
//! row is `Ok(None)` or `Ok(false)`, never an error.
//!
//! Each aggregate has one file here and one in each backend: a new verb is a method in these three.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::{ErrorCounts, Result};
use crate::options::{Location, StoreOptions};
use crate::reports::{FileFigures, PoolUse};
use crate::server_change::ServerChange;
use crate::write_health::WriteHealth;
use crate::{postgres, sqlite};

/// Calls a verb of the same name on the backend, and counts its failure.
macro_rules! dispatch {
    ($self:ident.$verb:ident($($arg:expr),*)) => {{
        let outcome = match $self {
            Store::Postgres(store) => store.$verb($($arg),*).await,
            Store::Sqlite(store) => store.$verb($($arg),*).await,
        };
        $self.error_counts().observe(&outcome);
        outcome
    }};
}

mod audit;
mod capacity;
mod clients;
mod groups;
mod id_clock;
mod key_verifiers;
mod keys;
mod notifications;
mod quotas;
mod reads;
mod remembered;
mod revocations;
mod schema;
mod tokens;
mod verify_only_keys;

pub use crate::postgres::Notifications;
pub use reads::Reads;
pub use tokens::LedgerWriter;

/// Checks a `postgres://` URL without opening a file or a connection. The error is a clause that follows the name of the
/// parameter and repeats nothing that may be secret.
pub fn check_url(url: &str) -> std::result::Result<(), String> {
    postgres::check_url(url)
}

/// The file with the client's private key that a Postgres URL names (`sslkey`).
pub fn client_key_file(url: &str) -> Option<PathBuf> {
    postgres::client_key_file(url)
}

/// A handle on the store; clones share its connections.
#[derive(Debug, Clone)]
pub enum Store {
    /// A pool of connections to a server.
    Postgres(postgres::PostgresStore),
    /// An embedded file: one writer thread and read-only connections.
    Sqlite(sqlite::SqliteStore),
}

impl Store {
    /// Opens the store without touching its schema. SQLite: opens the file and creates it when it is missing. Postgres:
    /// builds the pool without connecting, so the first verb reports an unreachable server.
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

    /// Describes for operators how connections are protected, for example `TLS, unverified (sslmode=require)`; `None` for
    /// SQLite.
    pub fn transport_security(&self) -> Option<String> {
        match self {
            Self::Postgres(store) => Some(store.transport_security()),
            Self::Sqlite(_) => None,
        }
    }

    /// How often the last known addresses of the database were used, because its host name was not resolved.
    pub fn stale_addresses(&self) -> u64 {
        match self {
            Self::Postgres(store) => store.stale_addresses(),
            Self::Sqlite(_) => 0,
        }
    }

    /// When this process went over to another server.
    pub fn server_change(&self) -> ServerChange {
        match self {
            Self::Postgres(store) => store.server_change().clone(),
            Self::Sqlite(_) => ServerChange::default(),
        }
    }

    /// Makes a trivial round trip; returns the store's clock in Unix milliseconds.
    pub async fn ping(&self) -> Result<u64> {
        dispatch!(self.ping())
    }

    /// Whether the store accepts writes, as far as this process knows.
    pub fn write_health(&self) -> &WriteHealth {
        match self {
            Self::Postgres(store) => &store.writes,
            Self::Sqlite(store) => store.writes(),
        }
    }

    /// Writes to the ledger and leaves nothing behind; records the outcome in [`Self::write_health`]. `is_thorough`: writes so much
    /// that a full disk cannot hold it in the pages that the store has already.
    pub async fn probe_writes(&self, is_thorough: bool) -> Result<()> {
        let began = Instant::now();
        let outcome = dispatch!(self.probe_writes(is_thorough));
        self.write_health().observe_probe(&outcome, began);
        outcome
    }

    /// How many verbs and batches failed in this process.
    pub fn error_counts(&self) -> &ErrorCounts {
        match self {
            Self::Postgres(store) => &store.errors,
            Self::Sqlite(store) => store.errors(),
        }
    }

    /// The file of an embedded store.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(store) => Some(store.path()),
        }
    }

    /// Figures of the files of an embedded store.
    pub fn file_figures(&self) -> Option<FileFigures> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(store) => Some(store.file_figures()),
        }
    }

    /// Number of connections now.
    pub fn pool_use(&self) -> PoolUse {
        match self {
            Self::Postgres(store) => store.pool_use(),
            Self::Sqlite(store) => store.pool_use(),
        }
    }
}
