//! Tokens that this process signed: 128 bits of the SHA-256 of each, the oldest forgotten first.
//!
//! Whoever holds a token that is found here holds it letter by letter as it was issued, so that its signature need not be
//! checked. What it says is still read from it; expiry, revocation and whether its key is still there are looked at every
//! time. What is not found is checked by its signature: forgetting costs time, never truth.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bytemuck::zeroed_slice_box;

use super::verified::TokenHash;

/// Entries of one bucket: two cache lines.
const WAYS: usize = 8;

/// Bytes of an entry.
const ENTRY: usize = 16;

/// Words of a bucket.
const WORDS: usize = WAYS * ENTRY / size_of::<u64>();

/// The bounded set.
///
/// An entry is written and read in two halves, without a lock. A reader that meets a writer may see one half of an old entry
/// and one of a new one; for that pair to be the hash of some other token is as unlikely as any guess.
pub struct IssuedTokens {
    /// Buckets of [`WORDS`] each, one after the other.
    words: Box<[AtomicU64]>,
    /// Which entry of a bucket is the oldest.
    oldest: Box<[AtomicU8]>,
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens")
            .field("buckets", &self.oldest.len())
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
            oldest: zeroed_slice_box(buckets),
        }
    }

    /// Remembers a token that was just signed.
    pub fn insert(&self, hash: &TokenHash) {
        let (bucket, entry) = self.place(hash);
        let way = usize::from(self.oldest[bucket].fetch_add(1, Ordering::Relaxed)) % WAYS;
        let at = bucket * WORDS + way * 2;
        self.words[at].store(entry[0], Ordering::Relaxed);
        self.words[at + 1].store(entry[1], Ordering::Relaxed);
    }

    /// Whether the token was signed here, as far as is remembered.
    pub fn contains(&self, hash: &TokenHash) -> bool {
        let (bucket, entry) = self.place(hash);
        let ways = self.words[bucket * WORDS..][..WORDS].chunks_exact(2);
        ways.into_iter()
            .any(|way| way[0].load(Ordering::Relaxed) == entry[0] && way[1].load(Ordering::Relaxed) == entry[1])
    }

    /// The bucket of a hash, and the 128 bits of it that are kept there.
    fn place(&self, hash: &TokenHash) -> (usize, [u64; 2]) {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&hash[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        (word(16) as usize & (self.oldest.len() - 1), [word(0), word(8)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::secret::hash;

    const ENTRIES: u32 = 4096;

    #[test]
    fn the_newest_are_found_and_strangers_are_not() {
        let set = IssuedTokens::new(ENTRIES as usize * ENTRY);
        for n in 0..20 * ENTRIES {
            set.insert(&hash(n.to_string()));
        }
        let found = |from: u32| {
            (from..from + 1000)
                .filter(|n| set.contains(&hash(n.to_string())))
                .count()
        };
        // A quarter of its size ago: hardly a bucket has had eight since.
        assert!(found(20 * ENTRIES - ENTRIES / 4) >= 990);
        assert_eq!(found(15 * ENTRIES), 0, "forgotten");
        assert_eq!(found(20 * ENTRIES), 0, "never issued");
    }

    #[test]
    fn nothing_is_found_in_an_empty_one() {
        // An empty entry must not pass for the hash that is all zeros, which no token has.
        let set = IssuedTokens::new(0);
        assert!(!set.contains(&hash("")));
    }

    #[test]
    fn every_byte_that_is_kept_counts() {
        let set = IssuedTokens::new(0);
        let issued = hash("a token");
        set.insert(&issued);
        assert!(set.contains(&issued));
        for byte in 0..ENTRY {
            let mut other = issued;
            other[byte] ^= 1;
            assert!(!set.contains(&other), "byte {byte}");
        }
    }
}
