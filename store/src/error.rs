//! Errors of store verbs.

use std::sync::atomic::{AtomicU64, Ordering};

use strum::{IntoStaticStr, VariantArray};
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
    /// The store responds and accepts no writes: its disk is full, the database is read-only, or a privilege to write is missing. A retry
    /// succeeds once that is repaired. The text is a sentence.
    #[error("{0}")]
    NotWritable(String),
    /// The store responds, and denies the server something, to read or to write: a privilege is missing. A retry succeeds once it is
    /// granted. The text is a sentence.
    #[error("{0}")]
    Denied(String),
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

/// The class of a failure, as metrics label it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorClass {
    /// [`StoreError::Unavailable`].
    Unavailable,
    /// [`StoreError::Timeout`].
    Timeout,
    /// [`StoreError::NotWritable`], or [`StoreError::Denied`].
    NotWritable,
    /// [`StoreError::Corrupt`].
    Corrupt,
    /// [`StoreError::Conflict`].
    Conflict,
    /// [`StoreError::InvalidValue`].
    Other,
}

impl ErrorClass {
    /// Every class, in the order of declaration.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl StoreError {
    /// The class of this failure.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unavailable(_) => ErrorClass::Unavailable,
            Self::Timeout => ErrorClass::Timeout,
            Self::NotWritable(_) | Self::Denied(_) => ErrorClass::NotWritable,
            Self::Corrupt(_) => ErrorClass::Corrupt,
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::InvalidValue(_) => ErrorClass::Other,
        }
    }
}

/// How many verbs and batches of a store failed, by class.
#[derive(Debug, Default)]
pub struct ErrorCounts([AtomicU64; ErrorClass::VARIANTS.len()]);

impl ErrorCounts {
    /// The failures of a class.
    pub fn of(&self, class: ErrorClass) -> u64 {
        self.0[class as usize].load(Ordering::Relaxed)
    }

    /// Counts an outcome if it is a failure.
    pub(crate) fn observe<T>(&self, outcome: &Result<T>) {
        if let Err(error) = outcome {
            self.0[error.class() as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}
