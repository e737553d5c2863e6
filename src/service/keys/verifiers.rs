//! Verifiers of the published key sets, and which keys they have not fetched.

use std::time::{Duration, Instant};

use oauth2_store::model::{KeyVerifier, StoredKey, key_verifier};
use serde::Serialize;
use utoipa::ToSchema;

use super::{KeysAt, SigningKeys};
use crate::keys::lifecycle::{Phase, key_states};
use crate::keys::verifiers;
use crate::service::error::{Result, ServiceError};
use crate::service::schema;

/// The latest deadline of a rotation that waits for verifiers, seconds.
const MAX_DEADLINE: u64 = 90 * 24 * 3600;

/// The verifiers of the key sets and the keys, of one moment.
#[derive(Debug)]
pub struct VerifiersAt {
    /// The keys.
    pub keys: KeysAt,
    /// Every verifier that is remembered, the last seen first.
    pub verifiers: Vec<KeyVerifier>,
}

/// A verifier of a published key set. Times are Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyVerifier)]
pub struct VerifierView<'a> {
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

/// Why a key that waits for its verifiers does not sign yet.
#[derive(Debug, Serialize)]
pub struct WaitingKey<'a> {
    /// The key.
    pub kid: &'a str,
    /// The reason.
    pub reason: String,
}

impl VerifiersAt {
    /// The keys that wait for their verifiers and cannot sign now.
    pub fn waiting(&self, timing: &crate::keys::lifecycle::KeyTiming) -> Vec<WaitingKey<'_>> {
        let KeysAt { keys, now_ms, .. } = &self.keys;
        let reason = |key: &StoredKey| verifiers::waits_for(key, keys, &self.verifiers, *now_ms, timing);
        verifiers::waiting(keys, *now_ms)
            .filter_map(|key| Some((key, reason(key)?)))
            .map(|(key, reason)| WaitingKey {
                kid: &key.kid,
                reason: reason.to_string(),
            })
            .collect()
    }

    /// Each verifier that was seen in the last week.
    pub fn views(&self, timing: &crate::keys::lifecycle::KeyTiming) -> Vec<VerifierView<'_>> {
        let states = key_states(&self.keys.keys, self.keys.now_ms, timing);
        let is_used = |key: &StoredKey| {
            states
                .iter()
                .any(|state| state.key.kid == key.kid && state.phase != Phase::Retired)
        };
        let view = |verifier: &'_ KeyVerifier| -> Vec<&str> {
            let lacked = verifiers::lacked_by(verifier, &self.keys.keys);
            lacked
                .into_iter()
                .filter(|key| is_used(key))
                .map(|key| key.kid.as_str())
                .collect()
        };
        let now = self.keys.now_ms / 1000;
        self.verifiers
            .iter()
            .filter(|verifier| verifiers::is_recent(verifier, now))
            .map(|verifier| VerifierView {
                document: verifier.document.as_str(),
                address: &verifier.address,
                user_agent: &verifier.user_agent,
                first_seen: verifier.first_seen,
                last_seen: verifier.last_seen,
                fetches: verifier.fetches,
                lacks: view(verifier),
            })
            .collect()
    }
}

impl SigningKeys {
    /// The verifiers of the key sets.
    pub async fn verifiers(&self, deadline: Instant) -> Result<VerifiersAt> {
        let keys = self.list(deadline).await?;
        let since = keys.now_ms / 1000 - key_verifier::FORGET_AFTER;
        let verifiers = self
            .store
            .call(deadline, move |store| async move { store.key_verifiers(since).await })
            .await?;
        Ok(VerifiersAt { keys, verifiers })
    }

    /// Forgets the verifiers of the key sets that were seen until now: others came after the backup of a restored store. No key signs early
    /// until verifiers have been recorded for long enough again.
    pub async fn forget_verifiers(&self, deadline: Instant) -> Result<()> {
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
