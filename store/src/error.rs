//! Errors of store verbs.

use thiserror::Error;

/// Result of every store verb.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A failure of the store itself. A missing row is never an error: verbs return `Ok(None)` or `Ok(false)`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot be reached or rejects work for now; the same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store did not answer within the time limit. The effect is unknown: the change may have been committed.
    #[error("the store did not answer in time")]
    Timeout,
    /// The change conflicts with stored data, for example a client id that is taken or a row that changed after it was read.
    #[error("{0}")]
    Conflict(String),
    /// The stored data or the store's configuration is invalid: a retry cannot succeed.
    #[error("the store is unusable: {0}")]
    Corrupt(String),
}
