//! Tokens whose signature was verified before: a cache from the fingerprint of the token to its claims.
//!
//! A hit saves only the signature verification: expiry and revocation are checked on every use. Only tokens with a valid
//! signature are cached, so invalid ones cannot evict them.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::claims::Claims;
use super::fingerprint::Fingerprint;

/// A self-contained token whose signature is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Its claims. Expiry is not checked.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: Arc<str>,
    /// Whether it is signed with the secret shared with verifiers (HS256). A verifier may have forged it, so it is active only
    /// if its client is registered for HS256.
    pub by_shared_secret: bool,
}

/// Bytes that an `Arc` allocates in addition to its content: two reference counts.
const ARC_HEADER: usize = 2 * size_of::<usize>();

/// Upper estimate of the cache's own bytes per entry: key, value and 21 bytes of metadata, times 3 for free table space (a table
/// is doubled when it is two thirds full).
const CACHE_OVERHEAD: usize = 3 * (size_of::<Fingerprint>() + size_of::<Arc<VerifiedToken>>() + 21);

/// Bytes of a typical entry, for the initial capacity of the cache.
const TYPICAL_ENTRY: u64 = 512;

/// Estimates the bytes that an entry occupies.
#[derive(Debug, Clone)]
struct EntryBytes;

impl Weighter<Fingerprint, Arc<VerifiedToken>> for EntryBytes {
    fn weight(&self, _: &Fingerprint, verified: &Arc<VerifiedToken>) -> u64 {
        let claims = &verified.claims;
        let text = |text: &Arc<str>| ARC_HEADER + text.len();
        // The key id is shared by all tokens of the key; the subject is mostly the client id itself.
        let subject = if Arc::ptr_eq(&claims.sub, &claims.client_id) {
            0
        } else {
            text(&claims.sub)
        };
        let own = [&claims.iss, &claims.aud, &claims.client_id, &claims.scope].map(text);
        let extra = claims.extra.as_ref().map_or(0, text);
        (CACHE_OVERHEAD + ARC_HEADER + size_of::<VerifiedToken>() + subject + extra + own.iter().sum::<usize>()) as u64
    }
}

/// A cache that is bounded in bytes.
#[derive(Debug)]
pub struct VerifiedTokens {
    cache: Cache<Fingerprint, Arc<VerifiedToken>, EntryBytes>,
}

impl VerifiedTokens {
    /// A cache whose entries occupy at most `bytes`, by estimate.
    pub fn new(bytes: u64) -> Self {
        Self {
            cache: Cache::with_weighter((bytes / TYPICAL_ENTRY) as usize, bytes, EntryBytes),
        }
    }

    /// The token, if its signature was verified before.
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<VerifiedToken>> {
        self.cache.get(fingerprint)
    }

    /// Adds a token with a verified signature.
    pub fn insert(&self, fingerprint: Fingerprint, verified: Arc<VerifiedToken>) {
        self.cache.insert(fingerprint, verified);
    }

    /// Removes a token.
    pub fn remove(&self, fingerprint: &Fingerprint) {
        self.cache.remove(fingerprint);
    }

    /// Removes all tokens, after the keys have changed.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Number of cached tokens.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether no token is cached.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::claims::tests::sample;

    const MIB: u64 = 1024 * 1024;

    fn fingerprint(n: u32) -> Fingerprint {
        u128::from(n).to_le_bytes()
    }

    /// A cache of 1 MiB into which `tokens` were inserted, each with a scope of `scope_bytes`.
    fn filled(tokens: u32, scope_bytes: usize) -> VerifiedTokens {
        let cache = VerifiedTokens::new(MIB);
        for n in 0..tokens {
            let mut claims = sample();
            claims.scope = "x".repeat(scope_bytes).into();
            let verified = Arc::new(VerifiedToken {
                claims,
                kid: "key".into(),
                by_shared_secret: false,
            });
            cache.insert(fingerprint(n), verified);
            assert!(cache.cache.weight() <= cache.cache.capacity());
        }
        cache
    }

    #[test]
    fn capacity_is_in_bytes() {
        let (short, long) = (filled(4000, 10), filled(4000, 7000));
        assert!(
            short.cache.capacity() <= MIB + 1024,
            "the capacity is rounded up in each shard"
        );
        assert!((1800..2500).contains(&short.len()), "{}", short.len());
        assert!((50..150).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn clear_removes_all_tokens() {
        let cache = filled(3, 10);
        assert!(cache.get(&fingerprint(0)).is_some() && cache.get(&fingerprint(3)).is_none());
        cache.clear();
        assert!(cache.get(&fingerprint(0)).is_none() && cache.is_empty());
    }
}
