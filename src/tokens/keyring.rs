//! The signing keys, opened: which key signs, which key verifies, and the documents that publish them.
//!
//! The newest key of an algorithm signs; every key verifies. A keyring is immutable: a change of keys is a new keyring.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyUncompressedBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey,
};
use base64::Engine;
use oauth2_actors::model::{KeyAlgorithm, SigningAlg, StoredKey};
use pasetors::keys::AsymmetricPublicKey;
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use serde_json::json;

use super::claims::{self, Claims};
use super::sealing::{self, SealingError};
use super::{BASE64URL, MintError, jwt, paseto};

/// A token whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it claims. Expiry is not checked yet.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: Arc<str>,
}

#[derive(Debug)]
struct PasetoKey {
    kid: Arc<str>,
    pair: Ed25519KeyPair,
    footer: String,
    footer_base64: String,
    paserk: String,
}

#[derive(Debug)]
struct JwtKey {
    kid: Arc<str>,
    algorithm: KeyAlgorithm,
    signer: jwt::Signer,
    header_base64: String,
    jwk: serde_json::Value,
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
    /// Opens all stored keys, oldest first, with the key-encryption key.
    pub fn open(issuer: &str, kek: &[u8; 32], stored: &[StoredKey]) -> Result<Self, KeyError> {
        let mut ring = Self {
            issuer: issuer.into(),
            ..Self::default()
        };
        for key in stored {
            let private = sealing::open(kek, &key.kid, key.algorithm, &key.sealed_private_key)?;
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
                pair: Ed25519KeyPair::from_seed_and_public_key(private, &key.public_key).ok()?,
                footer,
                footer_base64,
                paserk: paserk(&key.public_key)?,
            });
            return Some(());
        }
        let (signer, alg) = if key.algorithm == KeyAlgorithm::EdDsa {
            let pair = Ed25519KeyPair::from_seed_and_public_key(private, &key.public_key).ok()?;
            (jwt::Signer::EdDsa(pair), SigningAlg::EdDsa)
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
            if pair.public_key().as_ref() != key.public_key {
                return None;
            }
            let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.public_key).ok()?;
            (jwt::Signer::Es256(pair, public), SigningAlg::Es256)
        };
        let header_base64 = jwt::header_base64(alg, &key.kid);
        self.by_jwt_header.insert(header_base64.clone(), self.jwt.len());
        self.jwt.push(JwtKey {
            kid: key.kid.as_str().into(),
            algorithm: key.algorithm,
            signer,
            header_base64,
            jwk: jwt::jwk(key.algorithm, &key.kid, &key.public_key)?,
        });
        Some(())
    }

    /// Whether there is a key to sign each kind of token with.
    pub fn is_complete(&self) -> bool {
        let has = |algorithm| self.jwt.iter().any(|key| key.algorithm == algorithm);
        !self.paseto.is_empty() && has(KeyAlgorithm::EdDsa) && has(KeyAlgorithm::Es256)
    }

    /// Writes and signs a PASETO.
    pub fn sign_paseto(&self, claims: &Claims) -> Result<String, MintError> {
        let key = self
            .paseto
            .last()
            .ok_or(MintError::NoKey(KeyAlgorithm::PasetoV4Public))?;
        let mut message = Vec::with_capacity(512);
        claims::write_paseto(claims, &mut message);
        paseto::sign(&key.pair, &message, key.footer.as_bytes(), &key.footer_base64, b"")
    }

    /// Writes and signs a JWT.
    pub fn sign_jwt(&self, claims: &Claims, alg: SigningAlg) -> Result<String, MintError> {
        let wanted = match alg {
            SigningAlg::EdDsa => KeyAlgorithm::EdDsa,
            SigningAlg::Es256 => KeyAlgorithm::Es256,
        };
        let key = self
            .jwt
            .iter()
            .rev()
            .find(|key| key.algorithm == wanted)
            .ok_or(MintError::NoKey(wanted))?;
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
        })
    }

    fn read_jwt(&self, token: &str, proof: Proof) -> Option<Verified> {
        let key = &self.jwt[*self.by_jwt_header.get(jwt::header(token)?)?];
        if proof == Proof::Needed && !key.signer.has_signed(token) {
            return None;
        }
        Some(Verified {
            claims: claims::parse_jwt(&jwt::payload(token)?)?,
            kid: Arc::clone(&key.kid),
        })
    }

    /// The JWK set (RFC 7517 section 5), newest key first.
    pub fn jwks(&self) -> serde_json::Value {
        json!({"keys": self.jwt.iter().rev().map(|key| &key.jwk).collect::<Vec<_>>()})
    }

    /// The PASETO public keys as PASERK, newest first.
    pub fn paseto_keys(&self) -> serde_json::Value {
        let keys = self.paseto.iter().rev();
        json!({"keys": keys.map(|key| json!({"kid": &*key.kid, "paserk": key.paserk})).collect::<Vec<_>>()})
    }
}

/// The PASERK id of an Ed25519 public key: `k4.pid.…`.
pub fn paseto_kid(public_key: &[u8]) -> Option<String> {
    let key = AsymmetricPublicKey::<V4>::from(public_key).ok()?;
    let mut kid = String::new();
    Id::from(&key).fmt(&mut kid).ok()?;
    Some(kid)
}

fn paserk(public_key: &[u8]) -> Option<String> {
    let key = AsymmetricPublicKey::<V4>::from(public_key).ok()?;
    let mut text = String::new();
    key.fmt(&mut text).ok()?;
    Some(text)
}

/// The footer of a key's tokens, byte for byte.
pub fn paseto_footer(kid: &str) -> String {
    format!(r#"{{"kid":"{kid}"}}"#)
}

/// Makes a key and seals its private half.
pub fn generate(algorithm: KeyAlgorithm, kek: &[u8; 32], now: i64) -> Result<StoredKey, KeyError> {
    let (public_key, private) = generate_pair(algorithm).ok_or(KeyError::Generate)?;
    let kid = match algorithm {
        KeyAlgorithm::PasetoV4Public => paseto_kid(&public_key),
        _ => jwt::thumbprint(algorithm, &public_key),
    };
    let kid = kid.ok_or(KeyError::Generate)?;
    let sealed_private_key = sealing::seal(kek, &kid, algorithm, &private)?;
    Ok(StoredKey {
        kid,
        algorithm,
        public_key,
        sealed_private_key,
        created_at: now,
    })
}

fn generate_pair(algorithm: KeyAlgorithm) -> Option<(Vec<u8>, Vec<u8>)> {
    if algorithm == KeyAlgorithm::Es256 {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
        let public: EcPublicKeyUncompressedBin<'_> = pair.public_key().as_be_bytes().ok()?;
        return Some((public.as_ref().to_vec(), pair.to_pkcs8v1().ok()?.as_ref().to_vec()));
    }
    let pair = Ed25519KeyPair::generate().ok()?;
    let seed = pair.seed().ok()?.as_be_bytes().ok()?.as_ref().to_vec();
    Some((pair.public_key().as_ref().to_vec(), seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::claims::tests::sample;

    fn ring(kek: &[u8; 32]) -> Keyring {
        let stored: Vec<_> = KeyAlgorithm::ALL
            .iter()
            .map(|a| generate(*a, kek, 1).unwrap())
            .collect();
        Keyring::open(&sample().iss, kek, &stored).unwrap()
    }

    #[test]
    fn every_kind_verifies_and_no_flipped_bit_does() {
        let ring = ring(&[9; 32]);
        assert!(ring.is_complete());
        let tokens = [
            ring.sign_paseto(&sample()).unwrap(),
            ring.sign_jwt(&sample(), SigningAlg::EdDsa).unwrap(),
            ring.sign_jwt(&sample(), SigningAlg::Es256).unwrap(),
        ];
        for token in tokens {
            assert_eq!(ring.verify(&token).unwrap().claims, sample());
            for bit in 0..token.len() * 8 {
                let mut bytes = token.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(text) = String::from_utf8(bytes) {
                    assert_eq!(ring.verify(&text), None, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn another_issuers_keys_and_another_issuers_name_are_refused() {
        let (ours, theirs) = (ring(&[1; 32]), ring(&[1; 32]));
        let token = theirs.sign_paseto(&sample()).unwrap();
        assert_eq!(ours.verify(&token), None);
        let mut claims = sample();
        claims.iss = "https://other.example".into();
        let token = ours.sign_paseto(&claims).unwrap();
        assert_eq!(ours.verify(&token), None);
    }

    /// A key that signs something else one day must not thereby have signed an access token.
    #[test]
    fn a_jwt_under_another_header_is_refused_though_our_key_signed_it() {
        let ring = ring(&[9; 32]);
        let mut payload = Vec::new();
        claims::write_jwt(&sample(), &mut payload);
        for key in &ring.jwt {
            let (alg, kid) = (key.algorithm.as_str(), &*key.kid);
            let signed = |header: String| jwt::sign(&key.signer, &BASE64URL.encode(header), &payload).unwrap();
            let ours = signed(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#));
            assert_eq!(ring.verify(&ours).unwrap().claims, sample());
            for header in [
                format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#),
                format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#),
                format!(r#"{{"alg":"{alg}","typ":"at+jwt"}}"#),
                format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
                format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}","crit":["b64"],"b64":false}}"#),
            ] {
                assert_eq!(ring.verify(&signed(header.clone())), None, "{header}");
            }
        }
    }
}
