//! The revocation log and the audit log.
//!
//! A position is a transaction id: every transaction below it had ended when the log was read, in that same snapshot. So
//! a row that commits late is still ahead of the position; rows at or above it may be handed out again.

use std::collections::HashSet;

use tokio_postgres::Row;

use super::column::Seconds;
use super::{
    AuditEntry, Change, Failure, LogPosition, ORDINARY, PATIENT, Param, PostgresStore, Result, Revocation, StoreError,
};
use super::{row, verb};

/// The position of a statement's snapshot: the oldest transaction that still ran, which run of the server counted it, and
/// (not part of the position) the first transaction that had not begun. A dump that was restored brings rows whose
/// transactions this server has yet to reach: the last figure leaves those out where a log is only followed.
macro_rules! snapshot {
    () => {
        "(SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor,
                 (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS run,
                 pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ceiling) s"
    };
}

/// The position is read with the rows, in one statement and so in one snapshot.
const ALL_REVOCATIONS: &str = concat!(
    "SELECT s.floor, s.run, r.target_kind, r.target_id, r.cutoff_ms, r.expires_at FROM ",
    snapshot!(),
    " LEFT JOIN revocations r ON true ORDER BY r.id"
);

const FOLLOW_REVOCATIONS: &str = concat!(
    "SELECT s.floor, s.run, r.target_kind, r.target_id, r.cutoff_ms, r.expires_at FROM ",
    snapshot!(),
    " LEFT JOIN revocations r ON r.txid >= $1 AND r.txid < s.ceiling ORDER BY r.id"
);

const FOLLOW_CHANGES: &str = concat!(
    "SELECT s.floor, s.run, a.action, a.target_id FROM ",
    snapshot!(),
    " LEFT JOIN audit_log a ON a.txid >= $1 AND a.txid < s.ceiling
        AND (a.action LIKE 'client.%' OR a.action LIKE 'key.%')
      ORDER BY a.id"
);

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

    pub(in crate::store) async fn revoke_many(
        &self,
        revocations: &[Revocation],
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let sql = "WITH asked AS (
                SELECT unnest($1::text[]) AS kind, unnest($2::text[]) AS id, unnest($3::bigint[]) AS cutoff,
                    unnest($4::timestamptz[]) AS expires),
            logged AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                SELECT kind, id, cutoff, expires FROM asked)
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $5, $6, $7, kind, id, $8 FROM asked";
        let (kinds, ids): (Vec<&str>, Vec<String>) = revocations.iter().map(|r| row::target(&r.target)).unzip();
        let cutoffs: Vec<i64> = revocations.iter().map(|r| r.cutoff_ms as i64).collect();
        let expiries: Vec<Seconds> = revocations.iter().map(|r| Seconds(row::revocation_expiry(r))).collect();
        verb!(self, PATIENT, |connection| {
            let at = Seconds((now_ms / 1000) as i64);
            let params: [&dyn Param; 8] = [
                &kinds,
                &ids,
                &cutoffs,
                &expiries,
                &at,
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            connection.execute(sql, &params).await?;
            Ok(())
        })
    }

    pub(in crate::store) async fn note(
        &self,
        audit: &AuditEntry,
        target_kind: &str,
        target_id: &str,
        at: i64,
    ) -> Result<()> {
        verb!(self, ORDINARY, |connection| {
            let sql = "INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                VALUES ($1, $2, $3, $4, $5, $6)";
            let params: [&dyn Param; 6] = [
                &Seconds(at),
                &audit.actor,
                &audit.action,
                &target_kind,
                &target_id,
                &audit.detail,
            ];
            connection.execute(sql, &params).await?;
            Ok(())
        })
    }

    pub(in crate::store) async fn revocations_since(
        &self,
        from: LogPosition,
    ) -> Result<(Vec<Revocation>, LogPosition)> {
        if from != LogPosition::default() {
            let read = verb!(self, ORDINARY, |connection| {
                let rows = connection.query(FOLLOW_REVOCATIONS, &[&from.at]).await?;
                revocations(&rows)
            })?;
            if read.1.is_comparable(&from) {
                return Ok(read);
            }
        }
        verb!(self, PATIENT, |connection| {
            // It may be of very many rows.
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let rows = connection.query(ALL_REVOCATIONS, &[]).await?;
            connection.commit().await?;
            revocations(&rows)
        })
    }

    pub(in crate::store) async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        verb!(self, ORDINARY, |connection| {
            let rows = connection.query(FOLLOW_CHANGES, &[&from.at]).await?;
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for r in &rows {
                let Some(action) = r.try_get::<_, Option<&str>>(2)? else {
                    continue;
                };
                if let Some(change) = row::change(action, r.try_get(3)?)
                    && seen.insert(change.clone())
                {
                    found.push(change);
                }
            }
            Ok((found, position(&rows)?))
        })
    }

    pub(in crate::store) async fn changes_position(&self) -> Result<LogPosition> {
        verb!(self, ORDINARY, |connection| {
            let rows = connection.query(concat!("SELECT * FROM ", snapshot!()), &[]).await?;
            position(&rows)
        })
    }
}

/// Where the rows of a reading end: every one of them begins with it.
fn position(rows: &[Row]) -> std::result::Result<LogPosition, Failure> {
    let first = rows
        .first()
        .ok_or_else(|| StoreError::Corrupt("a snapshot told no position".into()))?;
    Ok(LogPosition {
        at: first.try_get(0)?,
        run: first.try_get(1)?,
    })
}

fn revocations(rows: &[Row]) -> std::result::Result<(Vec<Revocation>, LogPosition), Failure> {
    let mut found = Vec::with_capacity(rows.len());
    for r in rows {
        if let Some(kind) = r.try_get::<_, Option<&str>>(2)? {
            let expires_at = r.try_get::<_, Seconds>(5)?.0;
            found.push(row::revocation(kind, r.try_get(3)?, r.try_get(4)?, expires_at)?);
        }
    }
    Ok((found, position(rows)?))
}
