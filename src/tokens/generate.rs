//! Signing keys that are made here, or were made elsewhere: the pair, its name, and how it rests in the store.

use std::time::Duration;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPublicKeyUncompressedBin, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use oauth2_actors::model::{KeyAlgorithm, StoredKey};

use super::jwt;
use super::keyring::{KeyError, paseto_kid};
use super::sealing::Seals;

/// Both halves of a key: the public one as the store keeps it, the private one as it is sealed. Ed25519: the seed; the others
/// PKCS #8.
#[derive(Clone)]
pub struct Pair {
    /// What it signs.
    pub algorithm: KeyAlgorithm,
    /// What it is called, where it brings a name. `None`: a name is made of its public half.
    pub kid: Option<String>,
    /// See [`StoredKey::public_key`].
    pub public: Vec<u8>,
    /// The private half.
    pub private: Vec<u8>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The times of a new key.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// How long it is published before it signs.
    pub wait: Duration,
    /// The longest life of the tokens that it will sign, seconds.
    pub token_lifetime: i64,
}

/// Makes a key.
pub fn generate(algorithm: KeyAlgorithm, seals: &Seals, times: Times) -> Result<StoredKey, KeyError> {
    let pair = pair(algorithm).ok_or(KeyError::Generate)?;
    store(&pair, seals, times)
}

/// Seals a key and names it.
pub fn store(pair: &Pair, seals: &Seals, times: Times) -> Result<StoredKey, KeyError> {
    let kid = match pair.algorithm {
        // What PASERK calls a key follows from the key.
        KeyAlgorithm::PasetoV4Public => paseto_kid(&pair.public),
        _ if pair.kid.is_some() => pair.kid.clone(),
        _ => jwt::thumbprint(pair.algorithm, &pair.public),
    };
    let kid = kid.ok_or(KeyError::Generate)?;
    Ok(StoredKey {
        sealed_private_key: seals.seal(&kid, pair.algorithm, &pair.private)?,
        kid,
        algorithm: pair.algorithm,
        public_key: pair.public.clone(),
        created_at: times.now_ms / 1000,
        signs_from_ms: times.now_ms + times.wait.as_millis() as i64,
        token_lifetime: times.token_lifetime,
    })
}

fn pair(algorithm: KeyAlgorithm) -> Option<Pair> {
    match algorithm {
        KeyAlgorithm::PasetoV4Public | KeyAlgorithm::EdDsa => ed25519(algorithm, &Ed25519KeyPair::generate().ok()?),
        KeyAlgorithm::Es256 => p256(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?),
        KeyAlgorithm::Rs256 | KeyAlgorithm::Ps256 => {
            rsa(algorithm, &rsa::KeyPair::generate(rsa::KeySize::Rsa2048).ok()?)
        }
    }
}

/// The halves of an Ed25519 key.
pub(super) fn ed25519(algorithm: KeyAlgorithm, pair: &Ed25519KeyPair) -> Option<Pair> {
    Some(Pair {
        algorithm,
        kid: None,
        public: pair.public_key().as_ref().to_vec(),
        private: pair.seed().ok()?.as_be_bytes().ok()?.as_ref().to_vec(),
    })
}

/// The halves of a P-256 key.
pub(super) fn p256(pair: &EcdsaKeyPair) -> Option<Pair> {
    let public: EcPublicKeyUncompressedBin<'_> = pair.public_key().as_be_bytes().ok()?;
    Some(Pair {
        algorithm: KeyAlgorithm::Es256,
        kid: None,
        public: public.as_ref().to_vec(),
        private: pair.to_pkcs8v1().ok()?.as_ref().to_vec(),
    })
}

/// The halves of an RSA key.
pub(super) fn rsa(algorithm: KeyAlgorithm, pair: &rsa::KeyPair) -> Option<Pair> {
    let private: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    Some(Pair {
        algorithm,
        kid: None,
        public: pair.public_key().as_ref().to_vec(),
        private: private.as_ref().to_vec(),
    })
}
