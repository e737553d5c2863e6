//! Tokens that this process signed: the fingerprint of each, the oldest forgotten first.
//!
//! Whoever holds a token that is found here holds it letter by letter as it was issued, so that its signature need not be
//! checked. What it says is still read from it; expiry, revocation and whether its key is still there are looked at every
//! time. What is not found is checked by its signature: forgetting costs time, never truth.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::zeroed_slice_box;

use super::fingerprint::Fingerprint;

/// Bytes of an entry, and its words.
const ENTRY: usize = size_of::<Fingerprint>();
const HALVES: usize = ENTRY / size_of::<u64>();

/// Entries of one bucket: two cache lines.
const WAYS: usize = 8;

/// Words of a bucket.
const WORDS: usize = WAYS * HALVES;

/// The bounded set.
///
/// An entry is written and read in two halves, without a lock. A reader that meets a writer may see one half of an old entry
/// and one of a new one; for that pair to be the fingerprint of some other token is as unlikely as any guess.
pub struct IssuedTokens {
    /// Buckets of [`WORDS`] each, one after the other; in a bucket the newest entry first.
    words: Box<[AtomicU64]>,
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("buckets", &(self.words.len() / WORDS))
            .finish_non_exhaustive()
    }
}

impl IssuedTokens {
    /// A set that occupies at most `bytes`, rounded down to a power of two. Memory is taken as tokens come.
    pub fn new(bytes: usize) -> Self {
        let buckets = (bytes / (WAYS * ENTRY)).max(1);
        let buckets = 1 << buckets.ilog2();
        Self {
            words: zeroed_slice_box(buckets * WORDS),
        }
    }

    /// Remembers a token that was just signed.
    ///
    /// The others of its bucket move on by one, the last one out. That touches one place in memory, where a counter of the next
    /// one to go would lie in another: most of what this costs is waiting for memory.
    pub fn insert(&self, fingerprint: &Fingerprint) {
        let (bucket, entry) = self.place(fingerprint);
        for at in (HALVES..WORDS).rev() {
            bucket[at].store(bucket[at - HALVES].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (word, half) in bucket.iter().zip(entry) {
            word.store(half, Ordering::Relaxed);
        }
    }

    /// Whether the token was signed here, as far as is remembered.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        let (bucket, entry) = self.place(fingerprint);
        bucket.chunks_exact(HALVES).any(|way| {
            way.iter()
                .zip(entry)
                .all(|(word, half)| word.load(Ordering::Relaxed) == half)
        })
    }

    /// The bucket of a fingerprint, and the words that are kept there.
    fn place(&self, fingerprint: &Fingerprint) -> (&[AtomicU64], [u64; HALVES]) {
        let entry: [u64; HALVES] = bytemuck::cast(*fingerprint);
        let bucket = entry[0] as usize & (self.words.len() / WORDS - 1);
        (&self.words[bucket * WORDS..][..WORDS], entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::fingerprint::Fingerprints;

    const ENTRIES: u32 = 4096;

    #[test]
    fn the_newest_are_found_and_strangers_are_not() {
        let set = IssuedTokens::new(ENTRIES as usize * ENTRY);
        let fingerprints = Fingerprints::new().unwrap();
        for n in 0..20 * ENTRIES {
            set.insert(&fingerprints.of(&n.to_string()));
        }
        let found = |from: u32| {
            (from..from + 1000)
                .filter(|n| set.contains(&fingerprints.of(&n.to_string())))
                .count()
        };
        // A quarter of its size ago: hardly a bucket has had eight since.
        assert!(found(20 * ENTRIES - ENTRIES / 4) >= 990);
        assert_eq!(found(15 * ENTRIES), 0, "forgotten");
        assert_eq!(found(20 * ENTRIES), 0, "never issued");
    }

    #[test]
    fn nothing_is_found_in_an_empty_one() {
        let set = IssuedTokens::new(0);
        assert!(!set.contains(&Fingerprints::new().unwrap().of("token")));
    }

    #[test]
    fn every_byte_that_is_kept_counts() {
        let set = IssuedTokens::new(0);
        let issued = Fingerprints::new().unwrap().of("a token");
        set.insert(&issued);
        assert!(set.contains(&issued));
        for byte in 0..ENTRY {
            let mut other = issued;
            other[byte] ^= 1;
            assert!(!set.contains(&other), "byte {byte}");
        }
    }
}
