//! The use cases. HTTP and the command line both parse a request, call one of these, and render the answer.
//!
//! - Tokens: [`issue`] (one to a client, many to an operator), [`verify`], [`introspect`], [`inspect`], [`revoke`], [`cut_offs`],
//!   [`records`].
//! - Clients and limits: [`authenticate`], [`clients`], [`limits`], [`quotas`].
//! - Operation: [`operators`], [`keys`], [`audit`], [`readiness`], [`diagnosis`].
//! - Two ports: [`store_access`] and [`ledger_access`]. Published state: [`views`], [`published_keys`].
//! - [`error`]: reasons of rejections and failures; [`operator`]: the operator of an administrative use case; [`rejections`]: their rows in
//!   the audit log.
//! - Shared values: [`cursor`], [`document`], [`limit_status`], [`page`], [`token_ref`], [`schema`].

pub mod audit;
pub mod authenticate;
pub mod buckets;
pub mod clients;
pub mod compress;
pub mod cursor;
pub mod cut_offs;
pub mod diagnosis;
pub mod document;
pub mod error;
pub mod fallback;
pub mod groups;
pub mod idempotency;
pub mod inspect;
pub mod introspect;
pub mod issue;
pub mod keys;
pub mod ledger_access;
pub mod limit_status;
pub mod limits;
pub mod members;
pub mod migration;
pub mod operator;
pub mod operators;
pub mod page;
pub mod parameter;
pub mod published_keys;
pub mod quotas;
pub mod readiness;
pub mod records;
pub mod rejections;
pub mod reread;
pub mod restore;
pub mod revoke;
pub mod schema;
pub mod store_access;
pub mod token_ref;
pub mod verify;
pub mod views;
