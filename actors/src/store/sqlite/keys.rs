//! Signing keys. The writer is alone, so what it reads holds until it commits.

use rusqlite::{Connection, params};

use super::{AuditEntry, Failure, PATIENT, Result, SqliteStore, StoreError, StoredKey, logs, row};
use crate::model::succession::{self, Succession};
use crate::model::{KeyRevocation, Revocation, RevocationTarget};

impl SqliteStore {
    pub(in crate::store) async fn keys(&self) -> Result<Vec<StoredKey>> {
        self.read(|t| all(t)).await
    }

    pub(in crate::store) async fn ensure_keys(
        &self,
        candidates: &[StoredKey],
        audit: &AuditEntry,
    ) -> Result<Vec<StoredKey>> {
        let (candidates, audit) = (candidates.to_vec(), audit.clone());
        self.write(PATIENT, move |t| {
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

    pub(in crate::store) async fn add_key(
        &self,
        key: &StoredKey,
        after_ms: Option<i64>,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(PATIENT, move |t| {
            let known = all(t)?;
            succession::check_room(&known, &key).map_err(StoreError::Conflict)?;
            let wanted = succession::is_newest(&known, &key, after_ms);
            // A key that is made by itself is new.
            if after_ms.is_none() && is_revoked(t, &key)? {
                return Err(StoreError::Conflict(succession::revoked(&key)).into());
            }
            if wanted {
                add(t, &key, &audit)?;
            }
            Ok(wanted)
        })
        .await
    }

    pub(in crate::store) async fn add_keys(&self, keys: &[(StoredKey, AuditEntry)]) -> Result<()> {
        let keys = keys.to_vec();
        self.write(PATIENT, move |t| {
            for (key, audit) in &keys {
                succession::check_room(&all(t)?, key).map_err(StoreError::Conflict)?;
                add(t, key, audit)?;
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn revoke_key(&self, revocation: &KeyRevocation, audit: &AuditEntry) -> Result<bool> {
        let (revocation, audit) = (revocation.clone(), audit.clone());
        self.write(PATIENT, move |t| {
            let now_ms = revocation.now_ms;
            let known = all(t)?;
            match succession::succession(&known, &revocation) {
                None => return Ok(false),
                Some(Succession::None) => {}
                Some(Succession::Promote(kid)) => {
                    t.prepare_cached("UPDATE signing_keys SET signs_from_ms = ?2 WHERE kid = ?1")?
                        .execute(params![kid, now_ms as i64])?;
                }
                Some(Succession::Replace) => add(t, &revocation.replacement, &audit)?,
            }
            t.prepare_cached("DELETE FROM signing_keys WHERE kid = ?1")?
                .execute([&revocation.kid])?;
            let revoked = known
                .iter()
                .filter(|key| key.kid == revocation.kid)
                .map(succession::material);
            for name in revoked.chain([revocation.kid.clone()]) {
                let target = RevocationTarget::Key(name);
                let cutoff_ms = now_ms;
                logs::append_revocation(t, &Revocation { target, cutoff_ms })?;
            }
            logs::append_audit(t, (now_ms / 1000) as i64, &audit, "key", &revocation.kid)?;
            Ok(true)
        })
        .await
    }

    pub(in crate::store) async fn remove_key(&self, key: &StoredKey, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (key, audit) = (key.clone(), audit.clone());
        self.write(PATIENT, move |t| {
            let gone = t
                .prepare_cached("DELETE FROM signing_keys WHERE kid = ?1 AND token_lifetime = ?2")?
                .execute(params![key.kid, key.token_lifetime])?;
            if gone == 1 {
                logs::append_audit(t, now, &audit, "key", &key.kid)?;
            }
            Ok(gone == 1)
        })
        .await
    }

    pub(in crate::store) async fn rewrap_keys(
        &self,
        sealed: &[(String, String)],
        now: i64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let (sealed, audit) = (sealed.to_vec(), audit.clone());
        self.write(PATIENT, move |t| {
            for (kid, private) in &sealed {
                let changed = t
                    .prepare_cached("UPDATE signing_keys SET sealed_private_key = ?2 WHERE kid = ?1")?
                    .execute(params![kid, private])?;
                if changed == 1 {
                    logs::append_audit(t, now, &audit, "key", kid)?;
                }
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn lengthen_keys(&self, token_lifetime: i64) -> Result<()> {
        self.write(PATIENT, move |t| {
            t.prepare_cached("UPDATE signing_keys SET token_lifetime = ?1 WHERE token_lifetime < ?1")?
                .execute([token_lifetime])?;
            Ok(())
        })
        .await
    }
}

fn is_revoked(t: &Connection, key: &StoredKey) -> std::result::Result<bool, Failure> {
    let sql = "SELECT 1 FROM revocations WHERE target_kind = 'key' AND target_id IN (?1, ?2)";
    Ok(t.prepare_cached(sql)?.exists([&key.kid, &succession::material(key)])?)
}

fn add(t: &Connection, key: &StoredKey, audit: &AuditEntry) -> std::result::Result<(), Failure> {
    let made = t
        .prepare_cached(
            "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, signs_from_ms, token_lifetime)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, max(?7, coalesce((SELECT max(access_token_lifetime) FROM clients), 0))
             WHERE true ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.kid,
            key.algorithm.as_str(),
            key.public_key,
            key.sealed_private_key,
            key.created_at,
            key.signs_from_ms,
            key.token_lifetime,
        ])?;
    if made == 0 {
        return Err(StoreError::Conflict(format!("there is a key {} already", key.kid)).into());
    }
    logs::append_audit(t, key.created_at, audit, "key", &key.kid)
}

fn all(t: &Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    let mut select = t.prepare_cached(
        "SELECT kid, algorithm, public_key, sealed_private_key, created_at, coalesce(signs_from_ms, created_at * 1000),
             token_lifetime
         FROM signing_keys ORDER BY 6, created_at, kid",
    )?;
    let mut rows = select.query([])?;
    let mut keys = Vec::new();
    while let Some(r) = rows.next()? {
        keys.push(StoredKey {
            kid: r.get(0)?,
            algorithm: row::parse(
                "the algorithm of a key,",
                r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
            )?,
            public_key: r.get(2)?,
            sealed_private_key: r.get(3)?,
            created_at: r.get(4)?,
            signs_from_ms: r.get(5)?,
            token_lifetime: r.get(6)?,
        });
    }
    Ok(keys)
}
