//! Tokens that this process signed: a bounded set of fingerprints that evicts the oldest first.
//!
//! A token in the set is byte-identical to one that this process issued, so its signature need not be verified. Its claims are
//! still parsed, and expiry, revocation and the presence of its key are checked on every use. The signature of a token that is
//! not in the set is verified: an eviction costs time, never correctness.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::zeroed_slice_box;

use super::fingerprint::Fingerprint;

/// Size of an entry in bytes, and in words.
const ENTRY_BYTES: usize = size_of::<Fingerprint>();
const ENTRY_WORDS: usize = ENTRY_BYTES / size_of::<u64>();

/// Entries per bucket: two cache lines.
const BUCKET_ENTRIES: usize = 8;

/// Words per bucket.
const BUCKET_WORDS: usize = BUCKET_ENTRIES * ENTRY_WORDS;

/// A bounded set of fingerprints.
///
/// An entry is written and read as two words, without a lock. A concurrent reader may see one word of an old entry and one of a
/// new entry. That such a pair equals the fingerprint of another token is as unlikely as a guess of a fingerprint.
pub struct IssuedTokens {
    /// Consecutive buckets of [`BUCKET_WORDS`] each, the newest entry of a bucket first.
    words: Box<[AtomicU64]>,
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("buckets", &(self.words.len() / BUCKET_WORDS))
            .finish_non_exhaustive()
    }
}

impl IssuedTokens {
    /// A set of at most `bytes`, rounded down to a power of two, with at least one bucket. The operating system commits its
    /// memory on first use.
    pub fn new(bytes: usize) -> Self {
        let buckets = (bytes / (BUCKET_ENTRIES * ENTRY_BYTES)).max(1);
        let buckets = 1 << buckets.ilog2();
        Self {
            words: zeroed_slice_box(buckets * BUCKET_WORDS),
        }
    }

    /// Adds a token that was just signed.
    ///
    /// The entries of its bucket are shifted by one, and the last is evicted. This touches only the bucket's cache lines; a
    /// separate counter for the next entry to evict would be another cache miss, and cache misses dominate the cost.
    pub fn insert(&self, fingerprint: &Fingerprint) {
        let (bucket, entry) = self.locate(fingerprint);
        for index in (ENTRY_WORDS..BUCKET_WORDS).rev() {
            bucket[index].store(bucket[index - ENTRY_WORDS].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (stored, word) in bucket.iter().zip(entry) {
            stored.store(word, Ordering::Relaxed);
        }
    }

    /// Whether the token is in the set. `false` does not mean that it was not issued here: entries are evicted.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        let (bucket, entry) = self.locate(fingerprint);
        bucket.chunks_exact(ENTRY_WORDS).any(|known| {
            known
                .iter()
                .zip(entry)
                .all(|(stored, word)| stored.load(Ordering::Relaxed) == word)
        })
    }

    /// The bucket of a fingerprint, and the fingerprint as words.
    fn locate(&self, fingerprint: &Fingerprint) -> (&[AtomicU64], [u64; ENTRY_WORDS]) {
        let entry: [u64; ENTRY_WORDS] = bytemuck::cast(*fingerprint);
        let bucket = entry[0] as usize & (self.words.len() / BUCKET_WORDS - 1);
        (&self.words[bucket * BUCKET_WORDS..][..BUCKET_WORDS], entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::fingerprint::Fingerprints;

    const ENTRIES: u32 = 4096;

    #[test]
    fn only_recent_tokens_are_found() {
        let set = IssuedTokens::new(ENTRIES as usize * ENTRY_BYTES);
        let fingerprints = Fingerprints::new().unwrap();
        for n in 0..20 * ENTRIES {
            set.insert(&fingerprints.of(&n.to_string()));
        }
        let found = |from: u32| {
            (from..from + 1000)
                .filter(|n| set.contains(&fingerprints.of(&n.to_string())))
                .count()
        };
        // ENTRIES / 4 insertions put eight entries into very few buckets.
        assert!(found(20 * ENTRIES - ENTRIES / 4) >= 970);
        assert_eq!(found(15 * ENTRIES), 0, "evicted");
        assert_eq!(found(20 * ENTRIES), 0, "never issued");
    }

    #[test]
    fn empty_set_contains_nothing() {
        let set = IssuedTokens::new(0);
        assert!(!set.contains(&Fingerprints::new().unwrap().of("token")));
    }

    #[test]
    fn every_byte_of_a_fingerprint_is_compared() {
        let set = IssuedTokens::new(0);
        let issued = Fingerprints::new().unwrap().of("a token");
        set.insert(&issued);
        assert!(set.contains(&issued));
        for byte in 0..ENTRY_BYTES {
            let mut other = issued;
            other[byte] ^= 1;
            assert!(!set.contains(&other), "byte {byte}");
        }
    }
}
