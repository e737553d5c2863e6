//! The append-only revocation log. There is one writer, so ids are in commit order.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, CutOff, Revocation, RevocationTarget};
use crate::row;

/// Rows per chunk of a read of the log.
const CHUNK: usize = 10_000;

impl SqliteStore {
    pub(crate) async fn revoke(
        &self,
        revocation: &Revocation,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Vec<Revocation>> {
        let (mut revocation, audit) = (revocation.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let mut appended = Vec::new();
            match &revocation.target {
                RevocationTarget::Client(id) => {
                    let version = t.prepare_cached("SELECT version FROM clients WHERE client_id = ?1")?;
                    revocation.client_version = optional(version, id)?.unwrap_or(0);
                }
                RevocationTarget::Issuer => appended = changed_clients(t, revocation.cutoff_ms, now_ms)?,
                _ => {}
            }
            let (kind, id) = row::target(&revocation.target);
            appended.insert(0, revocation);
            for revocation in &appended {
                append_revocation(t, revocation)?;
            }
            append_audit(t, (now_ms / 1000) as i64, &audit, kind, &id)?;
            Ok(appended)
        })
        .await
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

    pub(crate) async fn for_each_revocation_since(
        &self,
        from: LogPosition,
        on_row: &mut (dyn FnMut(Revocation) + Send),
    ) -> Result<LogPosition> {
        let is_first_read = from == LogPosition::default();
        let mut position = from;
        loop {
            let is_first_chunk = position == from;
            let (chunk, read) = self.revocations_after(position).await?;
            if !is_first_read && read.is_corrected(&from) {
                return Ok(read);
            }
            position.at = read.at;
            if is_first_read && is_first_chunk {
                // A correction between two chunks is found by the next read from the position that this one returns.
                position.corrections = read.corrections;
            }
            let is_last = chunk.len() < CHUNK;
            chunk.into_iter().for_each(&mut *on_row);
            if is_last {
                return Ok(position);
            }
        }
    }

    /// Up to [`CHUNK`] rows of the log.
    async fn revocations_after(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        self.read(move |t| {
            let corrections = t
                .prepare_cached("SELECT coalesce(sum(revocation_id), 0) FROM cutoff_corrections")?
                .query_row([], |r| r.get(0))?;
            let mut position = LogPosition { corrections, ..from };
            let mut select = t.prepare_cached(
                "SELECT r.id, r.target_kind, r.target_id, coalesce(c.cutoff_ms, r.cutoff_ms), r.client_version, r.expires_at
                 FROM revocations r LEFT JOIN cutoff_corrections c ON c.revocation_id = r.id
                 WHERE r.id > ?1 ORDER BY r.id LIMIT ?2",
            )?;
            let mut rows = select.query([from.at, CHUNK as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                position.at = r.get(0)?;
                let kind = r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                found.push(row::revocation(kind, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)?);
            }
            Ok((found, position))
        })
        .await
    }

    pub(crate) async fn cut_offs(&self, before: i64, limit: usize) -> Result<Vec<CutOff>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT r.id, r.target_kind, r.target_id, coalesce(c.cutoff_ms, r.cutoff_ms), r.client_version, r.expires_at,
                     r.cutoff_ms
                 FROM revocations r LEFT JOIN cutoff_corrections c ON c.revocation_id = r.id
                 WHERE r.target_kind <> 'token' AND r.id < ?1 ORDER BY r.id DESC LIMIT ?2",
            )?;
            let mut rows = select.query([before, limit as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                let kind = r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                found.push(CutOff {
                    id: r.get(0)?,
                    revocation: row::revocation(kind, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)?,
                    written_ms: r.get::<_, i64>(6)? as u64,
                });
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn correct_cut_off(
        &self,
        cut_off: &CutOff,
        cutoff_ms: u64,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (cut_off, audit) = (cut_off.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let corrected = t
                .prepare_cached(
                    "INSERT INTO cutoff_corrections (revocation_id, cutoff_ms)
                     SELECT id, ?2 FROM revocations WHERE id = ?1 AND target_kind <> 'token' AND cutoff_ms > ?2
                     ON CONFLICT (revocation_id) DO NOTHING",
                )?
                .execute([cut_off.id, cutoff_ms as i64])?;
            if corrected == 1 {
                let (kind, id) = row::target(&cut_off.revocation.target);
                append_audit(t, (now_ms / 1000) as i64, &audit, kind, &id)?;
            }
            Ok(corrected == 1)
        })
        .await
    }
}

pub(super) fn append_revocation(t: &Connection, revocation: &Revocation) -> std::result::Result<(), Failure> {
    let (kind, id) = row::target(&revocation.target);
    t.prepare_cached(
        "INSERT INTO revocations (target_kind, target_id, cutoff_ms, client_version, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        kind,
        id,
        revocation.cutoff_ms as i64,
        revocation.client_version,
        row::revocation_expiry(revocation)
    ])?;
    Ok(())
}

/// Cut-offs of the clients that changed so recently that a node may still issue by what they were.
fn changed_clients(t: &Connection, cutoff_ms: u64, now_ms: u64) -> std::result::Result<Vec<Revocation>, Failure> {
    let mut select = t.prepare_cached(
        "SELECT client_id, version FROM clients WHERE version > 1 AND client_id IN (
             SELECT target_id FROM audit_log WHERE at >= ?1 AND target_kind = 'client')",
    )?;
    let since = (now_ms / 1000) as i64 - row::CHANGE_SPREADS_IN;
    let found = select.query_map([since], |r| {
        Ok(Revocation::of_client(r.get::<_, String>(0)?, cutoff_ms, r.get(1)?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The greatest version that a cut-off of a client names: that of its predecessors under the same id. `None`: it had none.
pub(super) fn predecessor_version(t: &Connection, client_id: &str) -> std::result::Result<Option<i64>, Failure> {
    let select = t.prepare_cached(
        "SELECT max(client_version) FROM revocations WHERE target_kind = 'client' AND target_id = ?1 HAVING count(*) > 0",
    )?;
    optional(select, client_id)
}

fn optional(mut select: CachedStatement<'_>, client_id: &str) -> std::result::Result<Option<i64>, Failure> {
    Ok(select.query_row([client_id], |r| r.get(0)).optional()?)
}
