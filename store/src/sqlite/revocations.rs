//! The append-only revocation log. There is one writer, so ids are in commit order.

use rusqlite::{Connection, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, Revocation};
use crate::row;

impl SqliteStore {
    pub(crate) async fn revoke(&self, revocation: &Revocation, now_ms: u64, audit: &AuditEntry) -> Result<()> {
        self.revoke_many(&[(revocation.clone(), audit.clone())], now_ms).await
    }

    pub(crate) async fn revoke_many(&self, revocations: &[(Revocation, AuditEntry)], now_ms: u64) -> Result<()> {
        let revocations = revocations.to_vec();
        self.write(ADMIN_LOCK_WAIT, move |t| {
            for (revocation, audit) in &revocations {
                append_revocation(t, revocation)?;
                let (kind, id) = row::target(&revocation.target);
                append_audit(t, (now_ms / 1000) as i64, audit, kind, &id)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn revocations_since(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT id, target_kind, target_id, cutoff_ms, expires_at FROM revocations WHERE id > ?1 ORDER BY id",
            )?;
            let mut rows = select.query([from.at])?;
            let (mut found, mut position) = (Vec::new(), from);
            while let Some(r) = rows.next()? {
                position.at = r.get(0)?;
                let kind = r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                found.push(row::revocation(kind, r.get(2)?, r.get(3)?, r.get(4)?)?);
            }
            Ok((found, position))
        })
        .await
    }
}

pub(super) fn append_revocation(t: &Connection, revocation: &Revocation) -> std::result::Result<(), Failure> {
    let (kind, id) = row::target(&revocation.target);
    t.prepare_cached(
        "INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        kind,
        id,
        revocation.cutoff_ms as i64,
        row::revocation_expiry(revocation)
    ])?;
    Ok(())
}
