//! Tokens whose signature was checked before: SHA-256 of the whole token to what it claims.
//!
//! A hit saves the signature check and nothing else: expiry and revocation are looked at every time. Only good tokens are
//! kept, so garbage cannot push them out.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use super::keyring::Verified;

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// The bounded cache.
#[derive(Debug)]
pub struct VerifiedTokens {
    cache: Cache<TokenHash, Arc<Verified>>,
}

impl VerifiedTokens {
    /// A cache of at most `capacity` tokens; one costs about 500 bytes.
    pub fn new(capacity: usize) -> Self {
        Self {
            cache: Cache::new(capacity),
        }
    }

    /// The hash that a token is kept under.
    pub fn hash(token: &str) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        hash
    }

    /// What the token claims, if its signature was checked before.
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Verified>> {
        self.cache.get(hash)
    }

    /// Remembers a token whose signature holds.
    pub fn insert(&self, hash: TokenHash, verified: Arc<Verified>) {
        self.cache.insert(hash, verified);
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
