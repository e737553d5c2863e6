//! Decides which verifiers have fetched which keys, as a pure function of the stored keys and of the recorded verifiers. A verifier is a
//! program that fetches a key set.
//!
//! Each key set has a generation that grows with every new key ([`key_verifier::generation`]); a verifier has a key if the set that it
//! fetched last has at least the generation of that key.

use std::fmt;

use oauth2_store::model::key_verifier::MERGED;
use oauth2_store::model::{KeyAlgorithm, KeyDocument, KeyVerifier, MAX_KEY_VERIFIERS, StoredKey, key_verifier};

use super::lifecycle::KeyTiming;

/// A verifier counts for this long after it was last seen, seconds.
pub const RECENT: i64 = 7 * 24 * 3600;

/// The beginning of the user agent of this program's own commands, such as `migrate-check`.
const OWN_USER_AGENT: &str = "oauth2_server/";

/// Whether a key set is fetched by a command of this program, which keeps no copy to verify with: it is no verifier.
pub fn is_own_command(user_agent: &str) -> bool {
    user_agent.starts_with(OWN_USER_AGENT)
}

/// The key set that publishes keys of an algorithm.
pub fn document_of(algorithm: KeyAlgorithm) -> KeyDocument {
    match algorithm {
        KeyAlgorithm::PasetoV4Public => KeyDocument::Paseto,
        _ => KeyDocument::Jwks,
    }
}

/// The generation of a key set.
pub fn generation(document: KeyDocument, keys: &[StoredKey]) -> i64 {
    key_verifier::generation(published_at(document, keys))
}

/// The first generation of a key set that has the key.
fn generation_of(key: &StoredKey, keys: &[StoredKey]) -> i64 {
    let until = published_at(document_of(key.algorithm), keys).filter(|at| *at <= key.created_at);
    key_verifier::generation(until)
}

fn published_at(document: KeyDocument, keys: &[StoredKey]) -> impl Iterator<Item = i64> + Clone {
    let of_document = keys.iter().filter(move |key| document_of(key.algorithm) == document);
    of_document.map(|key| key.created_at)
}

/// Whether a verifier was seen recently. `now`: Unix seconds.
pub fn is_recent(verifier: &KeyVerifier, now: i64) -> bool {
    verifier.last_seen > now - RECENT
}

/// The keys that a verifier has not fetched, in the order in which they sign.
pub fn lacked_by<'a>(verifier: &KeyVerifier, keys: &'a [StoredKey]) -> Vec<&'a StoredKey> {
    let lacks = |key: &&StoredKey| {
        document_of(key.algorithm) == verifier.document && verifier.generation < generation_of(key, keys)
    };
    keys.iter().filter(lacks).collect()
}

/// Why a key does not sign before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It has been published for less than the time for which every new key is published.
    ForCaches,
    /// Verifiers have been recorded for less than a week: since this time, Unix seconds, or not at all.
    Unwatched(Option<i64>),
    /// More verifiers were seen in the last week than are remembered.
    Evicted,
    /// Verifiers of one address are counted together.
    Merged,
    /// So many verifiers of the last week have not fetched it.
    ForVerifiers(usize),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForCaches => f.write_str("caches may hold the key set without it"),
            Self::Unwatched(None) => f.write_str("no verifier has been recorded yet, and a week of records is needed"),
            Self::Unwatched(Some(_)) => f.write_str("verifiers have been recorded for less than a week"),
            Self::Evicted => write!(
                f,
                "{MAX_KEY_VERIFIERS} verifiers were seen in the last week, and no more are remembered"
            ),
            Self::Merged => write!(f, "the verifier {MERGED} stands for several verifiers of its address"),
            Self::ForVerifiers(1) => f.write_str("1 verifier lacks it"),
            Self::ForVerifiers(count) => write!(f, "{count} verifiers lack it"),
        }
    }
}

/// Why some verifier of a key set may be unknown. `None`: every verifier of the last week is among the recorded ones, as they were watched for as
/// long, and none was evicted or counted together with others.
fn unknown_verifiers(document: KeyDocument, verifiers: &[KeyVerifier], now: i64) -> Option<Waiting> {
    let watched_since = verifiers.iter().map(|verifier| verifier.first_seen).min();
    let is_recent = |verifier: &KeyVerifier| is_recent(verifier, now);
    let is_merged =
        |verifier: &KeyVerifier| verifier.document == document && verifier.is_merged() && is_recent(verifier);
    if watched_since.is_none_or(|since| since > now - RECENT) {
        Some(Waiting::Unwatched(watched_since))
    } else if verifiers.len() >= MAX_KEY_VERIFIERS && verifiers.iter().all(is_recent) {
        Some(Waiting::Evicted)
    } else if verifiers.iter().any(is_merged) {
        Some(Waiting::Merged)
    } else {
        None
    }
}

/// Why a key that waits for its verifiers cannot sign now. `None`: verifiers had the time that every new key is published for, all of them
/// are known, and every recent verifier has fetched the key. `verifiers`: all that are remembered.
pub fn waits_for(
    key: &StoredKey,
    keys: &[StoredKey],
    verifiers: &[KeyVerifier],
    now_ms: i64,
    timing: &KeyTiming,
) -> Option<Waiting> {
    let (document, generation) = (document_of(key.algorithm), generation_of(key, keys));
    let lacks = |verifier: &&KeyVerifier| {
        verifier.document == document && is_recent(verifier, now_ms / 1000) && verifier.generation < generation
    };
    let behind = verifiers.iter().filter(lacks).count();
    if let Some(unknown) = unknown_verifiers(document, verifiers, now_ms / 1000) {
        Some(unknown)
    } else if behind > 0 {
        Some(Waiting::ForVerifiers(behind))
    } else {
        let is_short = published_for_ms(key, now_ms) < timing.publication().as_millis() as i64;
        is_short.then_some(Waiting::ForCaches)
    }
}

/// The keys that wait for their verifiers.
pub fn waiting(keys: &[StoredKey], now_ms: i64) -> impl Iterator<Item = &StoredKey> {
    keys.iter()
        .filter(move |key| key.when_seen && key.signs_from_ms > now_ms)
}

/// The keys that wait for their verifiers and can sign now. `verifiers`: all that are remembered.
pub fn due_activations<'a>(
    keys: &'a [StoredKey],
    verifiers: &[KeyVerifier],
    now_ms: i64,
    timing: &KeyTiming,
) -> Vec<&'a StoredKey> {
    waiting(keys, now_ms)
        .filter(|key| waits_for(key, keys, verifiers, now_ms, timing).is_none())
        .collect()
}

/// How many verifiers were seen recently, and how many of these lack a key although they have had the time to fetch it that they may cache a
/// key set.
pub fn count(keys: &[StoredKey], verifiers: &[KeyVerifier], now_ms: i64, timing: &KeyTiming) -> (usize, usize) {
    let recent = || verifiers.iter().filter(|verifier| is_recent(verifier, now_ms / 1000));
    let max_age = timing.max_age.as_millis() as i64;
    let is_behind = |verifier: &&KeyVerifier| {
        lacked_by(verifier, keys)
            .iter()
            .any(|key| published_for_ms(key, now_ms) > max_age)
    };
    (recent().count(), recent().filter(is_behind).count())
}

/// For how long a key has been published, milliseconds, rounded down to seconds.
fn published_for_ms(key: &StoredKey, now_ms: i64) -> i64 {
    now_ms - (key.created_at + 1).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMING: KeyTiming = KeyTiming {
        max_age: Duration::from_mins(5),
        skew: Duration::from_mins(1),
        staleness: Duration::ZERO,
        rotation: None,
    };

    fn key(kid: &str, algorithm: KeyAlgorithm, created_at: i64) -> StoredKey {
        StoredKey {
            kid: kid.to_owned(),
            algorithm,
            public_key: Vec::new(),
            wrapped_private_key: String::new(),
            created_at,
            signs_from_ms: created_at * 1000,
            token_lifetime: 60,
            when_seen: false,
        }
    }

    /// A key that waits until a week after it was made.
    fn waiting(kid: &str, algorithm: KeyAlgorithm, created_at: i64) -> StoredKey {
        StoredKey {
            signs_from_ms: (created_at + RECENT) * 1000,
            when_seen: true,
            ..key(kid, algorithm, created_at)
        }
    }

    /// A verifier that fetched, last, the set of these keys.
    fn verifier(document: KeyDocument, keys: &[StoredKey], last_seen: i64) -> KeyVerifier {
        KeyVerifier {
            document,
            address: "10.0.0.1".to_owned(),
            user_agent: "verifier".to_owned(),
            first_seen: 2000 - RECENT,
            last_seen,
            generation: generation(document, keys),
            fetches: 1,
        }
    }

    fn activated(keys: &[StoredKey], verifiers: &[KeyVerifier], now: i64) -> Vec<String> {
        let due = due_activations(keys, verifiers, now * 1000, &TIMING);
        due.into_iter().map(|key| key.kid.clone()).collect()
    }

    #[test]
    fn a_key_waits_for_every_recent_verifier_of_its_set_and_for_the_caches() {
        let old = [
            key("old", KeyAlgorithm::Es256, 1000),
            key("p", KeyAlgorithm::PasetoV4Public, 1000),
        ];
        let keys = [&old[..], &[waiting("new", KeyAlgorithm::Es256, 2000)]].concat();
        let (before, after) = (
            verifier(KeyDocument::Jwks, &old, 2100),
            verifier(KeyDocument::Jwks, &keys, 2100),
        );
        let of_paseto = verifier(KeyDocument::Paseto, &old, 2100);
        assert!(
            activated(&keys, &[after.clone(), of_paseto.clone()], 2360).is_empty(),
            "caches may lack it"
        );
        assert_eq!(activated(&keys, &[after.clone(), of_paseto], 2361), ["new"]);
        assert!(activated(&keys, &[after.clone(), before.clone()], 2361).is_empty());
        let long_after = 2100 + RECENT;
        assert_eq!(activated(&keys, &[before], long_after - 150), Vec::<String>::new());
        let mut later = keys.clone();
        later[2].signs_from_ms = i64::MAX;
        let forgotten = verifier(KeyDocument::Jwks, &old, 2100);
        assert_eq!(
            activated(&later, &[forgotten], long_after),
            ["new"],
            "it was last seen a week ago"
        );
    }

    #[test]
    fn a_key_does_not_sign_early_while_a_verifier_may_be_unknown() {
        let old = [key("old", KeyAlgorithm::Es256, 1000)];
        let keys = [&old[..], &[waiting("new", KeyAlgorithm::Es256, 2000)]].concat();
        let current = verifier(KeyDocument::Jwks, &keys, 2100);
        assert_eq!(activated(&keys, std::slice::from_ref(&current), 3000), ["new"]);
        assert!(activated(&keys, &[], 3000).is_empty(), "nobody was watched");
        let mut new = current.clone();
        new.first_seen = 3001 - RECENT;
        assert!(
            activated(&keys, std::slice::from_ref(&new), 3000).is_empty(),
            "not for a week"
        );
        assert_eq!(activated(&keys, &[new], 3001), ["new"]);
        let mut several = current.clone();
        several.user_agent = key_verifier::MERGED.to_owned();
        assert!(activated(&keys, &[current.clone(), several.clone()], 3000).is_empty());
        several.document = KeyDocument::Paseto;
        assert_eq!(
            activated(&keys, &[current.clone(), several], 3000),
            ["new"],
            "of another set"
        );
        let mut all = vec![current; MAX_KEY_VERIFIERS];
        assert!(activated(&keys, &all, 3000).is_empty(), "one may have been evicted");
        all[7].last_seen = 3000 - RECENT;
        assert_eq!(
            activated(&keys, &all, 3000),
            ["new"],
            "evicted verifiers were seen before"
        );
    }

    #[test]
    fn a_key_that_waits_has_a_reason() {
        let old = [key("old", KeyAlgorithm::Es256, 1000)];
        let keys = [&old[..], &[waiting("new", KeyAlgorithm::Es256, 2000)]].concat();
        let (current, behind) = (
            verifier(KeyDocument::Jwks, &keys, 2100),
            verifier(KeyDocument::Jwks, &old, 2100),
        );
        let reason = |verifiers: &[KeyVerifier], now: i64| {
            let reason = waits_for(&keys[1], &keys, verifiers, now * 1000, &TIMING);
            reason.map(|reason| reason.to_string()).unwrap_or_default()
        };
        let mut merged = current.clone();
        merged.user_agent = MERGED.to_owned();
        let mut new = current.clone();
        new.first_seen = 2100;
        for (verifiers, now, expected) in [
            (
                vec![],
                3000,
                "no verifier has been recorded yet, and a week of records is needed",
            ),
            (vec![new], 3000, "verifiers have been recorded for less than a week"),
            (
                vec![merged],
                3000,
                "the verifier (other) stands for several verifiers of its address",
            ),
            (vec![behind.clone()], 3000, "1 verifier lacks it"),
            (
                vec![behind.clone(), current.clone(), behind],
                3000,
                "2 verifiers lack it",
            ),
            (vec![current.clone()], 2360, "caches may hold the key set without it"),
            (vec![current], 2361, ""),
        ] {
            assert_eq!(reason(&verifiers, now), expected);
        }
    }

    #[test]
    fn verifiers_are_behind_once_their_cache_has_expired() {
        let old = [key("old", KeyAlgorithm::Es256, 1000)];
        let keys = [&old[..], &[key("new", KeyAlgorithm::EdDsa, 2000)]].concat();
        let frozen = verifier(KeyDocument::Jwks, &old, 1500);
        let current = verifier(KeyDocument::Jwks, &keys, 2001);
        let verifiers = [frozen.clone(), current];
        assert_eq!(count(&keys, &verifiers, 2_301_000, &TIMING), (2, 0));
        assert_eq!(count(&keys, &verifiers, 2_302_000, &TIMING), (2, 1));
        assert_eq!(lacked_by(&frozen, &keys)[0].kid, "new");
        let removed = &keys[1..];
        assert!(
            lacked_by(&verifiers[1], removed).is_empty(),
            "older keys are removed without harm"
        );
        assert_eq!(count(&keys, &verifiers, (1500 + RECENT) * 1000, &TIMING), (1, 0));
    }

    #[test]
    fn a_key_of_the_same_second_is_noticed() {
        let first = [key("a", KeyAlgorithm::Es256, 1000)];
        let both = [&first[..], &[key("b", KeyAlgorithm::EdDsa, 1000)]].concat();
        assert!(!lacked_by(&verifier(KeyDocument::Jwks, &first, 1000), &both).is_empty());
        assert!(lacked_by(&verifier(KeyDocument::Jwks, &both, 1000), &both).is_empty());
    }
}
