//! Tokens that may be issued again: to the same client, for the same scope and audience, in the first part of their lifetime.

use quick_cache::sync::Cache;

use super::fingerprint::Fingerprint;

/// Maximum number of tokens, about 1 KB each.
const MAX_TOKENS: usize = 16_384;

/// A token that may be issued again.
#[derive(Clone)]
pub struct Reusable {
    /// The token.
    pub token: std::sync::Arc<str>,
    /// Expiry, Unix seconds.
    pub expires_at: i64,
    /// When it stops being reusable, Unix milliseconds.
    pub until_ms: u64,
}

// Omits the token.
impl std::fmt::Debug for Reusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reusable")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A bounded cache, keyed by the fingerprint of a lookup (client, scope, audience).
#[derive(Debug)]
pub struct ReusableTokens {
    cache: Cache<Fingerprint, Reusable>,
}

impl Default for ReusableTokens {
    fn default() -> Self {
        Self {
            cache: Cache::new(MAX_TOKENS),
        }
    }
}

impl ReusableTokens {
    /// The token for a lookup, if it is still reusable. `now_ms`: Unix milliseconds.
    pub fn get(&self, lookup: &Fingerprint, now_ms: u64) -> Option<Reusable> {
        self.cache.get(lookup).filter(|reusable| now_ms < reusable.until_ms)
    }

    /// Adds or replaces the token for a lookup.
    pub fn insert(&self, lookup: Fingerprint, reusable: Reusable) {
        self.cache.insert(lookup, reusable);
    }

    /// Removes a token that is no longer active.
    pub fn remove(&self, lookup: &Fingerprint) {
        self.cache.remove(lookup);
    }
}
