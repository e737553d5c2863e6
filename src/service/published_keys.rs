//! The signing keys as this node publishes them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oauth2_store::model::{KeyDocument, StoredKey};

use super::document::JsonDocument;
use crate::keys::key_sets::JwkSet;
use crate::keys::keyring::Keyring;
use crate::keys::verifiers;
use crate::keys::verify_only::VerifyOnlyKeys;

/// Where the current keys are published. They are replaced as a whole.
pub type KeysHandle = Arc<ArcSwap<PublishedKeys>>;

/// The keys of one moment, and the documents that publish them.
#[derive(Debug)]
pub struct PublishedKeys {
    /// The opened keys.
    pub keyring: Keyring,
    /// The keys that verify tokens of the issuer that this server replaces.
    pub verify_only: VerifyOnlyKeys,
    /// The ids, algorithms and times of the opened keys; the private keys are blanked.
    pub stored: Vec<StoredKey>,
    jwks: JsonDocument,
    paseto_keys: JsonDocument,
    /// Of the JWK set and of the PASETO keys.
    generations: [i64; 2],
}

impl PublishedKeys {
    /// The keys of a keyring.
    pub fn new(keyring: Keyring, verify_only: VerifyOnlyKeys, stored: &[StoredKey]) -> Self {
        let without_private = |key: &StoredKey| StoredKey {
            wrapped_private_key: String::new(),
            ..key.clone()
        };
        Self {
            jwks: JsonDocument::new(&jwks(&keyring, &verify_only)),
            paseto_keys: JsonDocument::new(&keyring.paseto_keys()),
            generations: [KeyDocument::Jwks, KeyDocument::Paseto].map(|set| verifiers::generation(set, stored)),
            stored: stored.iter().map(without_private).collect(),
            keyring,
            verify_only,
        }
    }

    /// A key set, and its generation.
    pub fn document(&self, which: KeyDocument) -> (&JsonDocument, i64) {
        match which {
            KeyDocument::Jwks => (&self.jwks, self.generations[0]),
            KeyDocument::Paseto => (&self.paseto_keys, self.generations[1]),
        }
    }

    /// No keys, before they are loaded.
    pub fn none() -> Self {
        Self::new(Keyring::default(), VerifyOnlyKeys::default(), &[])
    }
}

/// The JWK set. A verify-only key that also signs here is in it once; a key that differs in anything is in it, too.
fn jwks(keyring: &Keyring, verify_only: &VerifyOnlyKeys) -> JwkSet {
    let mut set = keyring.jwks();
    for jwk in verify_only.published() {
        if !set.keys.contains(jwk) {
            set.keys.push(jwk.clone());
        }
    }
    set.in_readable_order()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use oauth2_store::model::{KeyAlgorithm, VerifyOnlyKey};

    use super::*;

    #[test]
    fn no_published_key_is_left_out() {
        let stored = ["a", "a", "b"].map(|kid| VerifyOnlyKey {
            kid: kid.to_owned(),
            algorithm: KeyAlgorithm::Es256,
            public_key: {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                pair.public_key().as_ref().to_vec()
            },
            issuer: "https://old.example".to_owned(),
            published: true,
            created_at: 0,
            kept_until: 0,
        });
        let twice = [&stored[..], &stored[..1]].concat();
        let (keys, _) = VerifyOnlyKeys::open(&twice);
        let set = jwks(&Keyring::default(), &keys);
        assert_eq!(set.keys.len(), 3, "two keys of one id, and each key once");
    }
}
