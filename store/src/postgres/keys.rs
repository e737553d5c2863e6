//! Signing keys. Decisions that depend on other keys are made under a lock, which serializes nodes.

use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::ORDINARY;
use super::verify_only_keys;
use crate::error::{Result, StoreError};
use crate::model::succession::{self, Succession};
use crate::model::{AuditEntry, KeyRevocation, KeySet, StoredKey};
use crate::row;

/// The advisory lock under which keys are added and revoked.
const KEYS_LOCK: i64 = 0x6f61_7574_6832_0002;

/// Adds a key. Its `token_lifetime` is at least the longest token lifetime of a client.
const ADD: &str = "WITH added AS (
        INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, signs_from_ms, token_lifetime, when_seen)
        SELECT $1, $2, $3, $4, $5, $6, greatest($7::bigint, (SELECT max(access_token_lifetime) FROM clients)), $11
        RETURNING kid)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $5, $8, $9, 'key', kid, $10 FROM added";

impl PostgresStore {
    pub(crate) async fn keys(&self) -> Result<Vec<StoredKey>> {
        with_connection!(self, ORDINARY, |connection| { all(connection).await })
    }

    pub(crate) async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = all(connection).await?;
            for key in candidates {
                if !known.iter().any(|other| other.algorithm == key.algorithm) {
                    add(connection, key, audit).await?;
                }
            }
            let keys = all(connection).await?;
            connection.commit().await?;
            Ok(keys)
        })
    }

    pub(crate) async fn add_key(&self, key: &StoredKey, after_ms: Option<i64>, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = all(connection).await?;
            succession::check_key_limit(&known, key).map_err(StoreError::Conflict)?;
            let wanted = succession::is_newest(&known, key, after_ms);
            // With `after_ms` the key was generated just now, so it cannot have been revoked.
            if after_ms.is_none() {
                let verify_only = verify_only_keys::all(connection).await?;
                succession::check_kid(&verify_only, key).map_err(StoreError::Conflict)?;
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
                succession::check_key_limit(&all(connection).await?, key).map_err(StoreError::Conflict)?;
                add(connection, key, audit).await?;
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(crate) async fn revoke_key(&self, revocation: &KeyRevocation, audit: &AuditEntry) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            begin(connection).await?;
            let known = all(connection).await?;
            let Some(next) = succession::succession(&known, revocation) else {
                connection.roll_back().await?;
                return Ok(false);
            };
            match next {
                Succession::None => {}
                Succession::Activate(kid) => {
                    let sql = "UPDATE signing_keys SET signs_from_ms = $2 WHERE kid = $1";
                    connection.execute(sql, &[&kid, &(revocation.now_ms as i64)]).await?;
                }
                Succession::Replace => add(connection, &revocation.replacement, audit).await?,
            }
            let revoked = known.iter().find(|key| key.kid == revocation.kid);
            let public_key_id = revoked.map_or_else(String::new, |key| succession::public_key_id(&key.public_key));
            let sql = "WITH deleted AS (DELETE FROM signing_keys WHERE kid = $1),
                deleted_too AS (DELETE FROM verify_only_keys WHERE kid = $1),
                revoked AS (
                    INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                    VALUES ('key', $1, $2, $3), ('key', $8, $2, $3))
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) VALUES ($4, $5, $6, 'key', $1, $7)";
            connection
                .execute(
                    sql,
                    &[
                        &revocation.kid,
                        &(revocation.now_ms as i64),
                        &Seconds(row::cutoff_expiry(revocation.now_ms)),
                        &Seconds((revocation.now_ms / 1000) as i64),
                        &audit.actor,
                        &audit.action,
                        &audit.detail,
                        &public_key_id,
                    ],
                )
                .await?;
            connection.commit().await?;
            Ok(true)
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

/// Begins a transaction that holds the lock; its statements see what earlier holders committed.
pub(super) async fn begin(connection: &mut Connection) -> std::result::Result<(), Failure> {
    let lock = format!("SELECT pg_advisory_xact_lock({KEYS_LOCK})");
    Ok(connection.begin(&lock).await?)
}

pub(super) async fn is_revoked(
    connection: &mut Connection,
    kid: &str,
    public_key: &[u8],
) -> std::result::Result<bool, Failure> {
    // No index supports this query: it is rare, and only an operator waits for it.
    connection.batch("SET LOCAL statement_timeout = 30000").await?;
    let sql = "SELECT 1 FROM revocations WHERE target_kind = 'key' AND target_id IN ($1, $2) LIMIT 1";
    let params: [&dyn Param; 2] = [&kid, &succession::public_key_id(public_key)];
    Ok(!connection.query(sql, &params).await?.is_empty())
}

async fn add(connection: &mut Connection, key: &StoredKey, audit: &AuditEntry) -> std::result::Result<(), Failure> {
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

/// Every key, in a transaction that holds the lock.
pub(super) async fn key_set(connection: &mut Connection) -> std::result::Result<KeySet, Failure> {
    Ok(KeySet {
        signing: all(connection).await?,
        verify_only: verify_only_keys::all(connection).await?,
    })
}

async fn all(connection: &mut Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    // `signs_from_ms` is null in rows of the first schema version: activated when created.
    let sql = "SELECT kid, algorithm, public_key, sealed_private_key, created_at,
            coalesce(signs_from_ms, (extract(epoch FROM created_at) * 1000)::bigint), token_lifetime, when_seen
        FROM signing_keys ORDER BY 6, created_at, kid COLLATE \"C\"";
    connection.query(sql, &[]).await?.iter().map(read).collect()
}

fn read(r: &Row) -> std::result::Result<StoredKey, Failure> {
    Ok(StoredKey {
        kid: r.try_get(0)?,
        algorithm: row::parse("signing_keys.algorithm", r.try_get(1)?)?,
        public_key: r.try_get(2)?,
        wrapped_private_key: r.try_get(3)?,
        created_at: r.try_get::<_, Seconds>(4)?.0,
        signs_from_ms: r.try_get(5)?,
        token_lifetime: r.try_get(6)?,
        when_seen: r.try_get(7)?,
    })
}
