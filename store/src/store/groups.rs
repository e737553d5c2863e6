//! Groups of clients: their limits, and what they used.

use std::ops::Range;

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::{AuditEntry, Group, GroupUsage};

impl Store {
    /// All groups with limits, by name.
    pub async fn groups(&self) -> Result<Vec<Group>> {
        dispatch!(self.groups())
    }

    /// One group with limits.
    pub async fn group(&self, name: &str) -> Result<Option<Group>> {
        dispatch!(self.group(name))
    }

    /// Sets the limits of a group, if the stored ones are still those of `before`; `None`: it has none. [`StoreError::Conflict`]: they
    /// changed after they were read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn put_group(&self, group: &Group, before: Option<&Group>, audit: &AuditEntry) -> Result<()> {
        dispatch!(self.put_group(group, before, audit))?;
        log_audit(audit, "group", &group.name);
        Ok(())
    }

    /// Removes the limits of a group, if the stored ones are still those of `before`; its clients remain. `Ok(false)`: it has none.
    /// [`StoreError::Conflict`]: they changed after they were read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn delete_group(&self, before: &Group, now: i64, audit: &AuditEntry) -> Result<bool> {
        let deleted = dispatch!(self.delete_group(before, now, audit))?;
        if deleted {
            log_audit(audit, "group", &before.name);
        }
        Ok(deleted)
    }

    /// Adds to what groups used, all rows or none.
    pub async fn add_group_usage(&self, usages: &[GroupUsage]) -> Result<()> {
        dispatch!(self.add_group_usage(usages))
    }

    /// What groups, or one of them, used on days that begin in `days` (Unix seconds), by day and group.
    pub async fn group_usage(&self, days: Range<i64>, group: Option<&str>) -> Result<Vec<GroupUsage>> {
        dispatch!(self.group_usage(days, group))
    }

    /// Deletes what groups used on days that began before `before`; returns the number of deleted rows.
    pub async fn purge_group_usage(&self, before: i64) -> Result<u64> {
        dispatch!(self.purge_group_usage(before))
    }

    /// The groups whose clients have the most unexpired tokens in the ledger, and how many.
    pub async fn top_groups(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        dispatch!(self.top_groups(now, limit))
    }
}
