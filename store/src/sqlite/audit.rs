//! The audit log, and the changes that running servers read from it. There is one writer, so ids are in commit order.

use std::collections::HashSet;

use rusqlite::{Connection, Row, params};

use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::{Result, StoreError};
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, AuditFilter, AuditPosition, AuditRow, Change};
use crate::row;

/// A token's id says nothing about the time of its row: ids are later than all earlier ones, also after the clock was set back. So the ids
/// of all rows are searched, at first as text, which is fast.
const SELECT: &str = "SELECT id, at, actor, action, target_kind, target_id, detail FROM audit_log
    WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2)
      AND (?3 IS NULL OR (target_kind = 'client' AND target_id = ?3) OR json_extract(detail, '$.client_id') = ?3)
      AND (?4 IS NULL OR action = ?4 OR substr(action, 1, length(?4) + 1) = ?4 || '.')
      AND (?5 IS NULL OR actor = ?5)
      AND (?6 IS NULL OR json_extract(detail, '$.credential') = ?6)
      AND (?7 IS NULL OR (target_kind = 'token' AND target_id = ?7) OR json_extract(detail, '$.credential') = ?7
           OR (action = 'token.issue' AND instr(detail, ?7) > 0
               AND EXISTS (SELECT 1 FROM json_each(detail, '$.jtis') AS issued WHERE issued.value = ?7)))";

impl SqliteStore {
    pub(crate) async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        self.read(move |t| {
            let mut select =
                t.prepare_cached("SELECT id, action, target_id FROM audit_log WHERE id > ?1 ORDER BY id")?;
            let mut rows = select.query([from.at])?;
            let (mut found, mut position) = (Vec::new(), from);
            let mut seen = HashSet::new();
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

    pub(crate) async fn changes_position(&self) -> Result<LogPosition> {
        self.read(|t| {
            let at = t.query_row("SELECT coalesce(max(id), 0) FROM audit_log", [], |r| r.get(0))?;
            Ok(LogPosition {
                at,
                ..LogPosition::default()
            })
        })
        .await
    }

    pub(crate) async fn record_audit(
        &self,
        audit: &AuditEntry,
        target_kind: &str,
        target_id: &str,
        at: i64,
    ) -> Result<()> {
        let (audit, kind, id) = (audit.clone(), target_kind.to_owned(), target_id.to_owned());
        self.write(ADMIN_LOCK_WAIT, move |t| append_audit(t, at, &audit, &kind, &id))
            .await
    }

    pub(crate) async fn audit(&self, filter: &AuditFilter, from: AuditPosition, limit: usize) -> Result<Vec<AuditRow>> {
        let (range, id) = match from {
            AuditPosition::Newest => ("id < ?8 ORDER BY id DESC", i64::MAX),
            AuditPosition::Before(_, id) => ("id < ?8 ORDER BY id DESC", id),
            AuditPosition::After(_, id) => ("id > ?8 ORDER BY id", id),
        };
        let filter = filter.clone();
        self.read(move |t| {
            let mut select = t.prepare_cached(&format!("{SELECT} AND {range} LIMIT ?9"))?;
            let mut rows = select.query(params![
                filter.since,
                filter.until,
                filter.client_id,
                filter.kind,
                filter.actor,
                filter.credential,
                filter.jti.map(|jti| jti.to_string()),
                id,
                limit as i64
            ])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(read(r)?);
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn purge_audit(&self, before: i64) -> Result<u64> {
        self.purge(
            "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ?1 LIMIT ?2)",
            before,
        )
        .await
    }
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

fn read(r: &Row<'_>) -> std::result::Result<AuditRow, Failure> {
    let detail: String = r.get(6)?;
    Ok(AuditRow {
        position: (0, r.get(0)?),
        at: r.get(1)?,
        actor: r.get(2)?,
        action: r.get(3)?,
        target_kind: r.get(4)?,
        target_id: r.get(5)?,
        detail: serde_json::from_str(&detail)
            .map_err(|error| StoreError::Corrupt(format!("audit_log.detail is not valid JSON: {error}")))?,
    })
}
