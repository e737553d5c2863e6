//! The audit log, and the changes that running servers read from it.

use std::borrow::Cow;

use serde_json::Value;

use super::Store;
use crate::error::Result;
use crate::model::log::LogPosition;
use crate::model::{AuditEntry, AuditFilter, AuditPosition, AuditRow, Change};

impl Store {
    /// Changes recorded in the audit log since `from`, without duplicates, and the position to continue from. No change is
    /// skipped. If the new position is not comparable with `from`, the changes are incomplete: load everything again.
    pub async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        dispatch!(self.changes_since(from))
    }

    /// The current position in the audit log: take it before a full load, then continue with [`Self::changes_since`].
    pub async fn changes_position(&self) -> Result<LogPosition> {
        dispatch!(self.changes_position())
    }

    /// Appends an audit row for an action without another change in the store.
    pub async fn record_audit(&self, audit: &AuditEntry, target_kind: &str, target_id: &str, at: i64) -> Result<()> {
        dispatch!(self.record_audit(audit, target_kind, target_id, at))?;
        log_audit(audit, target_kind, target_id);
        Ok(())
    }

    /// Up to `limit` matching rows of the audit log. Rows of running transactions are left out, so no row ever appears before
    /// one that was already read.
    pub async fn audit(&self, filter: &AuditFilter, from: AuditPosition, limit: usize) -> Result<Vec<AuditRow>> {
        dispatch!(self.audit(filter, from, limit))
    }

    /// Deletes audit rows older than `before`, in small steps; returns the number of deleted rows.
    pub async fn purge_audit(&self, before: i64) -> Result<u64> {
        dispatch!(self.purge_audit(before))
    }
}

/// The most items of a list in a line of the application log.
const MAX_LOGGED: usize = 10;

/// A detail as it is logged: without the ids of bulk issuance, which are up to a thousand.
fn short(detail: &Value) -> Cow<'_, Value> {
    match detail["jtis"].as_array() {
        Some(jtis) if jtis.len() > MAX_LOGGED => {
            let mut short = detail.clone();
            short["jtis"] = jtis[..MAX_LOGGED].iter().cloned().chain(["…".into()]).collect();
            Cow::Owned(short)
        }
        _ => Cow::Borrowed(detail),
    }
}

/// Writes an audit row to the application log, once its transaction has committed.
pub(super) fn log_audit(audit: &AuditEntry, target_kind: &str, target_id: &str) {
    let (actor, action, detail) = (&audit.actor, audit.action, short(&audit.detail));
    tracing::info!(target: "audit", actor, action, target_kind, target_id, %detail, "audited");
}
