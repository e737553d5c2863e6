//! The revocation log and the audit log. The writer is alone, so ids grow in the order of commits.

use rusqlite::{Connection, params};

use super::{AuditEntry, Change, Failure, LogPosition, PATIENT, Result, Revocation, SqliteStore, row};

impl SqliteStore {
    pub(in crate::store) async fn revoke(
        &self,
        revocation: &Revocation,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let (revocation, audit) = (revocation.clone(), audit.clone());
        self.write(PATIENT, move |t| {
            append_revocation(t, &revocation)?;
            let (kind, id) = row::target(&revocation.target);
            append_audit(t, (now_ms / 1000) as i64, &audit, kind, &id)
        })
        .await
    }

    pub(in crate::store) async fn revoke_many(
        &self,
        revocations: &[Revocation],
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let (revocations, audit) = (revocations.to_vec(), audit.clone());
        self.write(PATIENT, move |t| {
            for revocation in &revocations {
                append_revocation(t, revocation)?;
                let (kind, id) = row::target(&revocation.target);
                append_audit(t, (now_ms / 1000) as i64, &audit, kind, &id)?;
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn note(
        &self,
        audit: &AuditEntry,
        target_kind: &str,
        target_id: &str,
        at: i64,
    ) -> Result<()> {
        let (audit, kind, id) = (audit.clone(), target_kind.to_owned(), target_id.to_owned());
        self.write(PATIENT, move |t| append_audit(t, at, &audit, &kind, &id))
            .await
    }

    pub(in crate::store) async fn revocations_since(
        &self,
        from: LogPosition,
    ) -> Result<(Vec<Revocation>, LogPosition)> {
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

    pub(in crate::store) async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        self.read(move |t| {
            let mut select =
                t.prepare_cached("SELECT id, action, target_id FROM audit_log WHERE id > ?1 ORDER BY id")?;
            let mut rows = select.query([from.at])?;
            let (mut found, mut position) = (Vec::new(), from);
            let mut seen = std::collections::HashSet::new();
            while let Some(r) = rows.next()? {
                position.at = r.get(0)?;
                let action = r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                if let Some(change) = row::change(action, r.get(2)?)
                    && seen.insert(change.clone())
                {
                    found.push(change);
                }
            }
            Ok((found, position))
        })
        .await
    }

    pub(in crate::store) async fn changes_position(&self) -> Result<LogPosition> {
        self.read(|t| {
            let at = t.query_row("SELECT coalesce(max(id), 0) FROM audit_log", [], |r| r.get(0))?;
            Ok(LogPosition { at, run: 0 })
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

pub(super) fn append_audit(
    t: &Connection,
    at: i64,
    audit: &AuditEntry,
    target_kind: &str,
    target_id: &str,
) -> std::result::Result<(), Failure> {
    t.prepare_cached(
        "INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        at,
        audit.actor,
        audit.action,
        target_kind,
        target_id,
        audit.detail.to_string()
    ])?;
    Ok(())
}
