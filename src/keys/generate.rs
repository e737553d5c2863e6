//! New signing keys: generates a key pair, derives its key id, and wraps its private key for the store.

use std::time::Duration;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPublicKeyUncompressedBin, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use oauth2_store::model::{KeyAlgorithm, StoredKey};

use super::KeyError;
use super::wrapping::KeyWrapper;
use crate::tokens::{jwt, paseto};

/// A generated or imported key pair that is not stored yet.
#[derive(Clone)]
pub struct NewKey {
    /// The algorithm that it signs with.
    pub algorithm: KeyAlgorithm,
    /// The key id of an imported JWK; `None`: derived from the public key.
    pub kid: Option<String>,
    /// See [`StoredKey::public_key`].
    pub public: Vec<u8>,
    /// Ed25519: the 32-byte seed; other algorithms: PKCS #8.
    pub private: Vec<u8>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The times of a new key.
#[derive(Debug, Clone, Copy)]
pub struct KeyTimes {
    /// Now, by the store's clock, Unix milliseconds.
    pub now_ms: i64,
    /// How long the key is published before it signs.
    pub wait: Duration,
    /// The maximum lifetime of the tokens that it will sign, seconds.
    pub token_lifetime: i64,
}

/// Generates a key. [`KeyError::Generate`] if the cryptographic library fails.
pub fn generate(algorithm: KeyAlgorithm, wrapper: &KeyWrapper, times: KeyTimes) -> Result<StoredKey, KeyError> {
    let key = new_key(algorithm).ok_or(KeyError::Generate)?;
    to_stored(&key, wrapper, times)
}

/// Derives the key id of a key pair, unless it has one, and wraps its private key.
pub fn to_stored(key: &NewKey, wrapper: &KeyWrapper, times: KeyTimes) -> Result<StoredKey, KeyError> {
    let kid = match key.algorithm {
        // The PASERK id is a function of the public key.
        KeyAlgorithm::PasetoV4Public => paseto::key_id(&key.public),
        _ if key.kid.is_some() => key.kid.clone(),
        _ => jwt::thumbprint(key.algorithm, &key.public),
    };
    let kid = kid.ok_or(KeyError::Generate)?;
    Ok(StoredKey {
        wrapped_private_key: wrapper.wrap(&kid, key.algorithm, &key.private)?,
        kid,
        algorithm: key.algorithm,
        public_key: key.public.clone(),
        created_at: times.now_ms / 1000,
        signs_from_ms: times.now_ms + times.wait.as_millis() as i64,
        token_lifetime: times.token_lifetime,
        when_seen: false,
    })
}

fn new_key(algorithm: KeyAlgorithm) -> Option<NewKey> {
    match algorithm {
        KeyAlgorithm::PasetoV4Public | KeyAlgorithm::EdDsa | KeyAlgorithm::Ed25519 => {
            ed25519(algorithm, &Ed25519KeyPair::generate().ok()?)
        }
        KeyAlgorithm::Es256 => p256(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?),
        KeyAlgorithm::Rs256 | KeyAlgorithm::Ps256 => {
            rsa(algorithm, &rsa::KeyPair::generate(rsa::KeySize::Rsa2048).ok()?)
        }
    }
}

/// An Ed25519 key pair in the store's encoding.
pub(super) fn ed25519(algorithm: KeyAlgorithm, pair: &Ed25519KeyPair) -> Option<NewKey> {
    Some(NewKey {
        algorithm,
        kid: None,
        public: pair.public_key().as_ref().to_vec(),
        private: pair.seed().ok()?.as_be_bytes().ok()?.as_ref().to_vec(),
    })
}

/// A P-256 key pair in the store's encoding.
pub(super) fn p256(pair: &EcdsaKeyPair) -> Option<NewKey> {
    let public: EcPublicKeyUncompressedBin<'_> = pair.public_key().as_be_bytes().ok()?;
    Some(NewKey {
        algorithm: KeyAlgorithm::Es256,
        kid: None,
        public: public.as_ref().to_vec(),
        private: pair.to_pkcs8v1().ok()?.as_ref().to_vec(),
    })
}

/// An RSA key pair in the store's encoding.
pub(super) fn rsa(algorithm: KeyAlgorithm, pair: &rsa::KeyPair) -> Option<NewKey> {
    let private: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    Some(NewKey {
        algorithm,
        kid: None,
        public: pair.public_key().as_ref().to_vec(),
        private: private.as_ref().to_vec(),
    })
}
