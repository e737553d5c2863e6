//! The signing keys as this node publishes them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oauth2_store::model::StoredKey;

use super::document::JsonDocument;
use crate::keys::keyring::Keyring;

/// Where the current keys are published. They are replaced as a whole.
pub type KeysHandle = Arc<ArcSwap<PublishedKeys>>;

/// The keys of one moment, and the documents that publish them.
#[derive(Debug)]
pub struct PublishedKeys {
    /// The opened keys.
    pub keyring: Keyring,
    /// Their ids, algorithms and times; the private keys are blanked.
    pub stored: Vec<StoredKey>,
    /// The JWK set (RFC 7517 section 5).
    pub jwks: JsonDocument,
    /// The PASETO public keys.
    pub paseto_keys: JsonDocument,
}

impl PublishedKeys {
    /// The keys of a keyring.
    pub fn new(keyring: Keyring, stored: &[StoredKey]) -> Self {
        let without_private = |key: &StoredKey| StoredKey {
            wrapped_private_key: String::new(),
            ..key.clone()
        };
        Self {
            jwks: JsonDocument::new(&keyring.jwks()),
            paseto_keys: JsonDocument::new(&keyring.paseto_keys()),
            stored: stored.iter().map(without_private).collect(),
            keyring,
        }
    }

    /// No keys, before they are loaded.
    pub fn none() -> Self {
        Self::new(Keyring::default(), &[])
    }
}
