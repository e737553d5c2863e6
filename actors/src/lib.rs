//! The supervised actors that own the state of `oauth2_server`.
//!
//! - [`runtime`]: mailboxes with bounds and deadlines, supervision, background jobs, clocks. The only module that works around
//!   actix's pitfalls.
//! - [`store_gateway`], [`token_store`], [`revocation_cache`], [`rate_limiter`], [`quota_keeper`], [`key_keeper`],
//!   [`audit_writer`], [`metrics`]: one actor per file. An actor names no other actor.
//! - [`bus`]: the actor that announces committed changes to other nodes, by [`hints`].
//! - [`shared_redis`], [`issuer_key`]: the Redis and the secret key that the nodes of an issuer share.
//! - [`key_fetches`]: the verifiers that fetch the published key sets.
//! - [`directory`]: the clients and keys that request handlers read without a mailbox.
//! - [`network`]: how many addresses one caller can have.
//! - [`freshness`]: when a published view last agreed with the store.
//! - [`error`]: why an actor did not reply.
//!
//! To add an actor: its file, its line here, and its `supervise` call in the server's composition root.

pub mod audit_writer;
pub mod bus;
pub mod directory;
pub mod error;
pub mod freshness;
pub mod hints;
pub mod issuer_key;
pub mod key_fetches;
pub mod key_keeper;
pub mod metrics;
pub mod network;
pub mod quota_keeper;
pub mod rate_limiter;
pub mod revocation_cache;
pub mod runtime;
pub mod shared_redis;
pub mod store_gateway;
pub mod token_store;
