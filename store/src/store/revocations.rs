//! The append-only revocation log.

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, CutOff, Revocation};
use crate::row;

impl Store {
    /// Appends a revocation, with its audit row. Revoking again is not an error. A cut-off of a client also covers tokens that
    /// were decided by an earlier version of it; one of the issuer is followed by such cut-offs of the clients that changed
    /// within the last seconds. Returns the appended rows.
    pub async fn revoke(&self, revocation: &Revocation, now_ms: u64, audit: &AuditEntry) -> Result<Vec<Revocation>> {
        let appended = dispatch!(self.revoke(revocation, now_ms, audit))?;
        let (kind, id) = row::target(&revocation.target);
        log_audit(audit, kind, &id);
        Ok(appended)
    }

    /// Appends several revocations of tokens, all or none, each with its audit row.
    pub async fn revoke_many(&self, revocations: &[(Revocation, AuditEntry)], now_ms: u64) -> Result<()> {
        dispatch!(self.revoke_many(revocations, now_ms))?;
        for (revocation, audit) in revocations {
            let (kind, id) = row::target(&revocation.target);
            log_audit(audit, kind, &id);
        }
        Ok(())
    }

    /// Passes the rows that were appended to the revocation log since `from`, one by one, and returns the position to continue from. No row
    /// is ever skipped, in any order of commits; a row may be passed more than once. If `from` belongs to another run of the database, all
    /// rows are passed. If a cut-off was corrected since ([`LogPosition::is_corrected`]), none is: begin again from the default position.
    ///
    /// An error may follow rows that were passed.
    pub async fn for_each_revocation_since(
        &self,
        from: LogPosition,
        on_row: &mut (dyn FnMut(Revocation) + Send),
    ) -> Result<LogPosition> {
        dispatch!(self.for_each_revocation_since(from, on_row))
    }

    /// Up to `limit` cut-offs whose id is below `before`, newest first.
    pub async fn cut_offs(&self, before: i64, limit: usize) -> Result<Vec<CutOff>> {
        dispatch!(self.cut_offs(before, limit))
    }

    /// Appends a correction: the cut-off with this id counts with `cutoff_ms`, which is earlier. `Ok(false)`: there is no such cut-off, it
    /// is not later, or it was corrected before.
    pub async fn correct_cut_off(
        &self,
        cut_off: &CutOff,
        cutoff_ms: u64,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let is_corrected = dispatch!(self.correct_cut_off(cut_off, cutoff_ms, now_ms, audit))?;
        if is_corrected {
            let (kind, id) = row::target(&cut_off.revocation.target);
            log_audit(audit, kind, &id);
        }
        Ok(is_corrected)
    }
}
