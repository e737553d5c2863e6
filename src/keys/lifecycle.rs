//! The lifecycle of a signing key: publish, activate, retire, remove.
//!
//! The state of a key is a pure function of the keys' timestamps and the store's clock. Each key has an activation time
//! (`signs_from_ms`); the key of an algorithm that was activated last signs. So all nodes that know the keys switch at the same
//! time, without coordination. A node that has not read a new key yet continues to sign with the previous one, which is kept
//! for longer than a node may lag behind.
//!
//! Only new keys and removals are written to the store ([`due_steps`]).

use std::time::Duration;

use oauth2_store::model::succession::MAX_KEYS_PER_ALGORITHM;
use oauth2_store::model::{KeyAlgorithm, StoredKey};
use serde::Serialize;
use utoipa::ToSchema;

/// How long keys are published, sign, and are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTiming {
    /// How long verifiers may cache the published keys (`Cache-Control: max-age`).
    pub max_age: Duration,
    /// How far clocks may differ and nodes may lag behind each other.
    pub skew: Duration,
    /// How long a node may sign without contact to the store.
    pub staleness: Duration,
    /// How long a key signs before the next one replaces it; `None`: rotation is manual.
    pub rotation: Option<Duration>,
}

impl KeyTiming {
    /// How long a key is published before it signs: until every cached key set without it has expired.
    pub fn publication(&self) -> Duration {
        self.max_age + self.skew
    }

    /// The algorithms for which a rotation creates keys, and how long each new key is published before it signs. `requested`:
    /// one algorithm; `None`: every algorithm that has keys. The first key of an algorithm signs immediately.
    pub fn rotation_plan(
        &self,
        requested: Option<KeyAlgorithm>,
        stored: &[StoredKey],
    ) -> Vec<(KeyAlgorithm, Duration)> {
        let has = |algorithm: KeyAlgorithm| stored.iter().any(|key| key.algorithm == algorithm);
        let wait = |algorithm| {
            if has(algorithm) {
                self.publication()
            } else {
                Duration::ZERO
            }
        };
        let all = KeyAlgorithm::ALL.iter().copied();
        all.filter(|&algorithm| requested.map_or_else(|| has(algorithm), |requested| requested == algorithm))
            .map(|algorithm| (algorithm, wait(algorithm)))
            .collect()
    }

    /// Whether this rotation interval needs more keys per algorithm than allowed: retired keys are kept until their last tokens
    /// have expired. `token_lifetime`: the maximum lifetime of an access token.
    pub fn exceeds_key_limit(&self, token_lifetime: Duration) -> bool {
        let kept = self.publication() + token_lifetime + self.grace();
        self.rotation
            .is_some_and(|rotation| kept >= rotation * (MAX_KEYS_PER_ALGORITHM - 1))
    }

    /// How long a retired key is kept in addition to the lifetime of its tokens: a node that has not read the next key yet may
    /// sign with it for this long.
    pub fn grace(&self) -> Duration {
        self.skew + self.staleness
    }
}

/// The phase of a key's lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Published, does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// Does not sign any more; its tokens may be unexpired.
    Retired,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 3] = [Self::Published, Self::Signing, Self::Retired];

    /// The name in JSON and in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
        }
    }
}

/// A key and its state at one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState<'a> {
    /// The key.
    pub key: &'a StoredKey,
    /// Its phase.
    pub phase: Phase,
    /// When the next key replaced it, Unix milliseconds; `None` before.
    pub retired_at_ms: Option<i64>,
    /// When it may be removed, Unix milliseconds; `None` until it is retired.
    pub kept_until_ms: Option<i64>,
}

/// A change to the stored keys that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Publish a new key.
    Publish {
        /// The algorithm of the key.
        algorithm: KeyAlgorithm,
        /// Publish only if no key of the algorithm has a later activation time than this, Unix milliseconds.
        after_ms: i64,
        /// The activation time of the key, Unix milliseconds.
        signs_from_ms: i64,
    },
    /// Remove a key whose tokens have expired.
    Remove(&'a StoredKey),
}

/// The state of every key. `keys` are in the order in which they sign, as the store returns them. `now_ms`: Unix milliseconds.
pub fn key_states<'a>(keys: &'a [StoredKey], now_ms: i64, timing: &KeyTiming) -> Vec<KeyState<'a>> {
    let state = |(index, key): (usize, &'a StoredKey)| {
        // The oldest key of an algorithm signs from the beginning: see `Keyring`.
        let is_oldest = !keys[..index].iter().any(|other| other.algorithm == key.algorithm);
        let mut newer = keys[index + 1..]
            .iter()
            .filter(|other| other.algorithm == key.algorithm);
        let successor = newer.next().filter(|next| next.signs_from_ms <= now_ms);
        let phase = match successor {
            Some(_) => Phase::Retired,
            None if key.signs_from_ms <= now_ms || is_oldest => Phase::Signing,
            None => Phase::Published,
        };
        let retired_at_ms = successor.map(|successor| successor.signs_from_ms);
        let retention = millis(timing.grace()) + key.token_lifetime * 1000;
        KeyState {
            key,
            phase,
            retired_at_ms,
            kept_until_ms: retired_at_ms.map(|at| at + retention),
        }
    };
    keys.iter().enumerate().map(state).collect()
}

/// The changes that are due now. `used`: the algorithms that are registered for clients. Removals come first, because the number
/// of keys per algorithm is limited.
pub fn due_steps<'a>(keys: &'a [StoredKey], used: &[KeyAlgorithm], now_ms: i64, timing: &KeyTiming) -> Vec<Step<'a>> {
    let newest = |algorithm| keys.iter().rfind(|key| key.algorithm == algorithm);
    let publish = used.iter().filter_map(|&algorithm| {
        let Some(newest) = newest(algorithm) else {
            // The first key signs immediately: verifiers fetch the key set again when they see an unknown kid.
            return Some(Step::Publish {
                algorithm,
                after_ms: i64::MIN,
                signs_from_ms: now_ms,
            });
        };
        let publication = millis(timing.publication());
        let due = newest.signs_from_ms + millis(timing.rotation?) - publication;
        (due <= now_ms).then_some(Step::Publish {
            algorithm,
            after_ms: newest.signs_from_ms,
            signs_from_ms: now_ms + publication,
        })
    });
    let remove = key_states(keys, now_ms, timing)
        .into_iter()
        .filter(|state| state.kept_until_ms.is_some_and(|until| until < now_ms))
        .map(|state| Step::Remove(state.key));
    remove.chain(publish).collect()
}

/// How many retired keys are to be removed before the last token that they may have signed expires. `longest_lifetime`: of any token,
/// seconds.
pub fn removed_early(keys: &[StoredKey], longest_lifetime: i64, now_ms: i64, timing: &KeyTiming) -> usize {
    let is_early = |state: &KeyState<'_>| state.phase == Phase::Retired && state.key.token_lifetime < longest_lifetime;
    key_states(keys, now_ms, timing)
        .iter()
        .filter(|state| is_early(state))
        .count()
}

fn millis(duration: Duration) -> i64 {
    // No overflow: configured durations are a few years at most.
    duration.as_millis() as i64
}

#[cfg(test)]
mod tests;
