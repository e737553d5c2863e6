//! The SQLite backend: one file, one writer thread and two reader threads.

mod audit;
mod backup;
mod checkpoint;
mod client_rows;
mod client_secrets;
mod clients;
mod connection;
mod create;
mod failure;
mod groups;
mod id_clock;
mod key_rows;
mod key_verifiers;
mod keys;
mod maintenance;
mod probe;
mod quotas;
mod remembered;
mod revocations;
mod schema;
mod threads;
mod timeouts;
mod tokens;
mod verify_only_keys;

pub(crate) use create::create;
pub use threads::SqliteStore;
