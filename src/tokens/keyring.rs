//! The signing keys, opened: which key signs, which key verifies, and the documents that publish them.
//!
//! Of the keys of an algorithm the newest whose moment has come signs ([`super::lifecycle`]); every key verifies. A keyring is
//! immutable: a change of keys is a new keyring. A key that does not open is published and verifies, and is not signed with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
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

mod halves;

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
    turn: Turn,
    half: paseto::Half,
    footer: String,
    footer_base64: String,
    paserk: String,
}

#[derive(Debug)]
struct JwtKey {
    kid: Arc<str>,
    algorithm: SigningAlg,
    turn: Turn,
    signer: jwt::Signer,
    header_base64: String,
    /// `None` for a secret, which is not published.
    jwk: Option<serde_json::Value>,
}

/// When a key signs, and whether it can.
#[derive(Debug, Clone, Copy)]
struct Turn {
    from_ms: i64,
    opens: bool,
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
    /// Whether some key cannot be signed with.
    lacks: bool,
    /// For how long the key before goes on where the one that is to follow cannot be signed with.
    grace_ms: i64,
}

impl Keyring {
    /// Opens all stored keys, in the order in which they sign, and adds the secret that is shared, if there is one.
    pub fn open(issuer: &str, seals: &Seals, stored: &[StoredKey], shared: Option<&[u8]>) -> Result<Self, KeyError> {
        let (ring, useless) = Self::open_what_opens(issuer, seals, stored, shared, Duration::ZERO);
        useless.into_iter().next().map_or(Ok(ring), Err)
    }

    /// As [`Self::open`]; of keys that do not open, or are damaged, the public halves are taken over, and it is said why. Where
    /// one of them is to sign, the key before goes on for the grace: for so long it is kept for its tokens.
    pub fn open_what_opens(
        issuer: &str,
        seals: &Seals,
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
            ring.share(secret);
        }
        let mut useless = Vec::new();
        for key in stored {
            let damaged = || KeyError::Damaged(key.kid.clone());
            let opened = seals.open(key).map_err(KeyError::from);
            if let Err(why) = opened.and_then(|private| ring.add(key, Some(&private)).ok_or_else(damaged)) {
                // One whose public half is none, either, cannot have signed anything.
                let _ = ring.add(key, None);
                ring.lacks = true;
                useless.push(why);
            }
        }
        (ring, useless)
    }

    fn add(&mut self, key: &StoredKey, private: Option<&[u8]>) -> Option<()> {
        let turn = Turn {
            from_ms: key.signs_from_ms,
            opens: private.is_some(),
        };
        if key.algorithm == KeyAlgorithm::PasetoV4Public {
            let footer = paseto_footer(&key.kid);
            let paseto = PasetoKey {
                kid: key.kid.as_str().into(),
                turn,
                half: halves::of_paseto(key, private)?,
                footer_base64: BASE64URL.encode(&footer),
                footer,
                paserk: paserk(&key.public_key)?,
            };
            self.by_paseto_footer
                .insert(paseto.footer_base64.clone(), self.paseto.len());
            self.paseto.push(paseto);
            return Some(());
        }
        let (signer, algorithm) = halves::of_jwt(key, private)?;
        let jwk = Some(jwt::jwk(key.algorithm, &key.kid, &key.public_key)?);
        self.push(key.kid.as_str().into(), algorithm, turn, signer, jwk);
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
            Turn {
                from_ms: i64::MIN,
                opens: true,
            },
            jwt::Signer::Hs256(Box::new(key)),
            None,
        );
    }

    fn push(
        &mut self,
        kid: Arc<str>,
        algorithm: SigningAlg,
        turn: Turn,
        signer: jwt::Signer,
        jwk: Option<serde_json::Value>,
    ) {
        let header_base64 = jwt::header_base64(algorithm, &kid);
        self.by_jwt_header.insert(header_base64.clone(), self.jwt.len());
        self.jwt.push(JwtKey {
            kid,
            algorithm,
            turn,
            signer,
            header_base64,
            jwk,
        });
    }

    /// Whether there is a key for each kind of token that every server signs.
    pub fn is_complete(&self) -> bool {
        !self.paseto.is_empty() && self.has(SigningAlg::EdDsa) && self.has(SigningAlg::Es256)
    }

    /// Whether each kind of token that every server signs can be signed at this moment, Unix milliseconds.
    pub fn can_sign(&self, at_ms: i64) -> bool {
        let jwt = |alg| self.jwt_signer(alg, at_ms).is_some();
        let able = || self.paseto_signer(at_ms).is_some() && jwt(SigningAlg::EdDsa) && jwt(SigningAlg::Es256);
        self.is_complete() && (!self.lacks || able())
    }

    fn paseto_signer(&self, at_ms: i64) -> Option<&PasetoKey> {
        signer(self.paseto.iter(), |key| key.turn, at_ms, self.grace_ms)
    }

    fn jwt_signer(&self, alg: SigningAlg, at_ms: i64) -> Option<&JwtKey> {
        let keys = self.jwt.iter().filter(|key| key.algorithm == alg);
        signer(keys, |key| key.turn, at_ms, self.grace_ms)
    }

    /// Whether there is a key for JWTs of this kind.
    pub fn has(&self, algorithm: SigningAlg) -> bool {
        self.jwt.iter().any(|key| key.algorithm == algorithm)
    }

    /// Writes and signs a PASETO.
    pub fn sign_paseto(&self, claims: &Claims) -> Result<String, MintError> {
        let minted = uuid_v7_ms(&claims.jti) as i64;
        let missing = MintError::NoKey(KeyAlgorithm::PasetoV4Public.as_str());
        let key = self.paseto_signer(minted).ok_or(missing)?;
        let mut message = Vec::with_capacity(512);
        claims::write_paseto(claims, &mut message);
        paseto::sign(
            key.half.pair()?,
            &message,
            key.footer.as_bytes(),
            &key.footer_base64,
            b"",
        )
    }

    /// Writes and signs a JWT.
    pub fn sign_jwt(&self, claims: &Claims, alg: SigningAlg) -> Result<String, MintError> {
        let minted = uuid_v7_ms(&claims.jti) as i64;
        let key = self.jwt_signer(alg, minted).ok_or(MintError::NoKey(alg.as_str()))?;
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
        if proof == Proof::Needed && !key.half.has_signed(&signed, key.footer.as_bytes(), b"") {
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
pub fn is_one_that_we_could_make(claims: &Claims) -> bool {
    let life = claims.exp.saturating_sub(claims.iat);
    (1..=MAX_TOKEN_LIFETIME).contains(&life)
        && claims.jti.get_version_num() == 7
        && (uuid_v7_ms(&claims.jti) / 1000) as i64 == claims.iat
}

/// Of keys in the order in which they sign, the one that signs at a moment: the newest whose moment has come. Where that cannot
/// be signed with, the one before it that can, until the grace is over.
fn signer<'a, K>(
    keys: impl DoubleEndedIterator<Item = &'a K>,
    turn: impl Fn(&K) -> Turn,
    at_ms: i64,
    grace_ms: i64,
) -> Option<&'a K> {
    let mut retired_at_ms = None;
    for key in keys.rev() {
        let Turn { from_ms, opens } = turn(key);
        if from_ms > at_ms {
            continue;
        }
        if opens {
            let kept = retired_at_ms.is_none_or(|retired| at_ms <= retired + grace_ms);
            return kept.then_some(key);
        }
        retired_at_ms = Some(from_ms);
    }
    None
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
