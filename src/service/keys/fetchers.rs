//! Callers of the published key sets, and which keys they have not fetched.

use std::time::{Duration, Instant};

use oauth2_store::model::{KeyFetcher, StoredKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::{KeysAt, SigningKeys};
use crate::keys::lifecycle::{Phase, key_states};
use crate::keys::verifiers;
use crate::service::error::{Result, ServiceError};
use crate::service::schema;

/// The latest deadline of a rotation that waits for verifiers, seconds.
const MAX_DEADLINE: u64 = 90 * 24 * 3600;

/// The callers of the key sets and the keys, of one moment.
#[derive(Debug)]
pub struct FetchersAt {
    /// The keys.
    pub keys: KeysAt,
    /// The callers that were seen in the last week, the last seen first.
    pub fetchers: Vec<KeyFetcher>,
}

/// A caller of a published key set. Times are Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyFetcher)]
pub struct FetcherView<'a> {
    /// The key set: `jwks` or `paseto`.
    #[schema(value_type = schema::KeyDocument)]
    pub document: &'static str,
    /// Its address.
    pub address: &'a str,
    /// Its `User-Agent`.
    pub user_agent: &'a str,
    /// When it was first seen.
    pub first_seen: i64,
    /// When it last fetched the set.
    pub last_seen: i64,
    /// How often it fetched the set.
    pub fetches: u64,
    /// Keys of the set, published or signing, that it has not fetched.
    pub lacks: Vec<&'a str>,
}

impl FetchersAt {
    /// Each caller.
    pub fn views(&self, timing: &crate::keys::lifecycle::KeyTiming) -> Vec<FetcherView<'_>> {
        let states = key_states(&self.keys.keys, self.keys.now_ms, timing);
        let is_used = |key: &StoredKey| {
            states
                .iter()
                .any(|state| state.key.kid == key.kid && state.phase != Phase::Retired)
        };
        let view = |fetcher: &'_ KeyFetcher| -> Vec<&str> {
            let lacked = verifiers::lacked_by(fetcher, &self.keys.keys);
            lacked
                .into_iter()
                .filter(|key| is_used(key))
                .map(|key| key.kid.as_str())
                .collect()
        };
        self.fetchers
            .iter()
            .map(|fetcher| FetcherView {
                document: fetcher.document.as_str(),
                address: &fetcher.address,
                user_agent: &fetcher.user_agent,
                first_seen: fetcher.first_seen,
                last_seen: fetcher.last_seen,
                fetches: fetcher.fetches,
                lacks: view(fetcher),
            })
            .collect()
    }
}

impl SigningKeys {
    /// The callers of the key sets that were seen in the last week.
    pub async fn fetchers(&self, deadline: Instant) -> Result<FetchersAt> {
        let keys = self.list(deadline).await?;
        let since = keys.now_ms / 1000 - verifiers::RECENT;
        let fetchers = self
            .store
            .call(deadline, move |store| async move { store.key_fetchers(since).await })
            .await?;
        Ok(FetchersAt { keys, fetchers })
    }

    /// Forgets the callers of the key sets that were seen until now: others came after the backup of a restored store. No key signs early
    /// until callers have been recorded for long enough again.
    pub async fn forget_fetchers(&self, deadline: Instant) -> Result<()> {
        let now = (self.store.now_ms().await? / 1000) as i64;
        self.store
            .call(deadline, move |store| async move {
                store.record_key_fetches(&[], now + 1).await
            })
            .await
    }

    /// How long a key waits for its verifiers at most.
    pub(super) fn wait_for_verifiers(&self, seconds: u64) -> Result<Duration> {
        let wait = Duration::from_secs(seconds);
        let (min, max) = (self.timing.publication(), Duration::from_secs(MAX_DEADLINE));
        if (min..=max).contains(&wait) {
            return Ok(wait);
        }
        let reason = format!(
            "must be from {} s, for which every new key is published, to {MAX_DEADLINE} s",
            min.as_millis().div_ceil(1000)
        );
        Err(ServiceError::parameter("deadline_seconds", reason))
    }
}
