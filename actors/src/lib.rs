//! The supervised actors that own the state of `oauth2_server`, the store behind them, and nothing of HTTP.
//!
//! - [`model`]: the plain types that messages and stores carry.
//! - [`store`]: one closed enum of atomic verbs over Postgres and SQLite. Knows no actor.
//! - [`runtime`]: mailboxes with bounds and deadlines, supervision, clocks. The only place that knows actix's sharp edges.
//! - [`token_store`], [`recorder`], [`revocation_cache`], [`rate_limiter`], [`quota_keeper`],
//!   [`key_keeper`], [`signer`], [`audit_writer`], [`metrics`]: one actor
//!   a file.
//! - [`directory`]: the snapshots of clients and keys that request handlers read without a mailbox.
//! - [`freshness`]: when something published last agreed with the store.

pub mod audit_writer;
pub mod directory;
pub mod error;
pub mod freshness;

pub mod key_keeper;
pub mod metrics;
pub mod model;
pub mod quota_keeper;
pub mod rate_limiter;
pub mod recorder;
pub mod revocation_cache;
pub mod runtime;
pub mod signer;
pub mod store;
pub mod token_store;
