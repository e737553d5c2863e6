//! The signing keys as loaded on this node: which key signs, which keys verify, and the published key sets.
//!
//! The newest activated key of an algorithm signs ([`super::lifecycle`]); every key verifies. A keyring is immutable: when keys
//! change, a new keyring is built. A key that this node cannot unwrap is published and verifies, but does not sign here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::model::{KeyAlgorithm, MAX_TOKEN_LIFETIME, SigningAlg, StoredKey, TokenTyp};

use super::KeyError;
use super::key_sets::{JwkSet, PasetoKeySet, PublishedPasetoKey};
use super::wrapping::KeyWrapper;
use crate::tokens::claims::{self, Claims};
use crate::tokens::jwt::{self, Jwk};
use crate::tokens::verified::VerifiedToken;
use crate::tokens::{BASE64URL, SignError, paseto};

pub(super) mod key_material;

#[derive(Debug)]
struct PasetoKey {
    kid: Arc<str>,
    window: SigningWindow,
    material: paseto::KeyMaterial,
    footer: String,
    footer_base64: String,
    paserk: String,
}

#[derive(Debug)]
struct JwtKey {
    kid: Arc<str>,
    algorithm: SigningAlg,
    window: SigningWindow,
    signer: jwt::Signer,
    /// The header of its access tokens, by [`TokenTyp`].
    headers_base64: Vec<String>,
    /// The published key; `None` for the shared secret.
    jwk: Option<Jwk>,
}

/// When a key starts to sign, and whether this node can sign with it.
#[derive(Debug, Clone, Copy)]
struct SigningWindow {
    /// Unix milliseconds.
    from_ms: i64,
    unwrapped: bool,
}

/// Whether to verify the signature of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignatureCheck {
    Verify,
    Skip,
}

impl SignatureCheck {
    /// The reader of the claims: a signature is of the bytes that this server writes for them, and of no others.
    fn reader(self, verified: ReadClaims, unverified: ReadClaims) -> ReadClaims {
        match self {
            Self::Verify => verified,
            Self::Skip => unverified,
        }
    }
}

type ReadClaims = fn(&[u8]) -> Option<Claims>;

/// The keys of this issuer. `default()` is empty: it signs and verifies nothing.
#[derive(Debug, Default)]
pub struct Keyring {
    issuer: Arc<str>,
    paseto: Vec<PasetoKey>,
    jwt: Vec<JwtKey>,
    by_paseto_footer: HashMap<String, usize>,
    by_jwt_header: HashMap<String, usize>,
    /// Whether a key is loaded without its private key.
    has_public_only: bool,
    /// How long the previous key continues to sign if its successor has no private key here.
    grace_ms: i64,
}

impl Keyring {
    /// Loads all stored keys, which must be in the order in which they sign, and the shared secret of HS256 if there is one.
    /// Fails with the error of the first key that cannot be unwrapped or is damaged.
    pub fn open(
        issuer: &str,
        wrapper: &KeyWrapper,
        stored: &[StoredKey],
        shared: Option<&[u8]>,
    ) -> Result<Self, KeyError> {
        let (ring, errors) = Self::open_lenient(issuer, wrapper, stored, shared, Duration::ZERO);
        errors.into_iter().next().map_or(Ok(ring), Err)
    }

    /// Like [`Self::open`], but a key that cannot be unwrapped or is damaged is loaded without its private key, and its error is
    /// returned. When such a key should sign, the previous key continues to sign for `grace`, the time for which it is kept.
    pub fn open_lenient(
        issuer: &str,
        wrapper: &KeyWrapper,
        stored: &[StoredKey],
        shared: Option<&[u8]>,
        grace: Duration,
    ) -> (Self, Vec<KeyError>) {
        let mut ring = Self {
            issuer: issuer.into(),
            grace_ms: grace.as_millis() as i64,
            ..Self::default()
        };
        if let Some(secret) = shared {
            ring.add_shared_secret(secret);
        }
        let mut errors = Vec::new();
        for key in stored {
            let damaged = || KeyError::Damaged(key.kid.clone());
            let private = wrapper.unwrap_key(key).map_err(KeyError::from);
            if let Err(error) = private.and_then(|private| ring.add(key, Some(&private)).ok_or_else(damaged)) {
                // Fails if the public key is damaged too; then the key cannot even verify.
                let _ = ring.add(key, None);
                ring.has_public_only = true;
                errors.push(error);
            }
        }
        (ring, errors)
    }

    fn add(&mut self, key: &StoredKey, private: Option<&[u8]>) -> Option<()> {
        let window = SigningWindow {
            from_ms: key.signs_from_ms,
            unwrapped: private.is_some(),
        };
        if key.algorithm == KeyAlgorithm::PasetoV4Public {
            let footer = paseto::footer(&key.kid);
            let paseto = PasetoKey {
                kid: key.kid.as_str().into(),
                window,
                material: key_material::paseto_key(key, private)?,
                footer_base64: BASE64URL.encode(&footer),
                footer,
                paserk: paseto::paserk(&key.public_key)?,
            };
            self.by_paseto_footer
                .insert(paseto.footer_base64.clone(), self.paseto.len());
            self.paseto.push(paseto);
            return Some(());
        }
        let (signer, algorithm) = key_material::jwt_signer(key, private)?;
        let jwk = Some(jwt::jwk(key.algorithm, &key.kid, &key.public_key)?);
        self.push(key.kid.as_str().into(), algorithm, window, signer, jwk);
        Some(())
    }

    /// Adds the shared secret that the one of HS256 replaces: it verifies, and never signs.
    pub fn add_previous_shared_secret(&mut self, secret: &[u8]) {
        self.add_shared_secret_from(secret, i64::MAX);
    }

    fn add_shared_secret(&mut self, secret: &[u8]) {
        self.add_shared_secret_from(secret, i64::MIN);
    }

    /// The kid is a keyed hash under the secret itself. It reveals only whether two servers have the same secret.
    fn add_shared_secret_from(&mut self, secret: &[u8], from_ms: i64) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, b"oauth2_server name of the shared secret");
        let kid = BASE64URL.encode(&digest(&SHA256, tag.as_ref()).as_ref()[..12]);
        let window = SigningWindow {
            from_ms,
            unwrapped: true,
        };
        let signer = jwt::Signer::Hs256(Box::new(key));
        self.push(kid.into(), SigningAlg::Hs256, window, signer, None);
    }

    fn push(
        &mut self,
        kid: Arc<str>,
        algorithm: SigningAlg,
        window: SigningWindow,
        signer: jwt::Signer,
        jwk: Option<Jwk>,
    ) {
        let header = |typ: &TokenTyp| jwt::header_base64(algorithm, *typ, &kid);
        let headers_base64: Vec<_> = TokenTyp::ALL.iter().map(header).collect();
        for header in &headers_base64 {
            self.by_jwt_header.insert(header.clone(), self.jwt.len());
        }
        self.jwt.push(JwtKey {
            kid,
            algorithm,
            window,
            signer,
            headers_base64,
            jwk,
        });
    }

    /// Whether there is a key of each algorithm that every server has ([`KeyAlgorithm::REQUIRED`]).
    pub fn is_complete(&self) -> bool {
        !self.paseto.is_empty() && self.has(SigningAlg::EdDsa) && self.has(SigningAlg::Es256)
    }

    /// Whether this node can sign with each of these algorithms at a time, Unix milliseconds.
    pub fn can_sign(&self, at_ms: i64) -> bool {
        let jwt = |alg| self.jwt_signer(alg, at_ms).is_some();
        let has_signers = || self.paseto_signer(at_ms).is_some() && jwt(SigningAlg::EdDsa) && jwt(SigningAlg::Es256);
        self.is_complete() && (!self.has_public_only || has_signers())
    }

    fn paseto_signer(&self, at_ms: i64) -> Option<&PasetoKey> {
        active(self.paseto.iter(), |key| key.window, at_ms, self.grace_ms)
    }

    fn jwt_signer(&self, alg: SigningAlg, at_ms: i64) -> Option<&JwtKey> {
        let keys = self.jwt.iter().filter(|key| key.algorithm == alg);
        active(keys, |key| key.window, at_ms, self.grace_ms)
    }

    /// Whether there is a JWT key of this algorithm.
    pub fn has(&self, algorithm: SigningAlg) -> bool {
        self.jwt.iter().any(|key| key.algorithm == algorithm)
    }

    /// Encodes and signs a PASETO access token, with the key that signs at the time of its `jti`. [`SignError::NoKey`] if no key
    /// signs then.
    pub fn sign_paseto(&self, claims: &Claims) -> Result<String, SignError> {
        let issued_ms = claims.issued_ms();
        let missing = SignError::NoKey(KeyAlgorithm::PasetoV4Public.as_str());
        let key = self.paseto_signer(issued_ms).ok_or(missing)?;
        let mut message = Vec::with_capacity(512);
        claims::write_paseto(claims, &mut message);
        paseto::sign(
            key.material.key_pair()?,
            &message,
            key.footer.as_bytes(),
            &key.footer_base64,
            b"",
        )
    }

    /// Encodes and signs a JWT access token. Otherwise like [`Self::sign_paseto`].
    pub fn sign_jwt(&self, claims: &Claims, alg: SigningAlg, typ: TokenTyp) -> Result<String, SignError> {
        let issued_ms = claims.issued_ms();
        let key = self.jwt_signer(alg, issued_ms).ok_or(SignError::NoKey(alg.as_str()))?;
        let mut message = Vec::with_capacity(512);
        claims::write_jwt(claims, &mut message);
        jwt::sign(&key.signer, &key.headers_base64[typ as usize], &message)
    }

    /// Verifies a self-contained token of either format: its signature and its issuer. Expiry and revocation are not checked.
    /// `None`: not issued by this server.
    pub fn verify(&self, token: &str) -> Option<VerifiedToken> {
        self.read(token, SignatureCheck::Verify)
    }

    /// Whether the header of a token names the shared secret. The token is not verified.
    pub fn names_shared_secret(&self, token: &str) -> bool {
        jwt::header(token)
            .and_then(|header| self.by_jwt_header.get(header))
            .is_some_and(|key| self.jwt[*key].algorithm == SigningAlg::Hs256)
    }

    /// Like [`Self::verify`], but without verification of the signature: only for tokens that are byte-identical to one that
    /// this process signed.
    pub fn recognize(&self, token: &str) -> Option<VerifiedToken> {
        self.read(token, SignatureCheck::Skip)
    }

    fn read(&self, token: &str, check: SignatureCheck) -> Option<VerifiedToken> {
        let verified = if token.starts_with(paseto::HEADER) {
            self.read_paseto(token, check)
        } else {
            self.read_jwt(token, check)
        }?;
        // Holders of a key, such as the verifiers that share the secret, could sign tokens with any lifetime, and with an id later than every
        // revocation cut-off.
        let is_consistent = check == SignatureCheck::Skip || has_consistent_times(&verified.claims);
        (verified.claims.iss == self.issuer && is_consistent).then_some(verified)
    }

    fn read_paseto(&self, token: &str, check: SignatureCheck) -> Option<VerifiedToken> {
        let (body, footer) = paseto::split(token)?;
        let key = &self.paseto[*self.by_paseto_footer.get(footer)?];
        let body = paseto::SignedBody::parse(body)?;
        if check == SignatureCheck::Verify && !key.material.verify(&body, key.footer.as_bytes(), b"") {
            return None;
        }
        let read = check.reader(claims::canonical_paseto, claims::parse_paseto);
        Some(VerifiedToken {
            claims: read(body.message())?,
            kid: Arc::clone(&key.kid),
            by_shared_secret: false,
        })
    }

    fn read_jwt(&self, token: &str, check: SignatureCheck) -> Option<VerifiedToken> {
        let key = &self.jwt[*self.by_jwt_header.get(jwt::header(token)?)?];
        if check == SignatureCheck::Verify && !key.signer.verify(token) {
            return None;
        }
        let read = check.reader(claims::canonical_jwt, claims::parse_jwt);
        let by_shared_secret = key.algorithm == SigningAlg::Hs256;
        Some(VerifiedToken {
            claims: read(&jwt::payload(token)?)?,
            kid: Arc::clone(&key.kid),
            by_shared_secret,
        })
    }

    /// The JWK set (RFC 7517 section 5), newest first within a type of key.
    pub fn jwks(&self) -> JwkSet {
        let keys = self.jwt.iter().rev().filter_map(|key| key.jwk.clone());
        let set = JwkSet { keys: keys.collect() };
        set.in_readable_order()
    }

    /// The PASETO public keys as PASERK, newest first.
    pub fn paseto_keys(&self) -> PasetoKeySet {
        let key = |key: &PasetoKey| PublishedPasetoKey {
            kid: key.kid.to_string(),
            paserk: key.paserk.clone(),
        };
        PasetoKeySet {
            keys: self.paseto.iter().rev().map(key).collect(),
        }
    }
}

/// Whether `exp`, `iat` and `jti` are consistent, as in every token of this server: `iat` is not after the timestamp of `jti`, and the
/// lifetime is within the limit.
pub fn has_consistent_times(claims: &Claims) -> bool {
    let lifetime = claims.exp.saturating_sub(claims.iat);
    (1..=MAX_TOKEN_LIFETIME).contains(&lifetime)
        && claims.jti.get_version_num() == 7
        && (uuid_v7_ms(&claims.jti) / 1000) as i64 >= claims.iat
}

/// The key that signs at a time: the newest activated one, or, if that is not unwrapped here, the latest unwrapped key before it
/// until its grace period ends. `keys` are in the order in which they sign. The oldest key signs from the beginning: if it was made with
/// a clock that was set back since, there is no other.
fn active<'a, K>(
    keys: impl DoubleEndedIterator<Item = &'a K> + Clone,
    window: impl Fn(&K) -> SigningWindow,
    at_ms: i64,
    grace_ms: i64,
) -> Option<&'a K> {
    let mut retired_at_ms = None;
    let oldest = keys.clone().next();
    for key in keys.rev() {
        let SigningWindow { from_ms, unwrapped } = window(key);
        if from_ms > at_ms && !oldest.is_some_and(|oldest| std::ptr::eq(oldest, key)) {
            continue;
        }
        if unwrapped {
            let may_sign = retired_at_ms.is_none_or(|retired| at_ms <= retired + grace_ms);
            return may_sign.then_some(key);
        }
        retired_at_ms = Some(from_ms);
    }
    None
}

#[cfg(test)]
mod tests;
