//! The append-only revocation log.

use serde_json::Value;
use tokio_postgres::Row;

use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::snapshot::{position, snapshot};
use super::timeouts::{LONG, LONG_STATEMENT, ORDINARY};
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, Revocation};
use crate::row;

/// The position is read in the same statement as the rows, and so in the same snapshot.
const ALL: &str = concat!(
    "SELECT s.floor, s.run, r.target_kind, r.target_id, r.cutoff_ms, r.client_version, r.expires_at FROM ",
    snapshot!(),
    " LEFT JOIN revocations r ON true ORDER BY r.id"
);

const SINCE: &str = concat!(
    "SELECT s.floor, s.run, r.target_kind, r.target_id, r.cutoff_ms, r.client_version, r.expires_at FROM ",
    snapshot!(),
    " LEFT JOIN revocations r ON r.txid >= $1 AND r.txid < s.ceiling ORDER BY r.id"
);

impl PostgresStore {
    pub(crate) async fn revoke(
        &self,
        revocation: &Revocation,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Vec<Revocation>> {
        let (kind, id) = row::target(&revocation.target);
        // `changed`: clients that changed so recently that a node may still issue by what they were.
        let sql = "WITH changed AS (
                SELECT client_id, version FROM clients WHERE $1 = 'issuer' AND version > 1 AND client_id IN (
                    SELECT target_id FROM audit_log WHERE at >= $9 AND target_kind = 'client')),
            audited AS (
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                VALUES ($5, $6, $7, $1, $2, $8))
            INSERT INTO revocations (target_kind, target_id, cutoff_ms, client_version, expires_at)
            SELECT $1, $2, $3,
                coalesce((SELECT version FROM clients WHERE $1 = 'client' AND client_id = $2), 0), $4
            UNION ALL SELECT 'client', client_id, $3, version, $4 FROM changed
            RETURNING target_kind, target_id, cutoff_ms, client_version, expires_at";
        with_connection!(self, ORDINARY, |connection| {
            let cutoff_ms = revocation.cutoff_ms;
            let params: [&dyn Param; 9] = [
                &kind,
                &id,
                &(cutoff_ms as i64),
                &Seconds(row::revocation_expiry(revocation)),
                &Seconds((now_ms / 1000) as i64),
                &audit.actor,
                &audit.action,
                &audit.detail,
                &Seconds((cutoff_ms / 1000) as i64 - row::CHANGE_SPREADS_IN),
            ];
            let rows = connection.query(sql, &params).await?;
            rows.iter().map(|r| read(r, 0)).collect()
        })
    }

    pub(crate) async fn revoke_many(&self, revocations: &[(Revocation, AuditEntry)], now_ms: u64) -> Result<()> {
        let sql = "WITH input AS (
                SELECT unnest($1::text[]) AS kind, unnest($2::text[]) AS id, unnest($3::bigint[]) AS cutoff,
                    unnest($4::timestamptz[]) AS expires, unnest($6::text[]) AS actor,
                    unnest($7::text[]) AS action, unnest($8::jsonb[]) AS detail),
            revoked AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                SELECT kind, id, cutoff, expires FROM input)
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $5, actor, action, kind, id, detail FROM input";
        let (kinds, ids): (Vec<&str>, Vec<String>) = revocations.iter().map(|(r, _)| row::target(&r.target)).unzip();
        let cutoffs: Vec<i64> = revocations.iter().map(|(r, _)| r.cutoff_ms as i64).collect();
        let expiries: Vec<Seconds> = revocations
            .iter()
            .map(|(r, _)| Seconds(row::revocation_expiry(r)))
            .collect();
        let actors: Vec<&str> = revocations.iter().map(|(_, audit)| &*audit.actor).collect();
        let actions: Vec<&str> = revocations.iter().map(|(_, audit)| audit.action).collect();
        let details: Vec<Value> = revocations.iter().map(|(_, audit)| audit.detail.clone()).collect();
        with_connection!(self, LONG, |connection| {
            let at = Seconds((now_ms / 1000) as i64);
            let params: [&dyn Param; 8] = [&kinds, &ids, &cutoffs, &expiries, &at, &actors, &actions, &details];
            connection.execute(sql, &params).await?;
            Ok(())
        })
    }

    pub(crate) async fn revocations_since(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        if from != LogPosition::default() {
            let read = with_connection!(self, ORDINARY, |connection| {
                let rows = connection.query(SINCE, &[&from.at]).await?;
                revocations(&rows)
            })?;
            if read.1.is_comparable(&from) {
                return Ok(read);
            }
        }
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let rows = connection.query(ALL, &[]).await?;
            connection.commit().await?;
            revocations(&rows)
        })
    }
}

fn revocations(rows: &[Row]) -> std::result::Result<(Vec<Revocation>, LogPosition), Failure> {
    let mut found = Vec::with_capacity(rows.len());
    for r in rows {
        if r.try_get::<_, Option<&str>>(2)?.is_some() {
            found.push(read(r, 2)?);
        }
    }
    Ok((found, position(rows)?))
}

/// The revocation in the five columns from `first` on.
fn read(r: &Row, first: usize) -> std::result::Result<Revocation, Failure> {
    let (kind, id) = (r.try_get(first)?, r.try_get(first + 1)?);
    let expires_at = r.try_get::<_, Seconds>(first + 4)?.0;
    Ok(row::revocation(
        kind,
        id,
        r.try_get(first + 2)?,
        r.try_get(first + 3)?,
        expires_at,
    )?)
}
