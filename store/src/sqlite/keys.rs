//! Signing keys. There is one writer, so the keys do not change between a read and the commit of the same transaction.

use rusqlite::{Connection, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::revocations::append_revocation;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use super::verify_only_keys;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, Succession};
use crate::model::{AuditEntry, KeyRevocation, KeySet, Revocation, RevocationTarget, StoredKey};
use crate::row;

impl SqliteStore {
    pub(crate) async fn keys(&self) -> Result<Vec<StoredKey>> {
        self.read(|t| all(t)).await
    }

    pub(crate) async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        let (candidates, audit) = (candidates.to_vec(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let known = all(t)?;
            for key in &candidates {
                if !known.iter().any(|other| other.algorithm == key.algorithm) {
                    add(t, key, &audit)?;
                }
            }
            all(t)
        })
        .await
    }

    pub(crate) async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let known = all(t)?;
            succession::check_key_limit(&known, &key).map_err(StoreError::Conflict)?;
            let wanted = succession::is_newest(&known, &key, after_ms);
            // With `after_ms` the key was generated just now, so it cannot have been revoked.
            if after_ms.is_none() {
                succession::check_kid(&verify_only_keys::all(t)?, &key).map_err(StoreError::Conflict)?;
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
                succession::check_key_limit(&all(t)?, key).map_err(StoreError::Conflict)?;
                add(t, key, audit)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn revoke_key(&self, revocation: &KeyRevocation, audit: &AuditEntry) -> Result<bool> {
        let (revocation, audit) = (revocation.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let now_ms = revocation.now_ms;
            let known = all(t)?;
            match succession::succession(&known, &revocation) {
                None => return Ok(false),
                Some(Succession::None) => {}
                Some(Succession::Activate(kid)) => {
                    t.prepare_cached("UPDATE signing_keys SET signs_from_ms = ?2 WHERE kid = ?1")?
                        .execute(params![kid, now_ms as i64])?;
                }
                Some(Succession::Replace) => add(t, &revocation.replacement, &audit)?,
            }
            t.prepare_cached("DELETE FROM signing_keys WHERE kid = ?1")?
                .execute([&revocation.kid])?;
            verify_only_keys::delete(t, &revocation.kid)?;
            let revoked = known
                .iter()
                .filter(|key| key.kid == revocation.kid)
                .map(|key| succession::public_key_id(&key.public_key));
            for id in revoked.chain([revocation.kid.clone()]) {
                let target = RevocationTarget::Key(id);
                append_revocation(t, &Revocation::new(target, now_ms))?;
            }
            append_audit(t, (now_ms / 1000) as i64, &audit, "key", &revocation.kid)?;
            Ok(true)
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

pub(super) fn is_revoked(t: &Connection, kid: &str, public_key: &[u8]) -> std::result::Result<bool, Failure> {
    let sql = "SELECT 1 FROM revocations WHERE target_kind = 'key' AND target_id IN (?1, ?2)";
    Ok(t.prepare_cached(sql)?
        .exists([kid, &succession::public_key_id(public_key)])?)
}

fn add(t: &Connection, key: &StoredKey, audit: &AuditEntry) -> std::result::Result<(), Failure> {
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
            key.created_at,
            key.signs_from_ms,
            key.token_lifetime,
            key.when_seen,
        ])?;
    if added == 0 {
        return Err(StoreError::Conflict(format!("the key {} exists already", key.kid)).into());
    }
    append_audit(t, key.created_at, audit, "key", &key.kid)
}

/// Every key.
pub(super) fn key_set(t: &Connection) -> std::result::Result<KeySet, Failure> {
    Ok(KeySet {
        signing: all(t)?,
        verify_only: verify_only_keys::all(t)?,
    })
}

fn all(t: &Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    // `signs_from_ms` is null in rows of the first schema version: activated when created.
    let mut select = t.prepare_cached(
        "SELECT kid, algorithm, public_key, sealed_private_key, created_at, coalesce(signs_from_ms, created_at * 1000),
             token_lifetime, when_seen
         FROM signing_keys ORDER BY 6, created_at, kid",
    )?;
    let mut rows = select.query([])?;
    let mut keys = Vec::new();
    while let Some(r) = rows.next()? {
        keys.push(StoredKey {
            kid: r.get(0)?,
            algorithm: row::parse(
                "signing_keys.algorithm",
                r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
            )?,
            public_key: r.get(2)?,
            wrapped_private_key: r.get(3)?,
            created_at: r.get(4)?,
            signs_from_ms: r.get(5)?,
            token_lifetime: r.get(6)?,
            when_seen: r.get(7)?,
        });
    }
    Ok(keys)
}
