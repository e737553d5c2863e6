//! The append-only revocation log.

use std::pin::pin;

use futures_util::TryStreamExt;
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
use crate::model::{AuditEntry, CutOff, Revocation};
use crate::row;

/// Rows that are passed on before other tasks of the thread go on.
const YIELD_EVERY: usize = 10_000;

/// Table expression with a sum that differs when a cut-off was corrected.
macro_rules! corrections {
    () => {
        " CROSS JOIN (SELECT coalesce(sum(revocation_id), 0)::bigint AS corrections FROM cutoff_corrections) n"
    };
}

/// The position is read in the same statement as the rows, and so in the same snapshot.
const ALL: &str = concat!(
    "SELECT s.floor, s.run, n.corrections,
        r.target_kind, r.target_id, coalesce(c.cutoff_ms, r.cutoff_ms), r.client_version, r.expires_at FROM ",
    snapshot!(),
    corrections!(),
    " LEFT JOIN revocations r ON true LEFT JOIN cutoff_corrections c ON c.revocation_id = r.id ORDER BY r.id"
);

const SINCE: &str = concat!(
    "SELECT s.floor, s.run, n.corrections,
        r.target_kind, r.target_id, coalesce(c.cutoff_ms, r.cutoff_ms), r.client_version, r.expires_at FROM ",
    snapshot!(),
    corrections!(),
    " LEFT JOIN revocations r ON r.txid >= $1 AND r.txid < s.ceiling
      LEFT JOIN cutoff_corrections c ON c.revocation_id = r.id ORDER BY r.id"
);

const CUT_OFFS: &str =
    "SELECT r.target_kind, r.target_id, coalesce(c.cutoff_ms, r.cutoff_ms), r.client_version, r.expires_at, r.id, r.cutoff_ms
    FROM revocations r LEFT JOIN cutoff_corrections c ON c.revocation_id = r.id
    WHERE r.target_kind <> 'token' AND r.id < $1 ORDER BY r.id DESC LIMIT $2";

const CORRECT: &str = "WITH corrected AS (
        INSERT INTO cutoff_corrections (revocation_id, cutoff_ms)
        SELECT id, $2::bigint FROM revocations WHERE id = $1::bigint AND target_kind <> 'token' AND cutoff_ms > $2
        ON CONFLICT (revocation_id) DO NOTHING RETURNING revocation_id)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
    SELECT $3, $4, $5, r.target_kind, r.target_id, $6 FROM corrected JOIN revocations r ON r.id = revocation_id";

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
                &Seconds((now_ms / 1000) as i64 - row::CHANGE_SPREADS_IN),
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

    pub(crate) async fn for_each_revocation_since(
        &self,
        from: LogPosition,
        on_row: &mut (dyn FnMut(Revocation) + Send),
    ) -> Result<LogPosition> {
        if from != LogPosition::default() {
            let (found, position) = with_connection!(self, ORDINARY, |connection| {
                let rows = connection.query(SINCE, &[&from.at]).await?;
                let position = position_of(rows.first())?;
                let found = rows.iter().filter_map(|r| appended(r).transpose());
                Ok((found.collect::<std::result::Result<Vec<_>, Failure>>()?, position))
            })?;
            if position.is_corrected(&from) {
                return Ok(position);
            }
            if position.is_comparable(&from) {
                for (passed, revocation) in (1..).zip(found) {
                    on_row(revocation);
                    if passed % YIELD_EVERY == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                return Ok(position);
            }
        }
        // All rows may be millions: they are never in memory together.
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let mut rows = pin!(connection.stream(ALL).await?);
            let mut position = None;
            while let Some(r) = rows.try_next().await? {
                if position.is_none() {
                    position = Some(position_of(Some(&r))?);
                }
                if let Some(revocation) = appended(&r)? {
                    on_row(revocation);
                }
            }
            connection.commit().await?;
            position.map_or_else(|| position_of(None), Ok)
        })
    }

    pub(crate) async fn cut_offs(&self, before: i64, limit: usize) -> Result<Vec<CutOff>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let rows = connection.query(CUT_OFFS, &[&before, &(limit as i64)]).await?;
            connection.commit().await?;
            let cut_off = |r: &Row| {
                Ok(CutOff {
                    id: r.try_get(5)?,
                    revocation: read(r, 0)?,
                    written_ms: r.try_get::<_, i64>(6)? as u64,
                })
            };
            rows.iter().map(cut_off).collect()
        })
    }

    pub(crate) async fn correct_cut_off(
        &self,
        cut_off: &CutOff,
        cutoff_ms: u64,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 6] = [
                &cut_off.id,
                &(cutoff_ms as i64),
                &Seconds((now_ms / 1000) as i64),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            Ok(connection.execute(CORRECT, &params).await? == 1)
        })
    }
}

/// The position in the first row that a read of the log returned.
fn position_of(first: Option<&Row>) -> std::result::Result<LogPosition, Failure> {
    let corrections = first.map_or(Ok(0), |r| r.try_get(2))?;
    Ok(LogPosition {
        corrections,
        ..position(first)?
    })
}

/// The appended row; `None` if nothing but the position was read.
fn appended(r: &Row) -> std::result::Result<Option<Revocation>, Failure> {
    let is_row = r.try_get::<_, Option<&str>>(3)?.is_some();
    is_row.then(|| read(r, 3)).transpose()
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
