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
    /// The store responds and accepts no writes: its disk is full, the database is read-only, or a privilege is missing. A retry
    /// succeeds once that is repaired. The text is a sentence.
    #[error("{0}")]
    NotWritable(String),
    /// A value cannot be stored, for example because it has a NUL character. The text is of this crate, and names no value.
    #[error("{0}")]
    InvalidValue(&'static str),
    /// The change conflicts with stored data, for example a client id that is taken or a row that changed after it was read.
    /// The text is of this crate: it reaches the caller.
    #[error("{0}")]
    Conflict(String),
    /// The stored data or the store's configuration is invalid: a retry cannot succeed.
    #[error("the store is unusable: {0}")]
    Corrupt(String),
}
