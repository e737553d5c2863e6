//! Signing keys.

use rusqlite::{Connection, params};

use super::{AuditEntry, Failure, PATIENT, Result, SqliteStore, StoredKey, logs, row};

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
            for key in &candidates {
                let stored = t
                    .prepare_cached(
                        "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at)
                         SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE algorithm = ?2)",
                    )?
                    .execute(params![
                        key.kid,
                        key.algorithm.as_str(),
                        key.public_key,
                        key.sealed_private_key,
                        key.created_at
                    ])?;
                if stored == 1 {
                    logs::append_audit(t, key.created_at, &audit, "key", &key.kid)?;
                }
            }
            all(t)
        })
        .await
    }
}

fn all(t: &Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
    let mut select = t.prepare_cached(
        "SELECT kid, algorithm, public_key, sealed_private_key, created_at FROM signing_keys ORDER BY created_at, kid",
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
        });
    }
    Ok(keys)
}
