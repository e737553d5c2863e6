//! Rows of keys of both kinds, and the lock under which they are added and revoked.

use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::seconds::Seconds;
use crate::model::{KeySet, StoredKey, VerifyOnlyKey, succession};
use crate::row;

/// The advisory lock under which keys are added and revoked.
const KEYS_LOCK: i64 = 0x6f61_7574_6832_0002;

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

/// Every key, in a transaction that holds the lock.
pub(super) async fn key_set(connection: &mut Connection) -> std::result::Result<KeySet, Failure> {
    Ok(KeySet {
        signing: signing(connection).await?,
        verify_only: verify_only(connection).await?,
    })
}

/// All signing keys, in the order in which they sign.
pub(super) async fn signing(connection: &mut Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    // `signs_from_ms` is null in rows of the first schema version: activated when created.
    let sql = "SELECT kid, algorithm, public_key, sealed_private_key, created_at,
            coalesce(signs_from_ms, (extract(epoch FROM created_at) * 1000)::bigint), token_lifetime, when_seen
        FROM signing_keys ORDER BY 6, created_at, kid COLLATE \"C\"";
    connection.query(sql, &[]).await?.iter().map(read_signing).collect()
}

fn read_signing(r: &Row) -> std::result::Result<StoredKey, Failure> {
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

/// All verify-only keys, in the order in which they were imported.
pub(super) async fn verify_only(connection: &mut Connection) -> std::result::Result<Vec<VerifyOnlyKey>, Failure> {
    let sql = "SELECT kid, algorithm, public_key, issuer, published, created_at, kept_until FROM verify_only_keys
        ORDER BY created_at, kid";
    connection.query(sql, &[]).await?.iter().map(read_verify_only).collect()
}

fn read_verify_only(r: &Row) -> std::result::Result<VerifyOnlyKey, Failure> {
    Ok(VerifyOnlyKey {
        kid: r.try_get(0)?,
        algorithm: row::parse("verify_only_keys.algorithm", r.try_get(1)?)?,
        public_key: r.try_get(2)?,
        issuer: r.try_get(3)?,
        published: r.try_get(4)?,
        created_at: r.try_get::<_, Seconds>(5)?.0,
        kept_until: r.try_get::<_, Seconds>(6)?.0,
    })
}
