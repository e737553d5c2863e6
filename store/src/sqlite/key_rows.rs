//! Rows of keys of both kinds.

use rusqlite::Connection;

use super::failure::Failure;
use crate::model::{KeySet, StoredKey, VerifyOnlyKey, succession};
use crate::row;

/// Whether a key with this id or this public key was revoked.
pub(super) fn is_revoked(t: &Connection, kid: &str, public_key: &[u8]) -> std::result::Result<bool, Failure> {
    let sql = "SELECT 1 FROM revocations WHERE target_kind = 'key' AND target_id IN (?1, ?2)";
    Ok(t.prepare_cached(sql)?
        .exists([kid, &succession::public_key_id(public_key)])?)
}

/// Every key.
pub(super) fn key_set(t: &Connection) -> std::result::Result<KeySet, Failure> {
    Ok(KeySet {
        signing: signing(t)?,
        verify_only: verify_only(t)?,
    })
}

/// All signing keys, in the order in which they sign.
pub(super) fn signing(t: &Connection) -> std::result::Result<Vec<StoredKey>, Failure> {
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

/// All verify-only keys, in the order in which they were imported.
pub(super) fn verify_only(t: &Connection) -> std::result::Result<Vec<VerifyOnlyKey>, Failure> {
    let mut select = t.prepare_cached(
        "SELECT kid, algorithm, public_key, issuer, published, created_at, kept_until FROM verify_only_keys
         ORDER BY created_at, kid",
    )?;
    let mut rows = select.query([])?;
    let mut keys = Vec::new();
    while let Some(r) = rows.next()? {
        let algorithm: String = r.get(1)?;
        keys.push(VerifyOnlyKey {
            kid: r.get(0)?,
            algorithm: row::parse("verify_only_keys.algorithm", &algorithm)?,
            public_key: r.get(2)?,
            issuer: r.get(3)?,
            published: r.get(4)?,
            created_at: r.get(5)?,
            kept_until: r.get(6)?,
        });
    }
    Ok(keys)
}
