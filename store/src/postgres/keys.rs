//! Signing keys. Decisions that depend on other keys are made under a lock, which serializes nodes.

use super::connection::Connection;
use super::failure::Failure;
use super::key_rows::{begin, is_revoked, key_set, signing, verify_only};
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::ORDINARY;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, RevocationPlan};
use crate::model::{AuditEntry, KeyRevocation, StoredKey};
use crate::row;

/// Adds a key. Its `token_lifetime` is at least the longest token lifetime of a client.
const ADD: &str = "WITH added AS (
        INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, signs_from_ms, token_lifetime, when_seen)
        SELECT $1, $2, $3, $4, $12, $6, greatest($7::bigint, (SELECT max(access_token_lifetime) FROM clients)), $11
        RETURNING kid)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $5, $8, $9, 'key', kid, $10 FROM added";

const REVOKE: &str = "WITH deleted AS (DELETE FROM signing_keys WHERE kid = ANY($1::text[])),
    deleted_too AS (DELETE FROM verify_only_keys WHERE kid = ANY($1::text[])),
    revoked AS (
        INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
        SELECT 'key', id, $3, $4 FROM unnest($2::text[]) AS id)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $5, $6, $7, 'key', kid, $8 FROM unnest($1::text[]) AS kid";

impl PostgresStore {
    pub(crate) async fn keys(&self) -> Result<Vec<StoredKey>> {
        with_connection!(self, ORDINARY, |connection| { signing(connection).await })
    }

    pub(crate) async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = signing(connection).await?;
            for key in candidates {
                if !known.iter().any(|other| other.algorithm == key.algorithm) {
                    add(connection, key, audit).await?;
                }
            }
            let keys = signing(connection).await?;
            connection.commit().await?;
            Ok(keys)
        })
    }

    pub(crate) async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = signing(connection).await?;
            succession::check_key_limit(&known, key).map_err(StoreError::Conflict)?;
            let wanted = succession::is_newest(&known, key, after_ms);
            // With `after_ms` the key was generated just now, so it cannot have been revoked.
            if after_ms.is_none() {
                let known = verify_only(connection).await?;
                succession::check_kid(&known, key).map_err(StoreError::Conflict)?;
                if is_revoked(connection, &key.kid, &key.public_key).await? {
                    return Err(StoreError::Conflict(succession::revoked_key_error(&key.kid)).into());
                }
            }
            if wanted {
                add(connection, key, audit).await?;
            }
            connection.commit().await?;
            Ok(wanted)
        })
    }

    pub(crate) async fn add_keys(&self, keys: &[(StoredKey, AuditEntry)]) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            for (key, audit) in keys {
                let known = signing(connection).await?;
                succession::check_key_limit(&known, key).map_err(StoreError::Conflict)?;
                succession::check_none_waits(&known, key).map_err(StoreError::Conflict)?;
                add(connection, key, audit).await?;
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(crate) async fn revoke_key(
        &self,
        revocation: &KeyRevocation,
        audit: &AuditEntry,
    ) -> Result<Vec<(String, AuditEntry)>> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = key_set(connection).await?;
            let plan = succession::revocation_plan(&known, revocation).map_err(StoreError::Conflict)?;
            let Some(plan) = plan else {
                connection.roll_back().await?;
                return Ok(Vec::new());
            };
            for kid in &plan.activated {
                let sql = "UPDATE signing_keys SET signs_from_ms = $2 WHERE kid = $1";
                connection.execute(sql, &[kid, &(revocation.now_ms as i64)]).await?;
            }
            for replacement in &plan.added {
                add(
                    connection,
                    replacement,
                    &RevocationPlan::audit_of_added(audit, replacement),
                )
                .await?;
            }
            let of_revoked = plan.audit(audit);
            let params: [&dyn Param; 8] = [
                &plan.kids,
                &plan.revoked_ids(),
                &(revocation.now_ms as i64),
                &Seconds(row::cutoff_expiry(revocation.now_ms)),
                &Seconds((revocation.now_ms / 1000) as i64),
                &of_revoked.actor,
                &of_revoked.action,
                &of_revoked.detail,
            ];
            connection.execute(REVOKE, &params).await?;
            connection.commit().await?;
            Ok(plan.audit_rows(audit))
        })
    }

    pub(crate) async fn remove_key(&self, key: &StoredKey, now: i64, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "WITH deleted AS (DELETE FROM signing_keys WHERE kid = $1 AND token_lifetime = $2 RETURNING kid)
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                SELECT $3, $4, $5, 'key', kid, $6 FROM deleted";
            let params: [&dyn Param; 6] = [
                &key.kid,
                &key.token_lifetime,
                &Seconds(now),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            Ok(connection.execute(sql, &params).await? == 1)
        })
    }

    pub(crate) async fn activate_key(&self, key: &StoredKey, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "WITH changed AS (
                    UPDATE signing_keys SET signs_from_ms = $3 WHERE kid = $1 AND signs_from_ms = $2 AND when_seen RETURNING kid)
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                SELECT $4, $5, $6, 'key', kid, $7 FROM changed";
            let params: [&dyn Param; 7] = [
                &key.kid,
                &key.signs_from_ms,
                &(now_ms as i64),
                &Seconds((now_ms / 1000) as i64),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            Ok(connection.execute(sql, &params).await? == 1)
        })
    }

    pub(crate) async fn rewrap_keys(&self, wrapped: &[(String, String)], now: i64, audit: &AuditEntry) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            for (kid, private) in wrapped {
                let sql = "WITH changed AS (
                        UPDATE signing_keys SET sealed_private_key = $2 WHERE kid = $1 RETURNING kid)
                    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                    SELECT $3, $4, $5, 'key', kid, $6 FROM changed";
                let params: [&dyn Param; 6] = [kid, private, &Seconds(now), &audit.actor, &audit.action, &audit.detail];
                connection.execute(sql, &params).await?;
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(crate) async fn extend_key_retention(&self, token_lifetime: i64) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "UPDATE signing_keys SET token_lifetime = $1 WHERE token_lifetime < $1";
            connection.execute(sql, &[&token_lifetime]).await?;
            Ok(())
        })
    }
}

async fn add(connection: &mut Connection, key: &StoredKey, audit: &AuditEntry) -> std::result::Result<(), Failure> {
    let fetched = connection
        .query("SELECT max(generation) FROM key_fetchers", &[])
        .await?;
    let fetched = fetched.first().map(|r| r.try_get::<_, Option<i64>>(0)).transpose()?;
    let fetched = fetched.flatten().unwrap_or(0);
    let created_at = succession::created_at(&signing(connection).await?, fetched, key.created_at);
    let added = connection
        .execute(
            ADD,
            &[
                &key.kid,
                &key.algorithm.as_str(),
                &key.public_key,
                &key.wrapped_private_key,
                &Seconds(key.created_at),
                &key.signs_from_ms,
                &key.token_lifetime,
                &audit.actor,
                &audit.action,
                &audit.detail,
                &key.when_seen,
                &Seconds(created_at),
            ],
        )
        .await
        .map_err(Failure::from);
    match added {
        Err(failure) if failure.code() == Some("23505") => {
            Err(StoreError::Conflict(format!("the key {} exists already", key.kid)).into())
        }
        added => added.map(drop),
    }
}
