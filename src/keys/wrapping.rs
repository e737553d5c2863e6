//! Private keys at rest: wrapped as PASETO `v4.local` under the key encryption key.
//!
//! Key id and algorithm are the implicit assertion, so a wrapped key cannot be moved to another row. While the key encryption
//! key is being replaced, the previous key encryption key still unwraps the keys that are not rewrapped yet.

use base64::Engine;
use oauth2_store::model::{KeyAlgorithm, StoredKey};
use pasetors::Local;
use pasetors::keys::SymmetricKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};

use crate::tokens::BASE64URL;

/// None of the configured key encryption keys unwraps what this names.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be unwrapped: it is wrapped under another key encryption key")]
pub struct UnwrapError(pub String);

/// Wraps and unwraps private keys.
#[derive(Clone)]
pub struct KeyWrapper {
    /// The current key encryption key: wraps and unwraps.
    pub current: [u8; 32],
    /// The previous key encryption key, while it is being replaced: unwraps only.
    pub previous: Option<[u8; 32]>,
}

impl std::fmt::Debug for KeyWrapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyWrapper")
            .field("previous", &self.previous.is_some())
            .finish_non_exhaustive()
    }
}

impl KeyWrapper {
    /// Encrypts the private key of the key with this id and algorithm.
    pub fn wrap(&self, kid: &str, algorithm: KeyAlgorithm, private: &[u8]) -> Result<String, UnwrapError> {
        encrypt(&self.current, &key_name(kid), &assertion(kid, algorithm), private)
    }

    /// Decrypts the private key of a stored key.
    pub fn unwrap_key(&self, key: &StoredKey) -> Result<Vec<u8>, UnwrapError> {
        let with = |kek: &[u8; 32]| decrypt(kek, &key_name(&key.kid), &of_key(key), &key.wrapped_private_key);
        with(&self.current).or_else(|error| self.previous.as_ref().map_or(Err(error), with))
    }

    /// Encrypts other secrets at rest. `purpose`: a name of the secrets and their place; it must be the same for [`Self::unwrap_secret`].
    pub fn wrap_secret(&self, purpose: &str, secret: &[u8]) -> Result<String, UnwrapError> {
        encrypt(&self.current, purpose, &of_secret(purpose), secret)
    }

    /// Decrypts what [`Self::wrap_secret`] encrypted.
    pub fn unwrap_secret(&self, purpose: &str, text: &str) -> Result<Vec<u8>, UnwrapError> {
        let with = |kek: &[u8; 32]| decrypt(kek, purpose, &of_secret(purpose), text);
        with(&self.current).or_else(|error| self.previous.as_ref().map_or(Err(error), with))
    }

    /// Whether a stored key is wrapped under the current key encryption key.
    pub fn is_current(&self, key: &StoredKey) -> bool {
        decrypt(
            &self.current,
            &key_name(&key.kid),
            &of_key(key),
            &key.wrapped_private_key,
        )
        .is_ok()
    }

    /// Rewraps the keys that are wrapped under the previous key encryption key. Returns pairs of key id and wrapped private key.
    pub fn rewrap(&self, keys: &[StoredKey]) -> Result<Vec<(String, String)>, UnwrapError> {
        let outdated = keys.iter().filter(|key| !self.is_current(key));
        let rewrapped = |key: &StoredKey| {
            Ok((
                key.kid.clone(),
                self.wrap(&key.kid, key.algorithm, &self.unwrap_key(key)?)?,
            ))
        };
        outdated.map(rewrapped).collect()
    }
}

fn of_secret(purpose: &str) -> String {
    format!("oauth2_server secret {purpose}")
}

fn key_name(kid: &str) -> String {
    format!("signing key {kid}")
}

fn of_key(key: &StoredKey) -> String {
    assertion(&key.kid, key.algorithm)
}

fn assertion(kid: &str, algorithm: KeyAlgorithm) -> String {
    format!("oauth2_server signing key {algorithm} {kid}")
}

fn encrypt(kek: &[u8; 32], name: &str, assertion: &str, private: &[u8]) -> Result<String, UnwrapError> {
    let failed = |_| UnwrapError(name.to_owned());
    let key = SymmetricKey::<V4>::from(kek).map_err(failed)?;
    // The payload of a PASETO must be UTF-8.
    let private = BASE64URL.encode(private);
    LocalToken::encrypt(&key, private.as_bytes(), None, Some(assertion.as_bytes())).map_err(failed)
}

fn decrypt(kek: &[u8; 32], name: &str, assertion: &str, wrapped: &str) -> Result<Vec<u8>, UnwrapError> {
    let failed = |_| UnwrapError(name.to_owned());
    let key = SymmetricKey::<V4>::from(kek).map_err(failed)?;
    let token = UntrustedToken::<Local, V4>::try_from(wrapped).map_err(failed)?;
    let decrypted = LocalToken::decrypt(&key, &token, None, Some(assertion.as_bytes())).map_err(failed)?;
    BASE64URL
        .decode(decrypted.payload())
        .map_err(|_| UnwrapError(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_unwraps_only_in_its_own_row() {
        let of = |kid: &str, algorithm| assertion(kid, algorithm);
        let own = of("kid", KeyAlgorithm::EdDsa);
        let wrapped = encrypt(&[1; 32], "kid", &own, b"private").unwrap();
        assert_eq!(decrypt(&[1; 32], "kid", &own, &wrapped).unwrap(), b"private");
        assert!(decrypt(&[2; 32], "kid", &own, &wrapped).is_err());
        for other in [
            of("other", KeyAlgorithm::EdDsa),
            of("kid", KeyAlgorithm::Es256),
            of_secret("kid"),
        ] {
            assert!(decrypt(&[1; 32], "kid", &other, &wrapped).is_err(), "{other}");
        }
    }

    #[test]
    fn the_previous_key_encryption_key_unwraps_until_keys_are_rewrapped() {
        let [old, new] = [[1; 32], [2; 32]];
        let both = KeyWrapper {
            current: new,
            previous: Some(old),
        };
        let mut key = StoredKey {
            kid: "kid".to_owned(),
            algorithm: KeyAlgorithm::EdDsa,
            public_key: Vec::new(),
            wrapped_private_key: encrypt(&old, "kid", &assertion("kid", KeyAlgorithm::EdDsa), b"private").unwrap(),
            created_at: 0,
            signs_from_ms: 0,
            token_lifetime: 0,
            when_seen: false,
        };
        assert_eq!(
            (both.unwrap_key(&key).unwrap(), both.is_current(&key)),
            (b"private".to_vec(), false)
        );
        let rewrapped = both.rewrap(std::slice::from_ref(&key)).unwrap();
        key.wrapped_private_key.clone_from(&rewrapped[0].1);
        let after = KeyWrapper {
            current: new,
            previous: None,
        };
        assert_eq!(after.unwrap_key(&key).unwrap(), b"private");
        assert!(both.rewrap(std::slice::from_ref(&key)).unwrap().is_empty());
        let unrelated = KeyWrapper {
            current: [3; 32],
            previous: Some([4; 32]),
        };
        assert!(unrelated.unwrap_key(&key).is_err() && unrelated.rewrap(&[key]).is_err());
    }
}
