//! `oauth2_server`: an OAuth 2.0 authorization server for high-volume issuance of API tokens.
//!
//! A request flows `http` -> `oauth` (the rules) -> `tokens` (what is signed); what must last goes to the actors of the crate
//! `oauth2_actors`, whose store commits it.
//!
//! - [`app`]: wires everything, starts and drains. [`startup`], [`first_run`], [`logging`], [`gauges`]: its parts.
//! - [`cli`]: one subcommand a file; [`failure`]: why one ends without having done its work.
//! - [`config`]: environment over file over defaults; one section a file.
//! - [`http`]: every URL, one endpoint a file. [`oauth`]: the protocol, without I/O. [`tokens`]: the three formats and the keys.

pub mod app;
pub mod cli;
pub mod config;
pub mod failure;
pub mod first_run;
pub mod gauges;
pub mod http;
pub mod logging;
pub mod oauth;
pub mod startup;
pub mod tokens;
