//! Tokens whose signature was checked before: the fingerprint of the whole token to what it claims.
//!
//! A hit saves the signature check and nothing else: expiry and revocation are looked at every time. Only good tokens are
//! kept, so garbage cannot push them out.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::fingerprint::Fingerprint;
use super::keyring::Verified;

/// What one `Arc` allocates beside its content: two counts.
const COUNTS: usize = 2 * size_of::<usize>();

/// What the cache itself spends on an entry: key and value, 21 bytes of its own, and the room that its tables keep free,
/// taken at its largest (a table is doubled when two thirds of it are full).
const SLOT: usize = 3 * (size_of::<Fingerprint>() + size_of::<Arc<Verified>>() + 21);

/// What an entry of an ordinary token costs, for the size that the cache begins with.
const ORDINARY: u64 = 512;

/// An estimate of the bytes that an entry occupies.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Fingerprint, Arc<Verified>> for Bytes {
    fn weight(&self, _: &Fingerprint, verified: &Arc<Verified>) -> u64 {
        let claims = &verified.claims;
        let text = |text: &Arc<str>| COUNTS + text.len();
        // The key's name is shared by all of its tokens, the subject mostly is the client.
        let subject = if Arc::ptr_eq(&claims.sub, &claims.client_id) {
            0
        } else {
            text(&claims.sub)
        };
        let own = [&claims.iss, &claims.aud, &claims.client_id, &claims.scope].map(text);
        let extra = claims.extra.as_ref().map_or(0, text);
        (SLOT + COUNTS + size_of::<Verified>() + subject + extra + own.iter().sum::<usize>()) as u64
    }
}

/// The bounded cache.
#[derive(Debug)]
pub struct VerifiedTokens {
    cache: Cache<Fingerprint, Arc<Verified>, Bytes>,
}

impl VerifiedTokens {
    /// A cache of tokens that occupy at most `bytes` together, by estimate.
    pub fn new(bytes: u64) -> Self {
        Self {
            cache: Cache::with_weighter((bytes / ORDINARY) as usize, bytes, Bytes),
        }
    }

    /// What the token claims, if its signature was checked before.
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<Verified>> {
        self.cache.get(fingerprint)
    }

    /// Remembers a token whose signature holds.
    pub fn insert(&self, fingerprint: Fingerprint, verified: Arc<Verified>) {
        self.cache.insert(fingerprint, verified);
    }

    /// Forgets a token.
    pub fn remove(&self, fingerprint: &Fingerprint) {
        self.cache.remove(fingerprint);
    }

    /// Forgets everything: the keys have changed.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Tokens held now.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether none is held.
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

    /// A cache of one MiB after this many tokens with a scope of so many bytes.
    fn filled(tokens: u32, scope: usize) -> VerifiedTokens {
        let cache = VerifiedTokens::new(MIB);
        for n in 0..tokens {
            let mut claims = sample();
            claims.scope = "x".repeat(scope).into();
            let verified = Arc::new(Verified {
                claims,
                kid: "key".into(),
                shared: false,
            });
            cache.insert(fingerprint(n), verified);
            assert!(cache.cache.weight() <= cache.cache.capacity());
        }
        cache
    }

    #[test]
    fn the_bound_is_on_bytes() {
        let (short, long) = (filled(4000, 10), filled(4000, 7000));
        assert!(short.cache.capacity() <= MIB + 1024, "rounded up in each shard");
        assert!((1800..2500).contains(&short.len()), "{}", short.len());
        assert!((50..150).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn what_is_kept_is_found_until_all_is_forgotten() {
        let cache = filled(3, 10);
        assert!(cache.get(&fingerprint(0)).is_some() && cache.get(&fingerprint(3)).is_none());
        cache.clear();
        assert!(cache.get(&fingerprint(0)).is_none() && cache.is_empty());
    }
}
