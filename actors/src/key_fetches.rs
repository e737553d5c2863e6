//! Verifiers of the published key sets: counted by request handlers, and written to the store in batches by the key keeper.
//!
//! The table is bounded: the verifiers seen last remain. One network has at most a few verifiers, so that it cannot evict others by inventing
//! user agents or addresses; further ones are counted as one. A verifier is never evicted before it was written, so a reader of the store
//! finds all of them, or that some were counted as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oauth2_store::model::key_verifier::MERGED;
use oauth2_store::model::{KeyDocument, KeyVerifier, MAX_KEY_VERIFIERS};

use crate::network::network;

/// Longest user agent, characters.
const MAX_USER_AGENT: usize = 128;

/// The most verifiers per network and key set; further ones are counted as one.
const MAX_OF_NETWORK: usize = 16;

/// The address of verifiers beyond [`MAX_KEY_VERIFIERS`].
const ANYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A fetch of a key set.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// Which key set.
    pub document: KeyDocument,
    /// From where.
    pub address: IpAddr,
    /// The `User-Agent` header, if it is text.
    pub user_agent: Option<&'a str>,
    /// The generation of the set that the verifier has now.
    pub generation: i64,
    /// The time, Unix seconds.
    pub now: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Verifier {
    document: KeyDocument,
    address: IpAddr,
    user_agent: String,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: i64,
    last: i64,
    generation: i64,
    /// Fetches that are not written to the store yet.
    unwritten: u64,
}

/// The verifiers that this node has seen.
#[derive(Debug, Default)]
pub struct KeyFetches {
    table: Mutex<HashMap<Verifier, Seen>>,
    verifiers: AtomicU64,
    behind: AtomicU64,
}

impl KeyFetches {
    /// Counts a fetch.
    pub fn record(&self, fetch: Fetch<'_>) {
        let mut table = self.table();
        let mut verifier = Verifier {
            document: fetch.document,
            address: fetch.address,
            user_agent: sanitized(fetch.user_agent),
        };
        if !table.contains_key(&verifier) {
            let own = network(fetch.address);
            let is_of_network = |known: &&Verifier| known.document == fetch.document && network(known.address) == own;
            if table.keys().filter(is_of_network).count() >= MAX_OF_NETWORK {
                verifier = verifier.merged(own);
            }
            if !table.contains_key(&verifier) && !make_room(&mut table) {
                verifier = verifier.merged(ANYWHERE);
            }
        }
        let seen = table.entry(verifier).or_insert(Seen {
            first: fetch.now,
            last: fetch.now,
            generation: fetch.generation,
            unwritten: 0,
        });
        seen.last = seen.last.max(fetch.now);
        seen.generation = fetch.generation;
        seen.unwritten += 1;
    }

    /// The verifiers that are not written to the store yet. They count as written: after a failure, give them back.
    pub fn take_unwritten(&self) -> Vec<KeyVerifier> {
        let mut table = self.table();
        let unwritten = table.iter_mut().filter(|(_, seen)| seen.unwritten > 0);
        unwritten
            .map(|(verifier, seen)| KeyVerifier {
                document: verifier.document,
                address: verifier.address.to_string(),
                user_agent: verifier.user_agent.clone(),
                first_seen: seen.first,
                last_seen: seen.last,
                generation: seen.generation,
                fetches: std::mem::take(&mut seen.unwritten),
            })
            .collect()
    }

    /// Takes back what could not be written.
    pub fn give_back(&self, unwritten: Vec<KeyVerifier>) {
        let mut table = self.table();
        for known in unwritten {
            let Ok(address) = known.address.parse() else { continue };
            let verifier = Verifier {
                document: known.document,
                address,
                user_agent: known.user_agent,
            };
            // It may have been evicted meanwhile.
            let verifier = if table.contains_key(&verifier) || make_room(&mut table) {
                verifier
            } else {
                verifier.merged(ANYWHERE)
            };
            let seen = table.entry(verifier).or_insert(Seen {
                first: known.first_seen,
                last: known.last_seen,
                generation: known.generation,
                unwritten: 0,
            });
            seen.unwritten += known.fetches;
        }
    }

    /// Publishes how many verifiers all nodes have seen recently, and how many of these are behind.
    pub fn publish(&self, verifiers: usize, behind: usize) {
        self.verifiers.store(verifiers as u64, Ordering::Relaxed);
        self.behind.store(behind as u64, Ordering::Relaxed);
    }

    /// Verifiers that were seen recently by any node.
    pub fn verifiers(&self) -> u64 {
        self.verifiers.load(Ordering::Relaxed)
    }

    /// Verifiers that lack the newest key although it was published for longer than they may cache a key set.
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Verifier, Seen>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verifier {
    /// The verifier that stands for several.
    fn merged(self, address: IpAddr) -> Self {
        Self {
            address,
            user_agent: MERGED.to_owned(),
            ..self
        }
    }
}

/// Evicts the verifiers seen longest ago if the table is full. `false`: no more of them are written to the store yet.
fn make_room(table: &mut HashMap<Verifier, Seen>) -> bool {
    while table.len() >= MAX_KEY_VERIFIERS {
        let written = table.iter().filter(|(_, seen)| seen.unwritten == 0);
        let oldest = written.min_by_key(|(_, seen)| seen.last);
        let Some(verifier) = oldest.map(|(verifier, _)| verifier.clone()) else {
            return false;
        };
        table.remove(&verifier);
    }
    true
}

/// The user agent, cut to a length, without characters that a terminal or a database does not take.
fn sanitized(user_agent: Option<&str>) -> String {
    let text: String = user_agent
        .unwrap_or_default()
        .chars()
        .take(MAX_USER_AGENT)
        .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        .collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(address: impl Into<IpAddr>, user_agent: &str, now: i64) -> Fetch<'_> {
        Fetch {
            document: KeyDocument::Jwks,
            address: address.into(),
            user_agent: Some(user_agent),
            generation: now,
            now,
        }
    }

    #[test]
    fn the_table_is_bounded_and_one_network_cannot_evict_others() {
        let fetches = KeyFetches::default();
        fetches.record(fetch([10, 0, 0, 1], "verifier", 1));
        for number in 0..5000 {
            fetches.record(fetch([10, 0, 0, 2], &format!("invented {number}"), 2));
        }
        let written = fetches.take_unwritten();
        assert_eq!(written.len(), 1 + MAX_OF_NETWORK + 1);
        assert!(written.iter().any(|verifier| verifier.user_agent == "verifier"));
        let other = written.iter().find(|verifier| verifier.is_merged()).unwrap();
        assert_eq!(other.fetches, 5000 - MAX_OF_NETWORK as u64);
        for number in 0..5000_u128 {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | number);
            fetches.record(fetch(address, "one of a network", 3));
        }
        let written = fetches.take_unwritten();
        assert_eq!(written.len(), MAX_OF_NETWORK + 1);
        assert!(
            written
                .iter()
                .any(|verifier| verifier.is_merged() && verifier.address == "2001:db8::")
        );
    }

    #[test]
    fn verifiers_are_not_forgotten_before_they_are_written() {
        let fetches = KeyFetches::default();
        fetches.record(fetch([10, 0, 0, 1], "verifier", 1));
        let many = || {
            for number in 0..3000_u32 {
                let [_, _, c, d] = number.to_be_bytes();
                fetches.record(fetch([10, 1, c, d], "one each", 3));
            }
        };
        many();
        let written = fetches.take_unwritten();
        assert_eq!(written.len(), MAX_KEY_VERIFIERS + 1);
        assert!(written.iter().any(|verifier| verifier.user_agent == "verifier"));
        let other = written.iter().find(|verifier| verifier.is_merged()).unwrap();
        assert_eq!(
            (&*other.address, other.fetches),
            ("::", 3001 - MAX_KEY_VERIFIERS as u64)
        );
        many();
        let again = fetches.take_unwritten();
        assert!(again.len() <= MAX_KEY_VERIFIERS + 1);
        let verifier = written
            .iter()
            .find(|verifier| verifier.user_agent == "verifier")
            .unwrap();
        assert!(fetches.take_unwritten().is_empty());
        fetches.give_back(vec![verifier.clone()]);
        assert_eq!(
            fetches.take_unwritten(),
            std::slice::from_ref(verifier),
            "also if it was evicted meanwhile"
        );
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let fetches = KeyFetches::default();
        fetches.record(fetch([10, 0, 0, 1], "a\u{1b}[31m\n", 1));
        let taken = fetches.take_unwritten();
        assert_eq!((taken[0].user_agent.as_str(), taken[0].fetches), ("a?[31m?", 1));
        assert!(fetches.take_unwritten().is_empty());
        fetches.give_back(taken);
        fetches.record(fetch([10, 0, 0, 1], "a\u{1b}[31m\n", 2));
        let again = fetches.take_unwritten();
        assert_eq!((again[0].fetches, again[0].first_seen, again[0].last_seen), (2, 1, 2));
    }
}
