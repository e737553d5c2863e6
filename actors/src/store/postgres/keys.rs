//! Signing keys.

use tokio_postgres::Row;

use super::column::Seconds;
use super::{AuditEntry, Connection, Failure, ORDINARY, PostgresStore, Result, StoredKey, row, verb};

/// The advisory lock under which keys are made.
const KEYS_LOCK: i64 = 0x6f61_7574_6832_0002;

impl PostgresStore {
    pub(in crate::store) async fn keys(&self) -> Result<Vec<StoredKey>> {
        verb!(self, ORDINARY, |connection| { all(connection).await })
    }

    pub(in crate::store) async fn ensure_keys(
        &self,
        candidates: &[StoredKey],
        audit: &AuditEntry,
    ) -> Result<Vec<StoredKey>> {
        let sql = "WITH made AS (
                INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at)
                SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE algorithm = $2)
                RETURNING kid)
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $5, $6, $7, 'key', kid, $8 FROM made";
        verb!(self, ORDINARY, |connection| {
            // The lock goes with the transaction; what follows it sees what the holder before committed.
            connection
                .batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({KEYS_LOCK})"))
                .await?;
            for key in candidates {
                connection
                    .execute(
                        sql,
                        &[
                            &key.kid,
                            &key.algorithm.as_str(),
                            &key.public_key,
                            &key.sealed_private_key,
                            &Seconds(key.created_at),
                            &audit.actor,
                            &audit.action,
                            &audit.detail,
                        ],
                    )
                    .await?;
            }
            let keys = all(connection).await?;
            connection.batch("COMMIT").await?;
            Ok(keys)
        })
    }
}

async fn all(connection: &mut Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    let sql = "SELECT kid, algorithm, public_key, sealed_private_key, created_at FROM signing_keys
        ORDER BY created_at, kid COLLATE \"C\"";
    connection.query(sql, &[]).await?.iter().map(read).collect()
}

fn read(r: &Row) -> std::result::Result<StoredKey, Failure> {
    Ok(StoredKey {
        kid: r.try_get(0)?,
        algorithm: row::parse("the algorithm of a key,", r.try_get(1)?)?,
        public_key: r.try_get(2)?,
        sealed_private_key: r.try_get(3)?,
        created_at: r.try_get::<_, Seconds>(4)?.0,
    })
}
