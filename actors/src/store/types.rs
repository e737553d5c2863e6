//! What a store is opened with, and what its verbs carry beside the models.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Client, ClientSecret};

/// Where the store is and how it may be used.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which store.
    pub location: Location,
    /// Connections at the most, those of the ledger writers among them (Postgres).
    pub max_connections: u32,
    /// Ledger writers that there will be, each with a connection of its own (Postgres).
    pub ledger_writers: u32,
    /// Idle connections kept open (Postgres).
    pub min_connections: u32,
    /// A file with the password, read whenever a connection is opened (Postgres); `None` = the URL's.
    pub password_file: Option<PathBuf>,
    /// What is between here and the server (Postgres).
    pub pooler: Pooler,
    /// Bound on opening a connection.
    pub connect_timeout: Duration,
    /// After this long unused, a connection above the minimum is closed.
    pub idle_timeout: Duration,
    /// Bound on waiting for a pooled connection.
    pub acquire_timeout: Duration,
}

/// What may be between this process and the sessions of a Postgres server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Nothing, or what gives a connection a session of its own.
    #[default]
    None,
    /// A pooler that lends sessions by the transaction: nothing of a session lasts longer.
    Transaction,
}

/// Which store, and where.
#[derive(Clone)]
pub enum Location {
    /// A file; its directory is made when it is missing.
    Sqlite(PathBuf),
    /// A `postgres://` URL. Holds the password: never print it.
    Postgres(String),
}

// The URL holds a password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.debug_tuple("Postgres").finish_non_exhaustive(),
        }
    }
}

/// A position in the revocation log or the audit log up to which everything has been read. Opaque; `default()` = nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPosition {
    pub(crate) at: i64,
    /// Which run of the database counted so far: after a restart, a failover or a restore, positions may count anew.
    pub(crate) run: i64,
}

impl LogPosition {
    /// Whether the two positions were taken in the same log, so that what lies between them can be told.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.run == other.run
    }
}

/// How many connections are in use, open, and allowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolUse {
    /// Doing work now.
    pub active: u32,
    /// Open, working or not.
    pub open: u32,
    /// The bound.
    pub max: u32,
}

/// A part of what there is to know of all clients.
#[derive(Debug)]
pub enum Loaded {
    /// A client; its secrets may follow.
    Client(Client),
    /// The next older secret of a client that was told before.
    Secret(String, ClientSecret),
}

/// What one round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Partitions made ahead (Postgres).
    pub partitions_created: u32,
    /// Expired partitions dropped (Postgres).
    pub partitions_dropped: u32,
    /// Partitions that exist now, the default one not counted (Postgres).
    pub partitions: u32,
    /// Rows in the default partition: the maker fell behind when they came (Postgres).
    pub default_partition_rows: u64,
    /// Expired token rows deleted one by one (SQLite; Postgres: from the default partition).
    pub tokens_deleted: u64,
    /// Log rows deleted because nothing they name can still be valid.
    pub revocations_deleted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_without_the_password() {
        let options = StoreOptions {
            location: Location::Postgres("postgres://user:hunter2@127.0.0.1/name".to_owned()),
            max_connections: 4,
            ledger_writers: 1,
            min_connections: 0,
            password_file: None,
            pooler: Pooler::None,
            connect_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            acquire_timeout: Duration::ZERO,
        };
        let shown = format!("{options:?} {:#?}", options.location);
        assert!(shown.contains("Postgres") && !shown.contains("hunter2"), "{shown}");
    }
}
