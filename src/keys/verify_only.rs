//! Keys that verify tokens of the issuer that this server replaces, and never sign.
//!
//! Such a token is accepted if a key of its `kid`, `alg` and `iss` signed it. Expiry, revocation and the client are not checked here.
//! Its signature is verified with one key, or with a few if it names none.

use std::sync::Arc;

use oauth2_store::model::{KeyAlgorithm, VerifyOnlyKey};

use super::KeyError;
use super::keyring::key_material;
use crate::tokens::foreign::{self, ForeignClaims, ForeignHeader};
use crate::tokens::jwt::{self, Jwk};

/// Algorithms of JWT keys.
pub const ALGORITHMS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::EdDsa,
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::Es256,
    KeyAlgorithm::Rs256,
    KeyAlgorithm::Ps256,
];

/// The most keys that a token without a `kid` is tried with: a caller may present many such tokens at once.
const MAX_TRIED: usize = 8;

#[derive(Debug)]
struct Key {
    kid: Arc<str>,
    algorithm: KeyAlgorithm,
    issuer: String,
    kept_until: i64,
    verifier: jwt::Signer,
    jwk: Option<Jwk>,
}

/// A token of another issuer: its signature is verified, or that issuer vouches for it. It may be expired or revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignToken {
    /// Its claims.
    pub claims: Arc<ForeignClaims>,
    /// The key that signed it; an opaque token has none.
    pub kid: Option<Arc<str>>,
    /// When tokens like it are not accepted any more, Unix seconds.
    pub accepted_until: i64,
}

/// The verify-only keys as loaded on this node.
#[derive(Debug, Default)]
pub struct VerifyOnlyKeys(Vec<Key>);

impl VerifyOnlyKeys {
    /// Loads the keys. A damaged key is left out, and its error is returned.
    pub fn open(stored: &[VerifyOnlyKey]) -> (Self, Vec<KeyError>) {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for key in stored {
            match Key::open(key) {
                Some(opened) => keys.push(opened),
                None => errors.push(KeyError::Damaged(key.kid.clone())),
            }
        }
        (Self(keys), errors)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys to publish, newest first.
    pub fn published(&self) -> impl Iterator<Item = &Jwk> {
        self.0.iter().rev().filter_map(|key| key.jwk.as_ref())
    }

    /// Verifies a token: its signature, by a key of its issuer. `None`: none of these keys signed it. `checks` is increased by the number
    /// of signatures that were verified.
    pub fn verify(&self, token: &str, checks: &mut usize) -> Option<ForeignToken> {
        if self.0.is_empty() {
            return None;
        }
        let header = foreign::header(token)?;
        let claims = foreign::claims(token)?;
        let iss = claims.iss.as_deref()?;
        let key = self.find(&header, iss, |key| {
            *checks += 1;
            key.verifier.verify(token)
        })?;
        Some(ForeignToken {
            kid: Some(Arc::clone(&key.kid)),
            accepted_until: key.kept_until,
            claims: Arc::new(claims),
        })
    }

    /// The key of an issuer that signed a token: the key that it names; without a name the newest keys of its algorithm are tried.
    fn find(&self, header: &ForeignHeader, iss: &str, mut has_signed: impl FnMut(&Key) -> bool) -> Option<&Key> {
        let candidates = self.0.iter().rev().filter(|key| key.may_have_signed(header, iss));
        candidates.take(MAX_TRIED).find(|key| has_signed(key))
    }
}

impl Key {
    fn open(key: &VerifyOnlyKey) -> Option<Self> {
        let jwk = jwt::jwk(key.algorithm, &key.kid, &key.public_key)?;
        Some(Self {
            kid: key.kid.as_str().into(),
            algorithm: key.algorithm,
            issuer: key.issuer.clone(),
            kept_until: key.kept_until,
            verifier: key_material::verifier(key.algorithm, &key.public_key)?,
            jwk: key.published.then_some(jwk),
        })
    }

    /// A token without a key id may be of every key of its issuer and algorithm.
    fn may_have_signed(&self, header: &ForeignHeader, iss: &str) -> bool {
        header.alg == self.algorithm.as_str()
            && self.issuer == iss
            && header.kid.as_deref().is_none_or(|kid| kid == &*self.kid)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    use serde_json::{Value, json};

    use super::*;
    use crate::tokens::BASE64URL;

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    fn key(kid: &str, pair: &EcdsaKeyPair, issuer: &str) -> VerifyOnlyKey {
        VerifyOnlyKey {
            kid: kid.to_owned(),
            algorithm: KeyAlgorithm::Es256,
            public_key: pair.public_key().as_ref().to_vec(),
            issuer: issuer.to_owned(),
            published: false,
            created_at: 0,
            kept_until: 0,
        }
    }

    fn token(pair: &EcdsaKeyPair, header: &Value, issuer: &str) -> String {
        let encode = |value: &Value| BASE64URL.encode(value.to_string());
        let claims = json!({"iss": issuer, "exp": 2_000_000_000, "client_id": "c"});
        let signed = format!("{}.{}", encode(header), encode(&claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL.encode(signature.as_ref()))
    }

    #[test]
    fn a_token_is_verified_with_one_key_or_with_a_few() {
        let pairs: Vec<EcdsaKeyPair> = (0..64).map(|_| pair()).collect();
        let stored: Vec<_> = pairs
            .iter()
            .enumerate()
            .map(|(number, pair)| key(&format!("k{number}"), pair, "https://old"))
            .collect();
        let (keys, _) = VerifyOnlyKeys::open(&stored);
        let checked = |pair: &EcdsaKeyPair, header: Value, issuer: &str| {
            let mut checks = 0;
            let kid = keys
                .verify(&token(pair, &header, issuer), &mut checks)
                .and_then(|token| token.kid);
            (kid.as_deref().map(str::to_owned), checks)
        };
        let named = checked(&pairs[0], json!({"alg": "ES256", "kid": "k0"}), "https://old");
        assert_eq!(named, (Some("k0".to_owned()), 1));
        let nameless = json!({"alg": "ES256"});
        assert_eq!(
            checked(&pairs[63], nameless.clone(), "https://old"),
            (Some("k63".to_owned()), 1)
        );
        assert_eq!(checked(&pair(), nameless.clone(), "https://old"), (None, MAX_TRIED));
        assert_eq!(checked(&pairs[63], nameless, "https://another"), (None, 0));
    }

    #[test]
    fn a_token_without_a_kid_is_of_the_key_of_its_issuer() {
        let shared = pair();
        let stored = [key("a", &shared, "https://a"), key("b", &shared, "https://b")];
        let (keys, _) = VerifyOnlyKeys::open(&stored);
        for (issuer, kid) in [("https://a", "a"), ("https://b", "b")] {
            let token = token(&shared, &json!({"alg": "ES256"}), issuer);
            let found = keys.verify(&token, &mut 0).unwrap();
            assert_eq!(found.kid.as_deref(), Some(kid));
        }
    }
}
