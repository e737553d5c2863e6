//! Quota usage: tokens issued per client and calendar window.

use super::Store;
use crate::error::Result;
use crate::model::{LeaseGrant, LeaseRequest, Usage, Window};

impl Store {
    /// Up to `limit` usage rows after the given row, ordered by client and window.
    pub async fn quota_usage(&self, after: Option<(&str, Window)>, limit: usize) -> Result<Vec<Usage>> {
        dispatch!(self.quota_usage(after, limit))
    }

    /// The usage rows of these clients, in no particular order.
    pub async fn quota_usage_by_client(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
        dispatch!(self.quota_usage_by_client(client_ids))
    }

    /// Adds to the stored usage, all rows or none. Returns the new totals, which include the usage of all nodes.
    pub async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        dispatch!(self.add_quota_usage(usages))
    }

    /// Counts tokens as used before they are issued, as far as the quotas allow. Answers in the order of the requests. No two requests
    /// are of the same client.
    pub async fn lease_quota(&self, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>> {
        dispatch!(self.lease_quota(requests))
    }

    /// Takes back what was leased and not issued: `used` is subtracted from windows with the same start.
    pub async fn return_quota(&self, usages: &[Usage]) -> Result<()> {
        dispatch!(self.return_quota(usages))
    }

    /// Deletes the usage of windows that started before `before`; returns the number of deleted rows.
    pub async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        dispatch!(self.purge_quota_usage(before))
    }
}
