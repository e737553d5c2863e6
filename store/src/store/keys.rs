//! Signing keys.

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::{AuditEntry, KeyRevocation, StoredKey};

impl Store {
    /// All signing keys, oldest first.
    pub async fn keys(&self) -> Result<Vec<StoredKey>> {
        dispatch!(self.keys())
    }

    /// Adds each of `candidates` whose algorithm has no key yet. Nodes that start at the same time are serialized by a lock, so
    /// that only one of them adds keys. Returns all keys, oldest first.
    pub async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        dispatch!(self.ensure_keys(candidates, audit))
    }

    /// Adds a key. `Ok(false)`: nothing was added, because a key of the algorithm is activated later than `after_ms` (`None`: no
    /// such check). [`StoreError::Conflict`]: this key exists or was revoked, or the algorithm has the maximum number of keys.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        let added = dispatch!(self.add_key(key, after_ms, audit))?;
        if added {
            log_audit(audit, "key", &key.kid);
        }
        Ok(added)
    }

    /// Adds several keys, all or none, each with its audit row. [`StoreError::Conflict`] as for [`Self::add_key`], but revoked keys
    /// are not detected; or a key of the algorithm waits for its verifiers already.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn add_keys(&self, keys: &[(StoredKey, AuditEntry)]) -> Result<()> {
        dispatch!(self.add_keys(keys))?;
        for (key, audit) in keys {
            log_audit(audit, "key", &key.kid);
        }
        Ok(())
    }

    /// Deletes a key, whether it signs or only verifies, under every id that it has, revokes every token signed by it, and keeps its
    /// algorithm with an active key (see [`revocation_plan`]). `Ok(false)`: no such key. [`StoreError::Conflict`]: a replacement is
    /// lacking.
    ///
    /// [`revocation_plan`]: crate::model::succession::revocation_plan
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn revoke_key(&self, revocation: &KeyRevocation, audit: &AuditEntry) -> Result<bool> {
        let revoked = dispatch!(self.revoke_key(revocation, audit))?;
        for (kid, audit) in &revoked {
            log_audit(audit, "key", kid);
        }
        Ok(!revoked.is_empty())
    }

    /// Deletes a key whose tokens have all expired. `Ok(false)`: nothing was deleted, because its `token_lifetime` was raised
    /// after it was read, or another node has deleted it.
    pub async fn remove_key(&self, key: &StoredKey, now: i64, audit: &AuditEntry) -> Result<bool> {
        let removed = dispatch!(self.remove_key(key, now, audit))?;
        if removed {
            log_audit(audit, "key", &key.kid);
        }
        Ok(removed)
    }

    /// Activates a key now that waits until its verifiers have fetched it ([`StoredKey::when_seen`]). `Ok(false)`: nothing was changed,
    /// because its activation time is no longer that of `key`, or it is gone: another node was first.
    pub async fn activate_key(&self, key: &StoredKey, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        let activated = dispatch!(self.activate_key(key, now_ms, audit))?;
        if activated {
            log_audit(audit, "key", &key.kid);
        }
        Ok(activated)
    }

    /// Replaces wrapped private keys, all or none; `wrapped` lists pairs of `kid` and wrapped key.
    pub async fn rewrap_keys(&self, wrapped: &[(String, String)], now: i64, audit: &AuditEntry) -> Result<()> {
        dispatch!(self.rewrap_keys(wrapped, now, audit))?;
        for (kid, _) in wrapped {
            log_audit(audit, "key", kid);
        }
        Ok(())
    }

    /// Raises the `token_lifetime` of every key to at least the given seconds.
    pub async fn extend_key_retention(&self, token_lifetime: i64) -> Result<()> {
        dispatch!(self.extend_key_retention(token_lifetime))
    }
}
