//! Tokens that are given out again: to the same client, for the same scope and audience, in the first part of their lives.

use quick_cache::sync::Cache;

use super::fingerprint::Fingerprint;

/// Tokens that are kept: about a kilobyte each.
const MOST: usize = 16_384;

/// A token and until when it is given out again.
#[derive(Clone)]
pub struct Reusable {
    /// The token.
    pub token: std::sync::Arc<str>,
    /// When it expires, Unix seconds.
    pub expires_at: i64,
    /// Until when it is given out again, Unix milliseconds.
    pub until_ms: u64,
}

// It holds a token.
impl std::fmt::Debug for Reusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reusable")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The bounded cache.
#[derive(Debug)]
pub struct ReusableTokens {
    cache: Cache<Fingerprint, Reusable>,
}

impl Default for ReusableTokens {
    fn default() -> Self {
        Self {
            cache: Cache::new(MOST),
        }
    }
}

impl ReusableTokens {
    /// The token that was made for this before, if it may be given out again now.
    pub fn get(&self, asked: &Fingerprint, now_ms: u64) -> Option<Reusable> {
        self.cache.get(asked).filter(|reusable| now_ms < reusable.until_ms)
    }

    /// Keeps a token.
    pub fn insert(&self, asked: Fingerprint, reusable: Reusable) {
        self.cache.insert(asked, reusable);
    }

    /// Forgets a token that does not hold any more.
    pub fn remove(&self, asked: &Fingerprint) {
        self.cache.remove(asked);
    }
}
