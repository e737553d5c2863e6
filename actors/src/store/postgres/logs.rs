//! The revocation log and the audit log.
//!
//! A position is a transaction id: every transaction below it had ended when the log was read, in that same snapshot. So
//! a row that commits late is still ahead of the position; rows at or above it may be handed out again.

use super::column::Seconds;
use super::{AuditEntry, Change, LogPosition, ORDINARY, PATIENT, PostgresStore, Result, Revocation, row, verb};

impl PostgresStore {
    pub(in crate::store) async fn revoke(
        &self,
        revocation: &Revocation,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let (kind, id) = row::target(&revocation.target);
        let sql = "WITH logged AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at) VALUES ($1, $2, $3, $4))
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) VALUES ($5, $6, $7, $1, $2, $8)";
        verb!(self, ORDINARY, |connection| {
            connection
                .execute(
                    sql,
                    &[
                        &kind,
                        &id,
                        &(revocation.cutoff_ms as i64),
                        &Seconds(row::revocation_expiry(revocation)),
                        &Seconds((now_ms / 1000) as i64),
                        &audit.actor,
                        &audit.action,
                        &audit.detail,
                    ],
                )
                .await?;
            Ok(())
        })
    }

    pub(in crate::store) async fn revocations_since(
        &self,
        from: LogPosition,
    ) -> Result<(Vec<Revocation>, LogPosition)> {
        // The position is read with the rows, in one statement and so in one snapshot.
        let sql = "SELECT s.floor, r.target_kind, r.target_id, r.cutoff_ms, r.expires_at
            FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor) s
            LEFT JOIN revocations r ON r.txid >= $1 ORDER BY r.id";
        verb!(self, PATIENT, |connection| {
            // The first reading may be of very many rows.
            let first = from == LogPosition::default();
            if first {
                connection.batch("BEGIN; SET LOCAL statement_timeout = 5000").await?;
            }
            let rows = connection.query(sql, &[&from.0]).await?;
            if first {
                connection.batch("COMMIT").await?;
            }
            let mut found = Vec::with_capacity(rows.len());
            let mut position = from;
            for r in &rows {
                position = LogPosition(r.try_get(0)?);
                if let Some(kind) = r.try_get::<_, Option<&str>>(1)? {
                    let expires_at = r.try_get::<_, Seconds>(4)?.0;
                    found.push(row::revocation(kind, r.try_get(2)?, r.try_get(3)?, expires_at)?);
                }
            }
            Ok((found, position))
        })
    }

    pub(in crate::store) async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        let sql = "SELECT s.floor, a.action, a.target_id
            FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor) s
            LEFT JOIN (SELECT action, target_id, max(id) AS last FROM audit_log
                WHERE txid >= $1 AND (action LIKE 'client.%' OR action LIKE 'key.%')
                GROUP BY action, target_id) a ON true
            ORDER BY a.last";
        verb!(self, ORDINARY, |connection| {
            let rows = connection.query(sql, &[&from.0]).await?;
            let (mut found, mut position) = (Vec::new(), from);
            let mut seen = std::collections::HashSet::new();
            for r in &rows {
                position = LogPosition(r.try_get(0)?);
                let Some(action) = r.try_get::<_, Option<&str>>(1)? else {
                    continue;
                };
                if let Some(change) = row::change(action, r.try_get(2)?)
                    && seen.insert(change.clone())
                {
                    found.push(change);
                }
            }
            Ok((found, position))
        })
    }

    pub(in crate::store) async fn changes_position(&self) -> Result<LogPosition> {
        verb!(self, ORDINARY, |connection| {
            let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
            Ok(LogPosition(connection.query_one(sql, &[]).await?.try_get(0)?))
        })
    }
}
