//! The life of a signing key: published, signing, retired, removed.
//!
//! A pure function of the keys' own times and of the store's clock. A key says from when it signs; of the keys of an algorithm
//! whose moment has come, the latest signs. So every node that knows the keys changes over at the same moment, and nobody has
//! to tell anybody. A key that a node does not know yet, it does not sign with; the one before, which it goes on with, is kept
//! for longer than a node may be behind.
//!
//! What has to be written is that a key is made and that it is removed: [`steps`].

use std::time::Duration;

use oauth2_actors::freshness::STALENESS_BUDGET;
use oauth2_actors::model::succession::MOST_KEYS;
use oauth2_actors::model::{KeyAlgorithm, StoredKey};
use serde::Serialize;
use utoipa::ToSchema;

/// How long the phases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a verifier may keep the published keys.
    pub max_age: Duration,
    /// What clocks and nodes may be behind each other.
    pub skew: Duration,
    /// After so long as the signer, a key is followed by a new one; `None` = never by itself.
    pub rotation: Option<Duration>,
}

impl Timing {
    /// How long a key is published before it signs: until nobody has a document without it any more.
    pub fn publication(&self) -> Duration {
        self.max_age + self.skew
    }

    /// The algorithms that get a key when somebody asks for new ones, of one or of each that has keys, and how long each is published
    /// before it signs. The first of its kind signs at once: somebody has to.
    pub fn rotation_of(&self, asked: Option<KeyAlgorithm>, known: &[StoredKey]) -> Vec<(KeyAlgorithm, Duration)> {
        let has = |algorithm: KeyAlgorithm| known.iter().any(|key| key.algorithm == algorithm);
        let wait = |algorithm| {
            if has(algorithm) {
                self.publication()
            } else {
                Duration::ZERO
            }
        };
        let all = KeyAlgorithm::ALL.iter().copied();
        all.filter(|&algorithm| asked.map_or_else(|| has(algorithm), |asked| asked == algorithm))
            .map(|algorithm| (algorithm, wait(algorithm)))
            .collect()
    }

    /// Whether there is no room for a key when it is due: those before it are kept until their last tokens, of so long a life,
    /// have expired.
    pub fn crowds(&self, token_lifetime: Duration) -> bool {
        let beside = self.publication() + token_lifetime + self.grace();
        self.rotation
            .is_some_and(|rotation| beside >= rotation * (MOST_KEYS - 1))
    }

    /// How long a key is kept after the last token that it is known to have signed has expired: a node that has not heard of
    /// its successor signs with it for as long as it may serve without news.
    pub fn grace(&self) -> Duration {
        self.skew + STALENESS_BUDGET
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Published, and yet to sign.
    Published,
    /// Signs.
    Signing,
    /// Signs no more; its tokens may be about yet.
    Retired,
}

impl Phase {
    /// Every phase, as the label of a metric.
    pub const ALL: [Self; 3] = [Self::Published, Self::Signing, Self::Retired];

    /// The phase's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
        }
    }
}

/// A key at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The key.
    pub key: &'a StoredKey,
    /// Where it is in its life.
    pub phase: Phase,
    /// Since when it is retired, Unix milliseconds.
    pub retired_at_ms: Option<i64>,
    /// When it may be removed, Unix milliseconds.
    pub kept_until_ms: Option<i64>,
}

/// What has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// A key has to be made.
    Make {
        /// What it signs.
        algorithm: KeyAlgorithm,
        /// Only if no key signs from a later moment than this one does or will.
        after_ms: i64,
        /// From when it is to sign.
        signs_from_ms: i64,
    },
    /// A key is of no more use.
    Remove(&'a StoredKey),
}

/// Where every key is. `keys` are in the order in which they sign, as the store tells them.
pub fn standings<'a>(keys: &'a [StoredKey], now_ms: i64, timing: &Timing) -> Vec<Standing<'a>> {
    let standing = |(index, key): (usize, &'a StoredKey)| {
        let mut later = keys[index + 1..]
            .iter()
            .filter(|other| other.algorithm == key.algorithm);
        // Who comes next has taken over if its moment has come.
        let successor = later.next().filter(|next| next.signs_from_ms <= now_ms);
        let phase = match successor {
            Some(_) => Phase::Retired,
            None if key.signs_from_ms <= now_ms => Phase::Signing,
            None => Phase::Published,
        };
        let retired_at_ms = successor.map(|successor| successor.signs_from_ms);
        let kept = millis(timing.grace()) + key.token_lifetime * 1000;
        Standing {
            key,
            phase,
            retired_at_ms,
            kept_until_ms: retired_at_ms.map(|at| at + kept),
        }
    };
    keys.iter().enumerate().map(standing).collect()
}

/// What has to be written now. `wanted` are the algorithms that somebody signs with. Removals come first: they make room.
pub fn steps<'a>(keys: &'a [StoredKey], wanted: &[KeyAlgorithm], now_ms: i64, timing: &Timing) -> Vec<Step<'a>> {
    let newest = |algorithm| keys.iter().rfind(|key| key.algorithm == algorithm);
    let make = wanted.iter().filter_map(|&algorithm| {
        let Some(newest) = newest(algorithm) else {
            // Somebody has to sign. A verifier that keeps the other keys meets an unknown name, and fetches them again.
            return Some(Step::Make {
                algorithm,
                after_ms: i64::MIN,
                signs_from_ms: now_ms,
            });
        };
        let publication = millis(timing.publication());
        let due = newest.signs_from_ms + millis(timing.rotation?) - publication;
        (due <= now_ms).then_some(Step::Make {
            algorithm,
            after_ms: newest.signs_from_ms,
            signs_from_ms: now_ms + publication,
        })
    });
    let standings = standings(keys, now_ms, timing);
    let remove = standings
        .into_iter()
        .filter(|standing| standing.kept_until_ms.is_some_and(|until| until < now_ms))
        .map(|standing| Step::Remove(standing.key));
    remove.chain(make).collect()
}

fn millis(duration: Duration) -> i64 {
    // Configured durations are of days at the most.
    duration.as_millis() as i64
}

#[cfg(test)]
mod tests;
