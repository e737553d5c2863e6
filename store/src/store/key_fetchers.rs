//! Callers of the published key sets.

use super::Store;
use crate::error::Result;
use crate::model::KeyFetcher;

impl Store {
    /// Adds fetches to what is known of their callers: `fetches` is added, the last fetch counts. Then deletes callers that were not seen
    /// since `forget_before`, and the ones seen longest ago beyond the limit ([`MAX_KEY_FETCHERS`]).
    ///
    /// [`MAX_KEY_FETCHERS`]: crate::model::MAX_KEY_FETCHERS
    pub async fn record_key_fetches(&self, fetches: &[KeyFetcher], forget_before: i64) -> Result<()> {
        dispatch!(self.record_key_fetches(fetches, forget_before))
    }

    /// The callers that were seen since a time, the last seen first.
    pub async fn key_fetchers(&self, since: i64) -> Result<Vec<KeyFetcher>> {
        dispatch!(self.key_fetchers(since))
    }
}
