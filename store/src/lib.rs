//! The domain model of `oauth2_server` and its store.
//!
//! - [`model`]: plain types shared by services, actor messages and database rows.
//! - [`Store`]: a closed enum of atomic verbs over Postgres and SQLite.
//! - [`StoreError`]: why a verb failed.

pub mod model;

mod columns;
mod error;
mod migrations;
mod options;
mod postgres;
mod replica;
mod reports;
mod row;
mod server_change;
mod sqlite;
mod store;
mod write_health;

pub use error::{ErrorClass, ErrorCounts, Result, StoreError};
pub use model::client::LoadedRow;
pub use model::log::LogPosition;
pub use options::{Location, Pooler, ReadReplica, StoreOptions};
pub use replica::{Fallback, ReadCounts, ReplicaState, ReplicaStatus};
pub use reports::{FileFigures, LedgerFigures, Maintenance, PoolUse};
pub use server_change::ServerChange;
pub use store::{LedgerWriter, Notifications, Reads, Store, check_url, client_key_file};
pub use write_health::WriteHealth;
