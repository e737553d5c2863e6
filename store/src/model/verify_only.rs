//! Keys that verify tokens and never sign: public keys of the issuer that this server replaces.

use super::key::{KeyAlgorithm, StoredKey};

/// Maximum number of verify-only keys: a token without a `kid` is tried with each.
pub const MAX_VERIFY_ONLY_KEYS: usize = 64;

/// One row of `verify_only_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOnlyKey {
    /// Key id, as the other issuer published it.
    pub kid: String,
    /// Algorithm of the tokens that it verifies.
    pub algorithm: KeyAlgorithm,
    /// As [`StoredKey::public_key`].
    pub public_key: Vec<u8>,
    /// The `iss` of the tokens that it verifies.
    pub issuer: String,
    /// Whether it is in the published JWK set.
    pub published: bool,
    /// When it was first imported.
    pub created_at: i64,
    /// When it stops verifying and is removed.
    pub kept_until: i64,
}

/// Every key of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    /// In the order in which they sign.
    pub signing: Vec<StoredKey>,
    /// In the order in which they were imported.
    pub verify_only: Vec<VerifyOnlyKey>,
}
