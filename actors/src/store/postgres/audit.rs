//! Reading the audit log. Its order is that of transactions, and what still runs is left out: what was read once has nothing
//! come in before it, so neither a list nor a follower leaves a row out.

use tokio_postgres::Row;

use super::column::Seconds;
use super::{Failure, PATIENT, Param, PostgresStore, Result, verb};
use crate::model::{AuditFilter, AuditPlace, AuditRow};

/// What all readings have in common; the places are `(txid, id)`. A dump that was restored brings rows whose transactions this
/// server has yet to reach: they are over, too.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.txid, a.id, a.at, a.actor, a.action, a.target_kind, a.target_id, a.detail
             FROM audit_log a, (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS floor,
                                       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS ceiling) s
             WHERE (a.txid < s.floor OR a.txid >= s.ceiling)
               AND ($1::timestamptz IS NULL OR a.at >= $1) AND ($2::timestamptz IS NULL OR a.at < $2)
               AND ($3::text IS NULL OR (a.target_kind = 'client' AND a.target_id = $3) OR a.detail->>'client_id' = $3)
               AND ($4::text IS NULL OR a.action = $4 OR starts_with(a.action, $4 || '.'))
               AND ",
            $rest
        )
    };
}

const BACKWARDS: &str = select!("(a.txid, a.id) < ($5, $6) ORDER BY a.txid DESC, a.id DESC LIMIT $7");
const FORWARDS: &str = select!("(a.txid, a.id) > ($5, $6) ORDER BY a.txid, a.id LIMIT $7");

impl PostgresStore {
    pub(in crate::store) async fn audit(
        &self,
        filter: &AuditFilter,
        place: AuditPlace,
        limit: usize,
    ) -> Result<Vec<AuditRow>> {
        let (sql, major, minor) = match place {
            AuditPlace::Newest => (BACKWARDS, i64::MAX, i64::MAX),
            AuditPlace::Before(major, minor) => (BACKWARDS, major, minor),
            AuditPlace::After(major, minor) => (FORWARDS, major, minor),
        };
        let (since, until) = (filter.since.map(Seconds), filter.until.map(Seconds));
        verb!(self, PATIENT, |connection| {
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let params: [&dyn Param; 7] = [
                &since,
                &until,
                &filter.client_id,
                &filter.kind,
                &major,
                &minor,
                &(limit as i64),
            ];
            let rows = connection.query(sql, &params).await?;
            connection.commit().await?;
            rows.iter().map(read).collect()
        })
    }

    pub(in crate::store) async fn purge_audit(&self, before: i64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let step = verb!(self, PATIENT, |connection| {
                let sql = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < $1 LIMIT 5000)";
                Ok(connection.execute(sql, &[&Seconds(before)]).await?)
            })?;
            deleted += step;
            if step < 5000 {
                return Ok(deleted);
            }
        }
    }
}

fn read(r: &Row) -> std::result::Result<AuditRow, Failure> {
    Ok(AuditRow {
        place: (r.try_get(0)?, r.try_get(1)?),
        at: r.try_get::<_, Seconds>(2)?.0,
        actor: r.try_get(3)?,
        action: r.try_get(4)?,
        target_kind: r.try_get(5)?,
        target_id: r.try_get(6)?,
        detail: r.try_get(7)?,
    })
}
