//! How private keys rest in the store: as PASETO `v4.local` under the key-encryption key.
//!
//! The key's id and algorithm are the implicit assertion, so a sealed key cannot be moved to another row. While the
//! key-encryption key is changed, the one before opens what has not been sealed anew yet.

use base64::Engine;
use oauth2_actors::model::{KeyAlgorithm, StoredKey};
use pasetors::Local;
use pasetors::keys::SymmetricKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};

use super::BASE64URL;

/// A sealed key that no key-encryption key at hand opens.
#[derive(Debug, thiserror::Error)]
#[error("the key-encryption key does not open signing key {0}: it is not the one that the store was made with")]
pub struct SealingError(pub String);

/// The key-encryption key, and the one before it while it is changed.
#[derive(Clone)]
pub struct Seals {
    /// Seals, and opens.
    pub current: [u8; 32],
    /// Opens.
    pub previous: Option<[u8; 32]>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals")
            .field("previous", &self.previous.is_some())
            .finish_non_exhaustive()
    }
}

impl Seals {
    /// Encrypts a private key.
    pub fn seal(&self, kid: &str, algorithm: KeyAlgorithm, private: &[u8]) -> Result<String, SealingError> {
        seal(&self.current, kid, algorithm, private)
    }

    /// Decrypts a stored key's private part.
    pub fn open(&self, key: &StoredKey) -> Result<Vec<u8>, SealingError> {
        let with = |seal: &[u8; 32]| open(seal, &key.kid, key.algorithm, &key.sealed_private_key);
        with(&self.current).or_else(|error| self.previous.as_ref().map_or(Err(error), with))
    }

    /// Whether a stored key is sealed under the present key-encryption key.
    pub fn is_current(&self, key: &StoredKey) -> bool {
        open(&self.current, &key.kid, key.algorithm, &key.sealed_private_key).is_ok()
    }

    /// Seals anew what is sealed under the key-encryption key before: ids and sealed private keys.
    pub fn rewrap(&self, keys: &[StoredKey]) -> Result<Vec<(String, String)>, SealingError> {
        let stale = keys.iter().filter(|key| !self.is_current(key));
        let anew = |key: &StoredKey| Ok((key.kid.clone(), self.seal(&key.kid, key.algorithm, &self.open(key)?)?));
        stale.map(anew).collect()
    }
}

fn assertion(kid: &str, algorithm: KeyAlgorithm) -> String {
    format!("oauth2_server signing key {algorithm} {kid}")
}

fn seal(kek: &[u8; 32], kid: &str, algorithm: KeyAlgorithm, private: &[u8]) -> Result<String, SealingError> {
    let failed = |_| SealingError(kid.to_owned());
    let key = SymmetricKey::<V4>::from(kek).map_err(failed)?;
    // A PASETO payload is text.
    let private = BASE64URL.encode(private);
    LocalToken::encrypt(
        &key,
        private.as_bytes(),
        None,
        Some(assertion(kid, algorithm).as_bytes()),
    )
    .map_err(failed)
}

fn open(kek: &[u8; 32], kid: &str, algorithm: KeyAlgorithm, sealed: &str) -> Result<Vec<u8>, SealingError> {
    let failed = |_| SealingError(kid.to_owned());
    let key = SymmetricKey::<V4>::from(kek).map_err(failed)?;
    let token = UntrustedToken::<Local, V4>::try_from(sealed).map_err(failed)?;
    let opened = LocalToken::decrypt(&key, &token, None, Some(assertion(kid, algorithm).as_bytes())).map_err(failed)?;
    BASE64URL
        .decode(opened.payload())
        .map_err(|_| SealingError(kid.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_only_where_it_belongs() {
        let sealed = seal(&[1; 32], "kid", KeyAlgorithm::EdDsa, b"private").unwrap();
        assert_eq!(open(&[1; 32], "kid", KeyAlgorithm::EdDsa, &sealed).unwrap(), b"private");
        assert!(open(&[2; 32], "kid", KeyAlgorithm::EdDsa, &sealed).is_err());
        assert!(open(&[1; 32], "other", KeyAlgorithm::EdDsa, &sealed).is_err());
        assert!(open(&[1; 32], "kid", KeyAlgorithm::Es256, &sealed).is_err());
    }

    #[test]
    fn two_seals_open_while_one_is_changed() {
        let [old, new] = [[1; 32], [2; 32]];
        let both = Seals {
            current: new,
            previous: Some(old),
        };
        let mut key = StoredKey {
            kid: "kid".to_owned(),
            algorithm: KeyAlgorithm::EdDsa,
            public_key: Vec::new(),
            sealed_private_key: seal(&old, "kid", KeyAlgorithm::EdDsa, b"private").unwrap(),
            created_at: 0,
            signs_from_ms: 0,
            token_lifetime: 0,
        };
        assert_eq!(
            (both.open(&key).unwrap(), both.is_current(&key)),
            (b"private".to_vec(), false)
        );
        let anew = both.rewrap(std::slice::from_ref(&key)).unwrap();
        key.sealed_private_key.clone_from(&anew[0].1);
        let after = Seals {
            current: new,
            previous: None,
        };
        assert_eq!(after.open(&key).unwrap(), b"private");
        assert!(
            both.rewrap(std::slice::from_ref(&key)).unwrap().is_empty(),
            "nothing is left to do"
        );
        let foreign = Seals {
            current: [3; 32],
            previous: Some([4; 32]),
        };
        assert!(foreign.open(&key).is_err() && foreign.rewrap(&[key]).is_err());
    }
}
