//! Keys that verify and never sign.

use rusqlite::{Connection, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::key_rows;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, VerifyOnlyImport};
use crate::model::{AuditEntry, VerifyOnlyKey};

impl SqliteStore {
    pub(crate) async fn verify_only_keys(&self) -> Result<Vec<VerifyOnlyKey>> {
        self.read(|t| key_rows::verify_only(t)).await
    }

    pub(crate) async fn put_verify_only_keys(
        &self,
        keys: &[(VerifyOnlyKey, AuditEntry)],
        now: i64,
    ) -> Result<Vec<(VerifyOnlyKey, AuditEntry)>> {
        let keys = keys.to_vec();
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let mut known = key_rows::key_set(t)?;
            let mut changed = Vec::new();
            for (key, audit) in keys {
                match succession::verify_only_import(&known, &key).map_err(StoreError::Conflict)? {
                    VerifyOnlyImport::Unchanged => continue,
                    VerifyOnlyImport::Changed => {}
                    VerifyOnlyImport::New if key_rows::is_revoked(t, &key.kid, &key.public_key)? => {
                        return Err(StoreError::Conflict(succession::revoked_key_error(&key.kid)).into());
                    }
                    VerifyOnlyImport::New => known.verify_only.push(key.clone()),
                }
                put(t, &key)?;
                append_audit(t, now, &audit, "key", &key.kid)?;
                changed.push((key, audit));
            }
            Ok(changed)
        })
        .await
    }

    pub(crate) async fn expire_verify_only_key(&self, kid: &str, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (kid, audit) = (kid.to_owned(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let deleted = t
                .prepare_cached("DELETE FROM verify_only_keys WHERE kid = ?1 AND kept_until <= ?2")?
                .execute(params![kid, now])?;
            if deleted == 1 {
                append_audit(t, now, &audit, "key", &kid)?;
            }
            Ok(deleted == 1)
        })
        .await
    }
}

fn put(t: &Connection, key: &VerifyOnlyKey) -> std::result::Result<(), Failure> {
    t.prepare_cached(
        "INSERT INTO verify_only_keys (kid, algorithm, public_key, issuer, published, created_at, kept_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (kid) DO UPDATE SET published = excluded.published, kept_until = excluded.kept_until",
    )?
    .execute(params![
        key.kid,
        key.algorithm.as_str(),
        key.public_key,
        key.issuer,
        key.published,
        key.created_at,
        key.kept_until,
    ])?;
    Ok(())
}
