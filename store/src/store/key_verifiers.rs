//! Verifiers of the published key sets.

use super::Store;
use crate::error::Result;
use crate::model::KeyVerifier;

impl Store {
    /// Adds fetches to what is known of their verifiers: `fetches` is added, the last fetch counts. Then deletes verifiers that were not seen
    /// since `forget_before`, and the ones seen longest ago beyond the limit ([`MAX_KEY_VERIFIERS`]).
    ///
    /// [`MAX_KEY_VERIFIERS`]: crate::model::MAX_KEY_VERIFIERS
    pub async fn record_key_fetches(&self, fetches: &[KeyVerifier], forget_before: i64) -> Result<()> {
        dispatch!(self.record_key_fetches(fetches, forget_before))
    }

    /// The verifiers that were seen since a time, the last seen first.
    pub async fn key_verifiers(&self, since: i64) -> Result<Vec<KeyVerifier>> {
        dispatch!(self.key_verifiers(since))
    }
}
