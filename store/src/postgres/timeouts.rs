//! Time limits of statements and of verbs.
//!
//! The server's limit of an ordinary statement, 1 s, is set when a session or a transaction begins (`opener.rs`). Most
//! limits here are longer: they apply when the server does not respond at all.

use std::time::Duration;

/// Limit of a rollback.
pub(super) const ROLLBACK: Duration = Duration::from_secs(1);
/// Limit of an ordinary verb.
pub(super) const ORDINARY: Duration = Duration::from_millis(1500);
/// Limit of a verb that reads or writes many rows: longer than [`LONG_STATEMENT`].
pub(super) const LONG: Duration = Duration::from_secs(6);
/// Raises the server's limit for the statements of such a verb within its transaction, to 5 s.
pub(super) const LONG_STATEMENT: &str = "SET LOCAL statement_timeout = 5000";
/// Limit of a verb that reads all clients.
pub(super) const FULL_READ: Duration = Duration::from_mins(1);
/// Limit of a batch of tokens: the deadline of a token request is 1 s.
pub(super) const LEDGER_COMMIT: Duration = Duration::from_millis(900);
/// Limit of a round of maintenance.
pub(super) const MAINTENANCE: Duration = Duration::from_mins(2);
