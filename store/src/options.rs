//! Options for opening a store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Location and limits of a store. Fields marked (Postgres) have no effect on SQLite.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database.
    pub location: Location,
    /// Maximum number of connections, including one for each ledger writer (Postgres).
    pub max_connections: u32,
    /// Number of ledger writers, each with a connection of its own (Postgres).
    pub ledger_writers: u32,
    /// Number of idle connections kept open (Postgres).
    pub min_connections: u32,
    /// File that holds the password, read each time a connection is opened (Postgres); `None` = the password in the URL.
    pub password_file: Option<PathBuf>,
    /// The kind of pooler between this process and the server (Postgres).
    pub pooler: Pooler,
    /// Where to listen to other nodes (Postgres): the same database without the pooler. `None`: at the location itself.
    pub listen_at: Option<Location>,
    /// A replica that may answer reads (Postgres); `None`: the primary answers all of them.
    pub read_at: Option<ReadReplica>,
    /// Time limit for opening a connection.
    pub connect_timeout: Duration,
    /// Idle time after which a connection above the minimum is closed.
    pub idle_timeout: Duration,
    /// The least time that a write waits for the lock of another process (SQLite): a job of many steps waits longer than a request
    /// may.
    pub min_lock_wait: Duration,
    /// Time limit for obtaining a connection from the pool.
    pub acquire_timeout: Duration,
}

/// The pooler between this process and a Postgres server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// No pooler, or one in session mode: each connection has its own server session.
    #[default]
    None,
    /// A pooler in transaction mode: a connection has a server session for one transaction at a time.
    Transaction,
}

/// The kind of database and its address.
#[derive(Clone)]
pub enum Location {
    /// An SQLite file; its directory is created when it is missing.
    Sqlite(PathBuf),
    /// A `postgres://` URL. It may hold the password: never print it.
    Postgres(String),
}

/// A streaming replica that may answer reads.
#[derive(Clone)]
pub struct ReadReplica {
    /// Its `postgres://` URL. It may hold the password: never print it.
    pub url: String,
    /// Maximum number of connections to it.
    pub max_connections: u32,
    /// A replica that may miss changes of a longer time is not read from.
    pub max_lag: Duration,
}

// Written by hand because the URL may hold a password.
impl fmt::Debug for ReadReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadReplica")
            .field("max_lag", &self.max_lag)
            .finish_non_exhaustive()
    }
}

// Written by hand because the URL may hold a password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.debug_tuple("Postgres").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_password() {
        let options = StoreOptions {
            location: Location::Postgres("postgres://user:hunter2@127.0.0.1/name".to_owned()),
            max_connections: 4,
            ledger_writers: 1,
            min_connections: 0,
            password_file: None,
            pooler: Pooler::None,
            listen_at: None,
            read_at: Some(ReadReplica {
                url: "postgres://user:hunter3@127.0.0.1/name".to_owned(),
                max_connections: 1,
                max_lag: Duration::ZERO,
            }),
            connect_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            min_lock_wait: Duration::ZERO,
            acquire_timeout: Duration::ZERO,
        };
        let shown = format!("{options:?} {:#?}", options.location);
        assert!(shown.contains("Postgres") && !shown.contains("hunter"), "{shown}");
    }
}
