//! How private keys rest in the store: as PASETO `v4.local` under the key-encryption key.
//!
//! The key's id and algorithm are the implicit assertion, so a sealed key cannot be moved to another row.

use base64::Engine;
use oauth2_actors::model::KeyAlgorithm;
use pasetors::Local;
use pasetors::keys::SymmetricKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};

use super::BASE64URL;

/// A sealed key that this key-encryption key does not open.
#[derive(Debug, thiserror::Error)]
#[error("the key-encryption key does not open signing key {0}: it is not the one that the store was made with")]
pub struct SealingError(pub String);

fn assertion(kid: &str, algorithm: KeyAlgorithm) -> String {
    format!("oauth2_server signing key {algorithm} {kid}")
}

/// Encrypts a private key.
pub fn seal(kek: &[u8; 32], kid: &str, algorithm: KeyAlgorithm, private: &[u8]) -> Result<String, SealingError> {
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

/// Decrypts a private key.
pub fn open(kek: &[u8; 32], kid: &str, algorithm: KeyAlgorithm, sealed: &str) -> Result<Vec<u8>, SealingError> {
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
}
