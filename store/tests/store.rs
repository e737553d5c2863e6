//! The verbs of the store, on every backend: Postgres, Postgres behind a pooler in transaction mode, and SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

/// Runs each test on Postgres, directly and through a pooler in transaction mode.
macro_rules! on_postgres {
    ($($name:ident),+ $(,)?) => {
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("postgres").await })+ }
        mod pooled { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("pooled").await })+ }
    };
}

/// Runs each test on Postgres, directly and through a pooler, and on SQLite.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        on_postgres!($($name),+);
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("sqlite").await })+ }
    };
}

#[path = "store/audited.rs"]
mod audited;
#[path = "store/both.rs"]
mod both;
#[path = "store/client_owners.rs"]
mod client_owners;
#[path = "store/clients.rs"]
mod clients;
#[path = "store/fixture.rs"]
mod fixture;
#[path = "store/foreign_hashes.rs"]
mod foreign_hashes;
#[path = "store/groups.rs"]
mod groups;
#[path = "store/id_clock.rs"]
mod id_clock;
#[path = "store/key_verifiers.rs"]
mod key_verifiers;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/logs_on_postgres.rs"]
mod logs_on_postgres;
#[path = "store/on_postgres.rs"]
mod on_postgres;
#[path = "store/on_sqlite.rs"]
mod on_sqlite;
#[path = "store/quotas.rs"]
mod quotas;
#[path = "store/remembered.rs"]
mod remembered;
#[path = "store/replica.rs"]
mod replica;
#[path = "store/restored.rs"]
mod restored;
#[path = "store/revocations.rs"]
mod revocations;
#[path = "store/upgrade.rs"]
mod upgrade;
#[path = "store/verify_only_keys.rs"]
mod verify_only_keys;
