//! Verifiers of the published key sets.

use super::Store;
use crate::error::Result;
use crate::model::KeyVerifier;

impl Store {
    /// Records fetches with their verifiers: `fetches` is added, and the last fetch replaces the earlier one. Then deletes verifiers that were not seen
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
