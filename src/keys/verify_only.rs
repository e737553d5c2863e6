//! Keys that verify tokens of the issuer that this server replaces, and never sign.
//!
//! Such a token is accepted if a key of its `kid`, `alg` and `iss` signed it. Expiry, revocation and the client are not checked here.

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
    /// Loads the keys. A damaged one is left out, and its error is returned.
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

    /// Verifies a token: its signature, and that its key is of its issuer. `None`: none of these keys signed it.
    pub fn verify(&self, token: &str) -> Option<ForeignToken> {
        if self.0.is_empty() {
            return None;
        }
        let header = foreign::header(token)?;
        let key = self
            .0
            .iter()
            .find(|key| key.may_have_signed(&header) && key.verifier.verify(token))?;
        let claims = foreign::claims(token)?;
        (claims.iss.as_deref() == Some(&*key.issuer)).then(|| ForeignToken {
            claims: Arc::new(claims),
            kid: Some(Arc::clone(&key.kid)),
            accepted_until: key.kept_until,
        })
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

    /// A token without a key id is tried with every key of its algorithm.
    fn may_have_signed(&self, header: &ForeignHeader) -> bool {
        header.alg == self.algorithm.as_str() && header.kid.as_deref().is_none_or(|kid| kid == &*self.kid)
    }
}
