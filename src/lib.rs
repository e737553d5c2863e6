//! `oauth2_server`: an OAuth 2.0 authorization server for high-volume issuance of API tokens.
//!
//! Dependencies point one way: `main` -> [`cli`], [`app`] -> [`http`] -> [`service`] -> [`protocol`], [`tokens`], [`keys`]; services
//! reach the actors (crate `oauth2_actors`) and the store (crate `oauth2_store`). HTTP and the command line call the same services.
//!
//! - [`app`]: the composition root: wires everything, starts and drains.
//! - [`cli`]: one subcommand per file; [`failure`]: why one ended without success.
//! - [`config`]: environment over file over defaults; one section per file.
//! - [`http`]: every URL, one endpoint per file.
//! - [`service`]: the use cases.
//! - [`protocol`]: OAuth rules without I/O. [`tokens`]: the three formats. [`keys`]: signing keys.

pub mod app;
pub mod cli;
pub mod config;
pub mod failure;
pub mod http;
pub mod keys;
pub mod protocol;
pub mod service;
pub mod tokens;
