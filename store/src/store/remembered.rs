//! Values that are remembered until they expire: the first to write under a key wins, and a value can be taken once.

use super::Store;
use crate::error::Result;

impl Store {
    /// Remembers a value until `expires_at`, unless there is one under the key. Returns that one; `None`: this one is the first. Times are
    /// Unix seconds.
    pub async fn remember(&self, key: &[u8; 32], value: &[u8], expires_at: i64, now: i64) -> Result<Option<Vec<u8>>> {
        dispatch!(self.remember(key, value, expires_at, now))
    }

    /// The value under a key, unless it has expired.
    pub async fn recall(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        dispatch!(self.recall(key, now))
    }

    /// Replaces the value under a key, if there is one; it expires when the first one would have.
    pub async fn replace_remembered(&self, key: &[u8; 32], value: &[u8]) -> Result<bool> {
        dispatch!(self.replace_remembered(key, value))
    }

    /// Takes the value under a key, unless it has expired: of several callers one gets it.
    pub async fn take_remembered(&self, key: &[u8; 32], now: i64) -> Result<Option<Vec<u8>>> {
        dispatch!(self.take_remembered(key, now))
    }
}
