//! Keys that verify and never sign.

use super::key_rows;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::ORDINARY;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, VerifyOnlyImport};
use crate::model::{AuditEntry, VerifyOnlyKey};

const PUT: &str = "WITH put AS (
        INSERT INTO verify_only_keys (kid, algorithm, public_key, issuer, published, created_at, kept_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (kid) DO UPDATE SET published = excluded.published, kept_until = excluded.kept_until RETURNING kid)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $8, $9, $10, 'key', kid, $11 FROM put";

const EXPIRE: &str = "WITH deleted AS (DELETE FROM verify_only_keys WHERE kid = $1 AND kept_until <= $2 RETURNING kid)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $2, $3, $4, 'key', kid, $5 FROM deleted";

impl PostgresStore {
    pub(crate) async fn verify_only_keys(&self) -> Result<Vec<VerifyOnlyKey>> {
        with_connection!(self, ORDINARY, |connection| { key_rows::verify_only(connection).await })
    }

    pub(crate) async fn put_verify_only_keys(
        &self,
        keys: &[(VerifyOnlyKey, AuditEntry)],
        now: i64,
    ) -> Result<Vec<(VerifyOnlyKey, AuditEntry)>> {
        with_connection!(self, ORDINARY, |connection| {
            key_rows::begin(connection).await?;
            let mut known = key_rows::key_set(connection).await?;
            let mut changed = Vec::new();
            for (key, audit) in keys {
                match succession::verify_only_import(&known, key).map_err(StoreError::Conflict)? {
                    VerifyOnlyImport::Unchanged => continue,
                    VerifyOnlyImport::Changed => {}
                    VerifyOnlyImport::New if key_rows::is_revoked(connection, &key.kid, &key.public_key).await? => {
                        return Err(StoreError::Conflict(succession::revoked_key_error(&key.kid)).into());
                    }
                    VerifyOnlyImport::New => known.verify_only.push(key.clone()),
                }
                let params: [&dyn Param; 11] = [
                    &key.kid,
                    &key.algorithm.as_str(),
                    &key.public_key,
                    &key.issuer,
                    &key.published,
                    &Seconds(key.created_at),
                    &Seconds(key.kept_until),
                    &Seconds(now),
                    &audit.actor,
                    &audit.action,
                    &audit.detail,
                ];
                connection.execute(PUT, &params).await?;
                changed.push((key.clone(), audit.clone()));
            }
            connection.commit().await?;
            Ok(changed)
        })
    }

    pub(crate) async fn expire_verify_only_key(&self, kid: &str, now: i64, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 5] = [&kid, &Seconds(now), &audit.actor, &audit.action, &audit.detail];
            Ok(connection.execute(EXPIRE, &params).await? == 1)
        })
    }
}
