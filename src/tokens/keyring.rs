//! The signing keys, opened: which key signs, which key verifies, and the documents that publish them.
//!
//! Of the keys of an algorithm the newest whose moment has come signs ([`super::lifecycle`]); every key verifies. A keyring is
//! immutable: a change of keys is a new keyring.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
    VerificationAlgorithm,
};
use base64::Engine;
use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{KeyAlgorithm, MAX_TOKEN_LIFETIME, SigningAlg, StoredKey};
use pasetors::keys::AsymmetricPublicKey;
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use serde_json::json;

use super::claims::{self, Claims};
use super::sealing::{SealingError, Seals};
use super::{BASE64URL, MintError, jwt, paseto};

/// A token whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it claims. Expiry is not checked yet.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: Arc<str>,
    /// It was signed under the shared secret, so a verifier may have made it up: it counts only as a token of a client that is
    /// registered so.
    pub shared: bool,
}

#[derive(Debug)]
struct PasetoKey {
    kid: Arc<str>,
    signs_from_ms: i64,
    pair: Ed25519KeyPair,
    footer: String,
    footer_base64: String,
    paserk: String,
}

#[derive(Debug)]
struct JwtKey {
    kid: Arc<str>,
    algorithm: SigningAlg,
    signs_from_ms: i64,
    signer: jwt::Signer,
    header_base64: String,
    /// `None` for a secret, which is not published.
    jwk: Option<serde_json::Value>,
}

/// Whether it has to be shown that one of our keys signed a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Needed,
    Known,
}

/// Why a stored key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] SealingError),
    /// It opens, but is not a key of its algorithm or not the private half of the public one.
    #[error("signing key {0} is damaged")]
    Damaged(String),
    /// The cryptographic library could not make a key.
    #[error("a signing key could not be generated")]
    Generate,
}

/// The keys of this issuer. `default()` holds none: it signs nothing and verifies nothing.
#[derive(Debug, Default)]
pub struct Keyring {
    issuer: Arc<str>,
    paseto: Vec<PasetoKey>,
    jwt: Vec<JwtKey>,
    by_paseto_footer: HashMap<String, usize>,
    by_jwt_header: HashMap<String, usize>,
}

impl Keyring {
    /// Opens all stored keys, in the order in which they sign, and adds the secret that is shared, if there is one.
    pub fn open(issuer: &str, seals: &Seals, stored: &[StoredKey], shared: Option<&[u8]>) -> Result<Self, KeyError> {
        let mut ring = Self {
            issuer: issuer.into(),
            ..Self::default()
        };
        if let Some(secret) = shared {
            ring.share(secret);
        }
        for key in stored {
            let private = seals.open(key)?;
            ring.add(key, &private)
                .ok_or_else(|| KeyError::Damaged(key.kid.clone()))?;
        }
        Ok(ring)
    }

    fn add(&mut self, key: &StoredKey, private: &[u8]) -> Option<()> {
        if key.algorithm == KeyAlgorithm::PasetoV4Public {
            let footer = paseto_footer(&key.kid);
            let footer_base64 = BASE64URL.encode(&footer);
            self.by_paseto_footer.insert(footer_base64.clone(), self.paseto.len());
            self.paseto.push(PasetoKey {
                kid: key.kid.as_str().into(),
                signs_from_ms: key.signs_from_ms,
                pair: Ed25519KeyPair::from_seed_and_public_key(private, &key.public_key).ok()?,
                footer,
                footer_base64,
                paserk: paserk(&key.public_key)?,
            });
            return Some(());
        }
        let (signer, algorithm) = match key.algorithm {
            KeyAlgorithm::EdDsa | KeyAlgorithm::PasetoV4Public => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(private, &key.public_key).ok()?;
                (jwt::Signer::EdDsa(pair), SigningAlg::EdDsa)
            }
            KeyAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
                let public = public_half(&ECDSA_P256_SHA256_FIXED, pair.public_key(), key)?;
                (jwt::Signer::Es256(Box::new((pair, public))), SigningAlg::Es256)
            }
            KeyAlgorithm::Rs256 => (
                rsa_signer(&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256, private, key)?,
                SigningAlg::Rs256,
            ),
            KeyAlgorithm::Ps256 => (
                rsa_signer(&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256, private, key)?,
                SigningAlg::Ps256,
            ),
        };
        let jwk = Some(jwt::jwk(key.algorithm, &key.kid, &key.public_key)?);
        self.push(key.kid.as_str().into(), algorithm, key.signs_from_ms, signer, jwk);
        Some(())
    }

    /// The secret's name tells no more of it than that two servers share it: it is a digest under the secret itself.
    fn share(&mut self, secret: &[u8]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let name = hmac::sign(&key, b"oauth2_server name of the shared secret");
        let kid = BASE64URL.encode(&digest(&SHA256, name.as_ref()).as_ref()[..12]);
        self.push(
            kid.into(),
            SigningAlg::Hs256,
            i64::MIN,
            jwt::Signer::Hs256(Box::new(key)),
            None,
        );
    }

    fn push(
        &mut self,
        kid: Arc<str>,
        algorithm: SigningAlg,
        signs_from_ms: i64,
        signer: jwt::Signer,
        jwk: Option<serde_json::Value>,
    ) {
        let header_base64 = jwt::header_base64(algorithm, &kid);
        self.by_jwt_header.insert(header_base64.clone(), self.jwt.len());
        self.jwt.push(JwtKey {
            kid,
            algorithm,
            signs_from_ms,
            signer,
            header_base64,
            jwk,
        });
    }

    /// Whether there is a key for each kind of token that every server signs.
    pub fn is_complete(&self) -> bool {
        !self.paseto.is_empty() && self.has(SigningAlg::EdDsa) && self.has(SigningAlg::Es256)
    }

    /// Whether there is a key for JWTs of this kind.
    pub fn has(&self, algorithm: SigningAlg) -> bool {
        self.jwt.iter().any(|key| key.algorithm == algorithm)
    }

    /// Writes and signs a PASETO.
    pub fn sign_paseto(&self, claims: &Claims) -> Result<String, MintError> {
        let minted = uuid_v7_ms(&claims.jti) as i64;
        let key = self
            .paseto
            .iter()
            .rfind(|key| key.signs_from_ms <= minted)
            .ok_or(MintError::NoKey(KeyAlgorithm::PasetoV4Public.as_str()))?;
        let mut message = Vec::with_capacity(512);
        claims::write_paseto(claims, &mut message);
        paseto::sign(&key.pair, &message, key.footer.as_bytes(), &key.footer_base64, b"")
    }

    /// Writes and signs a JWT.
    pub fn sign_jwt(&self, claims: &Claims, alg: SigningAlg) -> Result<String, MintError> {
        let minted = uuid_v7_ms(&claims.jti) as i64;
        let key = self
            .jwt
            .iter()
            .rfind(|key| key.algorithm == alg && key.signs_from_ms <= minted)
            .ok_or(MintError::NoKey(alg.as_str()))?;
        let mut message = Vec::with_capacity(512);
        claims::write_jwt(claims, &mut message);
        jwt::sign(&key.signer, &key.header_base64, &message)
    }

    /// Checks a self-contained token of either kind: a key of ours, its signature, our issuer. Expiry and revocation are
    /// not checked here. `None`: not one of ours.
    pub fn verify(&self, token: &str) -> Option<Verified> {
        self.read(token, Proof::Needed)
    }

    /// As [`Self::verify`], for a token that is known to be, letter by letter, one that a key of ours has signed.
    pub fn recognize(&self, token: &str) -> Option<Verified> {
        self.read(token, Proof::Known)
    }

    fn read(&self, token: &str, proof: Proof) -> Option<Verified> {
        let verified = if token.starts_with(paseto::HEADER) {
            self.read_paseto(token, proof)
        } else {
            self.read_jwt(token, proof)
        }?;
        (verified.claims.iss == self.issuer).then_some(verified)
    }

    fn read_paseto(&self, token: &str, proof: Proof) -> Option<Verified> {
        let (body, footer) = paseto::split(token)?;
        let key = &self.paseto[*self.by_paseto_footer.get(footer)?];
        let signed = paseto::Signed::parse(body)?;
        if proof == Proof::Needed && !signed.is_by(&key.pair, key.footer.as_bytes(), b"") {
            return None;
        }
        Some(Verified {
            claims: claims::parse_paseto(signed.message())?,
            kid: Arc::clone(&key.kid),
            shared: false,
        })
    }

    fn read_jwt(&self, token: &str, proof: Proof) -> Option<Verified> {
        let key = &self.jwt[*self.by_jwt_header.get(jwt::header(token)?)?];
        if proof == Proof::Needed && !key.signer.has_signed(token) {
            return None;
        }
        let claims = claims::parse_jwt(&jwt::payload(token)?)?;
        let shared = key.algorithm == SigningAlg::Hs256;
        // Whoever made it may have given it any life, and an id that comes after every cut-off.
        if shared && !is_one_that_we_could_make(&claims) {
            return None;
        }
        Some(Verified {
            claims,
            kid: Arc::clone(&key.kid),
            shared,
        })
    }

    /// The JWK set (RFC 7517 section 5), newest key first.
    pub fn jwks(&self) -> serde_json::Value {
        json!({"keys": self.jwt.iter().rev().filter_map(|key| key.jwk.as_ref()).collect::<Vec<_>>()})
    }

    /// The PASETO public keys as PASERK, newest first.
    pub fn paseto_keys(&self) -> serde_json::Value {
        let keys = self.paseto.iter().rev();
        json!({"keys": keys.map(|key| json!({"kid": &*key.kid, "paserk": key.paserk})).collect::<Vec<_>>()})
    }
}

/// Whether the times of a token agree with each other as those of ours do.
fn is_one_that_we_could_make(claims: &Claims) -> bool {
    let life = claims.exp.saturating_sub(claims.iat);
    (1..=MAX_TOKEN_LIFETIME).contains(&life)
        && claims.jti.get_version_num() == 7
        && (uuid_v7_ms(&claims.jti) / 1000) as i64 == claims.iat
}

fn rsa_signer(
    encoding: &'static dyn RsaEncoding,
    verification: &'static dyn VerificationAlgorithm,
    private: &[u8],
    key: &StoredKey,
) -> Option<jwt::Signer> {
    let pair = rsa::KeyPair::from_pkcs8(private).ok()?;
    let public = public_half(verification, pair.public_key(), key)?;
    Some(jwt::Signer::Rsa(Box::new((pair, public)), encoding))
}

/// The public half as it verifies, if it is the one that is published.
fn public_half(
    algorithm: &'static dyn VerificationAlgorithm,
    public: impl AsRef<[u8]>,
    key: &StoredKey,
) -> Option<ParsedPublicKey> {
    if public.as_ref() != key.public_key {
        return None;
    }
    ParsedPublicKey::new(algorithm, &key.public_key).ok()
}

/// The PASERK id of an Ed25519 public key: `k4.pid.…`.
pub fn paseto_kid(public_key: &[u8]) -> Option<String> {
    let key = AsymmetricPublicKey::<V4>::from(public_key).ok()?;
    let mut kid = String::new();
    Id::from(&key).fmt(&mut kid).ok()?;
    Some(kid)
}

/// An Ed25519 public key as PASERK: `k4.public.…`.
pub fn paserk(public_key: &[u8]) -> Option<String> {
    let key = AsymmetricPublicKey::<V4>::from(public_key).ok()?;
    let mut text = String::new();
    key.fmt(&mut text).ok()?;
    Some(text)
}

/// The footer of a key's tokens, byte for byte.
pub fn paseto_footer(kid: &str) -> String {
    format!(r#"{{"kid":"{kid}"}}"#)
}

#[cfg(test)]
mod tests;
