//! Signing keys. There is one writer, so the keys do not change between a read and the commit of the same transaction.

use rusqlite::{Connection, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::key_rows::{is_revoked, key_set, signing, verify_only};
use super::revocations::append_revocation;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, RevocationPlan};
use crate::model::{AuditEntry, KeyRevocation, Revocation, RevocationTarget, StoredKey};

impl SqliteStore {
    pub(crate) async fn keys(&self) -> Result<Vec<StoredKey>> {
        self.read(|t| signing(t)).await
    }

    pub(crate) async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        let (candidates, audit) = (candidates.to_vec(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let known = signing(t)?;
            for key in &candidates {
                if !known.iter().any(|other| other.algorithm == key.algorithm) {
                    add(t, key, &audit)?;
                }
            }
            signing(t)
        })
        .await
    }

    pub(crate) async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let known = signing(t)?;
            succession::check_key_limit(&known, &key).map_err(StoreError::Conflict)?;
            let wanted = succession::is_newest(&known, &key, after_ms);
            // With `after_ms` the key was generated just now, so it cannot have been revoked.
            if after_ms.is_none() {
                succession::check_kid(&verify_only(t)?, &key).map_err(StoreError::Conflict)?;
                if is_revoked(t, &key.kid, &key.public_key)? {
                    return Err(StoreError::Conflict(succession::revoked_key_error(&key.kid)).into());
                }
            }
            if wanted {
                add(t, &key, &audit)?;
            }
            Ok(wanted)
        })
        .await
    }

    pub(crate) async fn add_keys(&self, keys: &[(StoredKey, AuditEntry)]) -> Result<()> {
        let keys = keys.to_vec();
        self.write(ADMIN_LOCK_WAIT, move |t| {
            for (key, audit) in &keys {
                let known = signing(t)?;
                succession::check_key_limit(&known, key).map_err(StoreError::Conflict)?;
                succession::check_none_waits(&known, key).map_err(StoreError::Conflict)?;
                add(t, key, audit)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn revoke_key(
        &self,
        revocation: &KeyRevocation,
        audit: &AuditEntry,
    ) -> Result<Vec<(String, AuditEntry)>> {
        let (revocation, audit) = (revocation.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let now_ms = revocation.now_ms;
            let known = key_set(t)?;
            let plan = succession::revocation_plan(&known, &revocation).map_err(StoreError::Conflict)?;
            let Some(plan) = plan else {
                return Ok(Vec::new());
            };
            for kid in &plan.activated {
                t.prepare_cached("UPDATE signing_keys SET signs_from_ms = ?2 WHERE kid = ?1")?
                    .execute(params![kid, now_ms as i64])?;
            }
            for replacement in &plan.added {
                add(t, replacement, &RevocationPlan::audit_of_added(&audit, replacement))?;
            }
            for table in ["signing_keys", "verify_only_keys"] {
                let mut delete = t.prepare_cached(&format!("DELETE FROM {table} WHERE kid = ?1"))?;
                for kid in &plan.kids {
                    delete.execute([kid])?;
                }
            }
            for id in plan.revoked_ids() {
                append_revocation(t, &Revocation::new(RevocationTarget::Key(id), now_ms))?;
            }
            let of_revoked = plan.audit(&audit);
            for kid in &plan.kids {
                append_audit(t, (now_ms / 1000) as i64, &of_revoked, "key", kid)?;
            }
            Ok(plan.audit_rows(&audit))
        })
        .await
    }

    pub(crate) async fn remove_key(&self, key: &StoredKey, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let deleted = t
                .prepare_cached("DELETE FROM signing_keys WHERE kid = ?1 AND token_lifetime = ?2")?
                .execute(params![key.kid, key.token_lifetime])?;
            if deleted == 1 {
                append_audit(t, now, &audit, "key", &key.kid)?;
            }
            Ok(deleted == 1)
        })
        .await
    }

    pub(crate) async fn activate_key(&self, key: &StoredKey, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let changed = t
                .prepare_cached(
                    "UPDATE signing_keys SET signs_from_ms = ?3 WHERE kid = ?1 AND signs_from_ms = ?2 AND when_seen",
                )?
                .execute(params![key.kid, key.signs_from_ms, now_ms as i64])?;
            if changed == 1 {
                append_audit(t, (now_ms / 1000) as i64, &audit, "key", &key.kid)?;
            }
            Ok(changed == 1)
        })
        .await
    }

    pub(crate) async fn rewrap_keys(&self, wrapped: &[(String, String)], now: i64, audit: &AuditEntry) -> Result<()> {
        let (wrapped, audit) = (wrapped.to_vec(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            for (kid, private) in &wrapped {
                let changed = t
                    .prepare_cached("UPDATE signing_keys SET sealed_private_key = ?2 WHERE kid = ?1")?
                    .execute(params![kid, private])?;
                if changed == 1 {
                    append_audit(t, now, &audit, "key", kid)?;
                }
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn extend_key_retention(&self, token_lifetime: i64) -> Result<()> {
        self.write(ADMIN_LOCK_WAIT, move |t| {
            t.prepare_cached("UPDATE signing_keys SET token_lifetime = ?1 WHERE token_lifetime < ?1")?
                .execute([token_lifetime])?;
            Ok(())
        })
        .await
    }
}

fn add(t: &Connection, key: &StoredKey, audit: &AuditEntry) -> std::result::Result<(), Failure> {
    let fetched: Option<i64> = t
        .prepare_cached("SELECT max(generation) FROM key_fetchers")?
        .query_row([], |r| r.get(0))?;
    let created_at = succession::created_at(&signing(t)?, fetched.unwrap_or(0), key.created_at);
    let added = t
        .prepare_cached(
            "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, signs_from_ms, token_lifetime,
                 when_seen)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, max(?7, coalesce((SELECT max(access_token_lifetime) FROM clients), 0)), ?8
             WHERE true ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.kid,
            key.algorithm.as_str(),
            key.public_key,
            key.wrapped_private_key,
            created_at,
            key.signs_from_ms,
            key.token_lifetime,
            key.when_seen,
        ])?;
    if added == 0 {
        return Err(StoreError::Conflict(format!("the key {} exists already", key.kid)).into());
    }
    append_audit(t, key.created_at, audit, "key", &key.kid)
}
