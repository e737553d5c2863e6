//! The audit log, and the changes that running servers read from it.
//!
//! Rows are ordered by transaction, and rows of running transactions are left out. So no row ever appears before one that was
//! already read, and neither a list nor a follower skips a row.

use std::collections::HashSet;

use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::snapshot::{position, snapshot};
use super::timeouts::{LONG, LONG_STATEMENT, ORDINARY};
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, AuditFilter, AuditPosition, AuditRow, Change};
use crate::row;

/// Rows deleted by one statement.
const CHUNK: u64 = 5000;

/// The common part of all reads; positions are `(txid, id)`, where `txid` is a position of [`snapshot`](super::snapshot). After a
/// restore into a cluster with lower transaction ids, rows may be beyond the snapshot: their transactions have ended in the old cluster.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.txid, a.id, a.at, a.actor, a.action, a.target_kind, a.target_id, a.detail FROM audit_log a, ",
            snapshot!(),
            " WHERE (a.txid < s.floor OR a.txid >= s.ceiling)
               AND ($1::timestamptz IS NULL OR a.at >= $1) AND ($2::timestamptz IS NULL OR a.at < $2)
               AND ($3::text IS NULL OR (a.target_kind = 'client' AND a.target_id = $3) OR a.detail->>'client_id' = $3)
               AND ($4::text IS NULL OR a.action = $4 OR starts_with(a.action, $4 || '.'))
               AND ($5::text IS NULL OR a.actor = $5)
               AND ($6::text IS NULL OR a.detail->>'credential' = $6)
               AND ($7::text IS NULL OR (a.target_kind = 'token' AND a.target_id = $7) OR a.detail->>'credential' = $7
                    OR (a.action = 'token.issue' AND a.detail->'jtis' ? $7))
               AND ",
            $rest
        )
    };
}

const BACKWARD: &str = select!("(a.txid, a.id) < ($8, $9) ORDER BY a.txid DESC, a.id DESC LIMIT $10");
const FORWARD: &str = select!("(a.txid, a.id) > ($8, $9) ORDER BY a.txid, a.id LIMIT $10");

const CHANGES_SINCE: &str = concat!(
    "SELECT s.floor, s.run, a.action, a.target_id FROM ",
    snapshot!(),
    " LEFT JOIN audit_log a ON a.txid >= $1 AND a.txid < s.ceiling
        AND (a.action LIKE 'client.%' OR a.action LIKE 'key.%' OR a.action LIKE 'group.%')
      ORDER BY a.id"
);

impl PostgresStore {
    pub(crate) async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        with_connection!(self, ORDINARY, |connection| {
            let rows = connection.query(CHANGES_SINCE, &[&from.at]).await?;
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
            Ok((found, position(rows.first())?))
        })
    }

    pub(crate) async fn changes_position(&self) -> Result<LogPosition> {
        with_connection!(self, ORDINARY, |connection| {
            let rows = connection.query(concat!("SELECT * FROM ", snapshot!()), &[]).await?;
            position(rows.first())
        })
    }

    pub(crate) async fn record_audit(
        &self,
        audit: &AuditEntry,
        target_kind: &str,
        target_id: &str,
        at: i64,
    ) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
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

    pub(crate) async fn audit(&self, filter: &AuditFilter, from: AuditPosition, limit: usize) -> Result<Vec<AuditRow>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let rows = audit_on(connection, filter, from, limit).await?;
            connection.commit().await?;
            Ok(rows)
        })
    }

    pub(crate) async fn purge_audit(&self, before: i64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let step = with_connection!(self, LONG, |connection| {
                let sql = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < $1 LIMIT $2)";
                let params: [&dyn Param; 2] = [&Seconds(before), &(CHUNK as i64)];
                Ok(connection.execute(sql, &params).await?)
            })?;
            deleted += step;
            if step < CHUNK {
                return Ok(deleted);
            }
        }
    }
}

/// Rows of the log. In a transaction, for its time limit.
pub(super) async fn audit_on(
    connection: &mut Connection,
    filter: &AuditFilter,
    from: AuditPosition,
    limit: usize,
) -> std::result::Result<Vec<AuditRow>, Failure> {
    let (sql, txid, id) = match from {
        AuditPosition::Newest => (BACKWARD, i64::MAX, i64::MAX),
        AuditPosition::Before(txid, id) => (BACKWARD, txid, id),
        AuditPosition::After(txid, id) => (FORWARD, txid, id),
    };
    let (since, until) = (filter.since.map(Seconds), filter.until.map(Seconds));
    let jti = filter.jti.map(|jti| jti.to_string());
    let params: [&dyn Param; 10] = [
        &since,
        &until,
        &filter.client_id,
        &filter.kind,
        &filter.actor,
        &filter.credential,
        &jti,
        &txid,
        &id,
        &(limit as i64),
    ];
    let rows = connection.query(sql, &params).await?;
    rows.iter().map(read).collect()
}

fn read(r: &Row) -> std::result::Result<AuditRow, Failure> {
    Ok(AuditRow {
        position: (r.try_get(0)?, r.try_get(1)?),
        at: r.try_get::<_, Seconds>(2)?.0,
        actor: r.try_get(3)?,
        action: r.try_get(4)?,
        target_kind: r.try_get(5)?,
        target_id: r.try_get(6)?,
        detail: r.try_get(7)?,
    })
}
