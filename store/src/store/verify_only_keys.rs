//! Keys that verify and never sign.

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::{AuditEntry, VerifyOnlyKey};

impl Store {
    /// All verify-only keys, in the order in which they were imported.
    pub async fn verify_only_keys(&self) -> Result<Vec<VerifyOnlyKey>> {
        dispatch!(self.verify_only_keys())
    }

    /// Adds keys, or replaces `published` and `kept_until` of keys that are stored already, all or none, each change with its audit row.
    /// Returns the number of changes. [`StoreError::Conflict`]: another key has the id of an imported key, an imported key was revoked, or there would be
    /// more than [`MAX_VERIFY_ONLY_KEYS`].
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    /// [`MAX_VERIFY_ONLY_KEYS`]: crate::model::MAX_VERIFY_ONLY_KEYS
    pub async fn put_verify_only_keys(&self, keys: &[(VerifyOnlyKey, AuditEntry)], now: i64) -> Result<usize> {
        let changed = dispatch!(self.put_verify_only_keys(keys, now))?;
        for (key, audit) in &changed {
            log_audit(audit, "key", &key.kid);
        }
        Ok(changed.len())
    }

    /// Deletes a key whose time is over. `Ok(false)`: it is kept for longer now, or another node has deleted it.
    pub async fn expire_verify_only_key(&self, kid: &str, now: i64, audit: &AuditEntry) -> Result<bool> {
        let deleted = dispatch!(self.expire_verify_only_key(kid, now, audit))?;
        if deleted {
            log_audit(audit, "key", kid);
        }
        Ok(deleted)
    }
}
