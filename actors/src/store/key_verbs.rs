//! The verbs of signing keys.

use super::{Result, Store, tell};
use crate::model::{AuditEntry, KeyRevocation, StoredKey};

impl Store {
    /// All signing keys, oldest first.
    pub async fn keys(&self) -> Result<Vec<StoredKey>> {
        dispatch!(self.keys())
    }

    /// Stores each of `candidates` whose algorithm has no key yet, under a lock, so that of several nodes starting
    /// together one provides the keys. Answers all keys, oldest first.
    pub async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        dispatch!(self.ensure_keys(candidates, audit))
    }

    /// Stores a key more, if no key of its algorithm signs or will sign from a later moment than `after_ms` (`None`: in any
    /// case). `Ok(false)`: there is one. [`StoreError::Conflict`]: this very key is there, or was revoked, or too many are.
    pub async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.add_key(key, after_ms, audit))?;
        if done {
            tell(audit, "key", &key.kid);
        }
        Ok(done)
    }

    /// Stores keys more, each with its audit row, all of them or none, as [`Self::add_key`] does in any case.
    pub async fn add_keys(&self, keys: &[(StoredKey, AuditEntry)]) -> Result<()> {
        dispatch!(self.add_keys(keys))?;
        for (key, audit) in keys {
            tell(audit, "key", &key.kid);
        }
        Ok(())
    }

    /// Takes a key away, revokes what it has signed, and sees to it that another one signs at once. `Ok(false)`: no such key.
    pub async fn revoke_key(&self, revocation: &KeyRevocation, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.revoke_key(revocation, audit))?;
        if done {
            tell(audit, "key", &revocation.kid);
        }
        Ok(done)
    }

    /// Takes a key away whose tokens have all expired, if nothing has lengthened their life since it was read.
    /// `Ok(false)`: something has, or another node took it away.
    pub async fn remove_key(&self, key: &StoredKey, now: i64, audit: &AuditEntry) -> Result<bool> {
        let done = dispatch!(self.remove_key(key, now, audit))?;
        if done {
            tell(audit, "key", &key.kid);
        }
        Ok(done)
    }

    /// Writes private keys that were sealed anew, by their ids, all of them or none.
    pub async fn rewrap_keys(&self, sealed: &[(String, String)], now: i64, audit: &AuditEntry) -> Result<()> {
        dispatch!(self.rewrap_keys(sealed, now, audit))?;
        for (kid, _) in sealed {
            tell(audit, "key", kid);
        }
        Ok(())
    }

    /// Sees to it that every key is kept for tokens that live so long (seconds).
    pub async fn lengthen_keys(&self, token_lifetime: i64) -> Result<()> {
        dispatch!(self.lengthen_keys(token_lifetime))
    }
}
