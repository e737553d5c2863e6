//! The Postgres backend.
//!
//! A verb is one statement where possible (one autocommit round trip), so most verbs cannot leave a transaction open. A
//! connection is closed instead of reused if a verb was cancelled on it, if it lost its server, or if its server no longer
//! accepts writes.

mod audit;
mod backends;
mod batch;
mod capacity;
mod client_rows;
mod clients;
mod connection;
mod failure;
mod generation;
mod groups;
mod hosts;
mod id_clock;
mod key_rows;
mod key_verifiers;
mod keys;
mod maintenance;
mod names;
mod notifications;
mod opener;
mod param;
mod pool;
mod probe;
mod quotas;
mod reads;
mod remembered;
mod replica;
mod revocations;
mod schema;
mod seconds;
mod snapshot;
mod timeouts;
mod tls;
mod tokens;
mod url;
mod verify_only_keys;
mod wal;

pub use notifications::Notifications;
pub use pool::PostgresStore;
pub use tokens::LedgerWriter;

pub(super) use maintenance::partitions_needed;
pub(super) use url::{check as check_url, client_key_file};
