//! The append-only revocation log.

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, Revocation};
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

    /// Rows appended to the revocation log since `from`, and the position to continue from. No row is ever skipped, in any
    /// order of commits; a row may be returned more than once. If `from` belongs to another run of the database, all rows are
    /// returned.
    pub async fn revocations_since(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        dispatch!(self.revocations_since(from))
    }
}
