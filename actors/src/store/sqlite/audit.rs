//! Reading the audit log. The writer is alone, so ids grow in the order of commits.

use rusqlite::{Row, params};

use super::{Failure, Result, SqliteStore, StoreError};
use crate::model::{AuditFilter, AuditPlace, AuditRow};

const SELECT: &str = "SELECT id, at, actor, action, target_kind, target_id, detail FROM audit_log
    WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2)
      AND (?3 IS NULL OR (target_kind = 'client' AND target_id = ?3) OR json_extract(detail, '$.client_id') = ?3)
      AND (?4 IS NULL OR action = ?4 OR substr(action, 1, length(?4) + 1) = ?4 || '.')";

impl SqliteStore {
    pub(in crate::store) async fn audit(
        &self,
        filter: &AuditFilter,
        place: AuditPlace,
        limit: usize,
    ) -> Result<Vec<AuditRow>> {
        let (rest, id) = match place {
            AuditPlace::Newest => ("id < ?5 ORDER BY id DESC", i64::MAX),
            AuditPlace::Before(_, id) => ("id < ?5 ORDER BY id DESC", id),
            AuditPlace::After(_, id) => ("id > ?5 ORDER BY id", id),
        };
        let filter = filter.clone();
        self.read(move |t| {
            let mut select = t.prepare_cached(&format!("{SELECT} AND {rest} LIMIT ?6"))?;
            let mut rows = select.query(params![
                filter.since,
                filter.until,
                filter.client_id,
                filter.kind,
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

    pub(in crate::store) async fn purge_audit(&self, before: i64) -> Result<u64> {
        self.purge(
            "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ?1 LIMIT ?2)",
            before,
        )
        .await
    }
}

fn read(r: &Row<'_>) -> std::result::Result<AuditRow, Failure> {
    let detail: String = r.get(6)?;
    Ok(AuditRow {
        place: (0, r.get(0)?),
        at: r.get(1)?,
        actor: r.get(2)?,
        action: r.get(3)?,
        target_kind: r.get(4)?,
        target_id: r.get(5)?,
        detail: serde_json::from_str(&detail)
            .map_err(|error| StoreError::Corrupt(format!("the detail of an audit row cannot be read: {error}")))?,
    })
}
