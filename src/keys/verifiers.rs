//! Which verifiers have fetched which keys, as a pure function of the stored keys and of the recorded callers of the key sets.
//!
//! Each key set has a generation that grows with every new key ([`key_fetcher::generation`]); a caller has a key if the set that it
//! fetched last has at least the generation of that key.

use oauth2_store::model::{KeyAlgorithm, KeyDocument, KeyFetcher, MAX_KEY_FETCHERS, StoredKey, key_fetcher};

use super::lifecycle::KeyTiming;

/// A caller counts for this long after it was last seen, seconds.
pub const RECENT: i64 = 7 * 24 * 3600;

/// The key set that publishes keys of an algorithm.
pub fn document_of(algorithm: KeyAlgorithm) -> KeyDocument {
    match algorithm {
        KeyAlgorithm::PasetoV4Public => KeyDocument::Paseto,
        _ => KeyDocument::Jwks,
    }
}

/// The generation of a key set.
pub fn generation(document: KeyDocument, keys: &[StoredKey]) -> i64 {
    key_fetcher::generation(published_at(document, keys))
}

/// The first generation of a key set that has the key.
fn generation_of(key: &StoredKey, keys: &[StoredKey]) -> i64 {
    let until = published_at(document_of(key.algorithm), keys).filter(|at| *at <= key.created_at);
    key_fetcher::generation(until)
}

fn published_at(document: KeyDocument, keys: &[StoredKey]) -> impl Iterator<Item = i64> + Clone {
    let of_document = keys.iter().filter(move |key| document_of(key.algorithm) == document);
    of_document.map(|key| key.created_at)
}

/// Whether a caller was seen recently. `now`: Unix seconds.
pub fn is_recent(fetcher: &KeyFetcher, now: i64) -> bool {
    fetcher.last_seen > now - RECENT
}

/// The keys that a caller has not fetched, in the order in which they sign.
pub fn lacked_by<'a>(fetcher: &KeyFetcher, keys: &'a [StoredKey]) -> Vec<&'a StoredKey> {
    let lacks = |key: &&StoredKey| {
        document_of(key.algorithm) == fetcher.document && fetcher.generation < generation_of(key, keys)
    };
    keys.iter().filter(lacks).collect()
}

/// Whether every verifier of a key set that was there in the last week is among the callers: they were watched for as long, and none was
/// evicted or counted together with others.
fn are_all_known(document: KeyDocument, fetchers: &[KeyFetcher], now: i64) -> bool {
    let watched_since = fetchers.iter().map(|fetcher| fetcher.first_seen).min();
    let is_recent = |fetcher: &KeyFetcher| is_recent(fetcher, now);
    let is_cut_off = fetchers.len() >= MAX_KEY_FETCHERS && fetchers.iter().all(is_recent);
    let is_merged = |fetcher: &KeyFetcher| fetcher.document == document && fetcher.is_merged() && is_recent(fetcher);
    watched_since.is_some_and(|since| since <= now - RECENT) && !is_cut_off && !fetchers.iter().any(is_merged)
}

/// The keys that wait for their verifiers and can sign now: verifiers had the time that every new key is published for, all of them are
/// known, and every recent caller has fetched the key. `fetchers`: all that are remembered.
pub fn due_activations<'a>(
    keys: &'a [StoredKey],
    fetchers: &[KeyFetcher],
    now_ms: i64,
    timing: &KeyTiming,
) -> Vec<&'a StoredKey> {
    let is_seen = |key: &StoredKey| {
        let (document, generation) = (document_of(key.algorithm), generation_of(key, keys));
        let mut recent = fetchers
            .iter()
            .filter(|fetcher| fetcher.document == document && is_recent(fetcher, now_ms / 1000));
        are_all_known(document, fetchers, now_ms / 1000) && recent.all(|fetcher| fetcher.generation >= generation)
    };
    let is_due = |key: &&StoredKey| {
        key.when_seen
            && key.signs_from_ms > now_ms
            && published_for_ms(key, now_ms) >= timing.publication().as_millis() as i64
            && is_seen(key)
    };
    keys.iter().filter(is_due).collect()
}

/// How many callers were seen recently, and how many of these lack a key although they have had the time to fetch it that they may cache a
/// key set.
pub fn count(keys: &[StoredKey], fetchers: &[KeyFetcher], now_ms: i64, timing: &KeyTiming) -> (usize, usize) {
    let recent = || fetchers.iter().filter(|fetcher| is_recent(fetcher, now_ms / 1000));
    let max_age = timing.max_age.as_millis() as i64;
    let is_behind = |fetcher: &&KeyFetcher| {
        lacked_by(fetcher, keys)
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

    /// A caller that fetched, last, the set of these keys.
    fn caller(document: KeyDocument, keys: &[StoredKey], last_seen: i64) -> KeyFetcher {
        KeyFetcher {
            document,
            address: "10.0.0.1".to_owned(),
            user_agent: "verifier".to_owned(),
            first_seen: 2000 - RECENT,
            last_seen,
            generation: generation(document, keys),
            fetches: 1,
        }
    }

    fn activated(keys: &[StoredKey], fetchers: &[KeyFetcher], now: i64) -> Vec<String> {
        let due = due_activations(keys, fetchers, now * 1000, &TIMING);
        due.into_iter().map(|key| key.kid.clone()).collect()
    }

    #[test]
    fn a_key_waits_for_every_recent_caller_of_its_set_and_for_the_caches() {
        let old = [
            key("old", KeyAlgorithm::Es256, 1000),
            key("p", KeyAlgorithm::PasetoV4Public, 1000),
        ];
        let keys = [&old[..], &[waiting("new", KeyAlgorithm::Es256, 2000)]].concat();
        let (before, after) = (
            caller(KeyDocument::Jwks, &old, 2100),
            caller(KeyDocument::Jwks, &keys, 2100),
        );
        let of_paseto = caller(KeyDocument::Paseto, &old, 2100);
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
        let forgotten = caller(KeyDocument::Jwks, &old, 2100);
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
        let current = caller(KeyDocument::Jwks, &keys, 2100);
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
        several.user_agent = key_fetcher::MERGED.to_owned();
        assert!(activated(&keys, &[current.clone(), several.clone()], 3000).is_empty());
        several.document = KeyDocument::Paseto;
        assert_eq!(
            activated(&keys, &[current.clone(), several], 3000),
            ["new"],
            "of another set"
        );
        let mut all = vec![current; MAX_KEY_FETCHERS];
        assert!(activated(&keys, &all, 3000).is_empty(), "one may have been evicted");
        all[7].last_seen = 3000 - RECENT;
        assert_eq!(
            activated(&keys, &all, 3000),
            ["new"],
            "evicted callers were seen before"
        );
    }

    #[test]
    fn callers_are_behind_once_their_cache_has_expired() {
        let old = [key("old", KeyAlgorithm::Es256, 1000)];
        let keys = [&old[..], &[key("new", KeyAlgorithm::EdDsa, 2000)]].concat();
        let frozen = caller(KeyDocument::Jwks, &old, 1500);
        let current = caller(KeyDocument::Jwks, &keys, 2001);
        let fetchers = [frozen.clone(), current];
        assert_eq!(count(&keys, &fetchers, 2_301_000, &TIMING), (2, 0));
        assert_eq!(count(&keys, &fetchers, 2_302_000, &TIMING), (2, 1));
        assert_eq!(lacked_by(&frozen, &keys)[0].kid, "new");
        let removed = &keys[1..];
        assert!(
            lacked_by(&fetchers[1], removed).is_empty(),
            "older keys are removed without harm"
        );
        assert_eq!(count(&keys, &fetchers, (1500 + RECENT) * 1000, &TIMING), (1, 0));
    }

    #[test]
    fn a_key_of_the_same_second_is_noticed() {
        let first = [key("a", KeyAlgorithm::Es256, 1000)];
        let both = [&first[..], &[key("b", KeyAlgorithm::EdDsa, 1000)]].concat();
        assert!(!lacked_by(&caller(KeyDocument::Jwks, &first, 1000), &both).is_empty());
        assert!(lacked_by(&caller(KeyDocument::Jwks, &both, 1000), &both).is_empty());
    }
}
