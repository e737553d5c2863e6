//! A store for the tests of actors that use one.

use std::time::Duration;

use oauth2_store::{Location, Pooler, Store, StoreOptions};
use tempfile::TempDir;

/// Generous: reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A migrated, empty `SQLite` store, and its directory, which must outlive it.
pub async fn sqlite_store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        location: Location::Sqlite(directory.path().join("oauth2.db")),
        max_connections: 2,
        ledger_writers: 1,
        min_connections: 0,
        connect_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        min_lock_wait: Duration::ZERO,
        acquire_timeout: PATIENCE,
        password_file: None,
        pooler: Pooler::None,
        listen_at: None,
        read_at: None,
    };
    let store = Store::open(&options).await.unwrap();
    store.migrate().await.unwrap();
    (store, directory)
}
