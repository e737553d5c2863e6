//! JWT access tokens (RFC 9068): signed with `EdDSA` (RFC 8037), `Ed25519` (RFC 9864), `ES256`, `RS256` or `PS256`, or authenticated with `HS256`
//! (RFC 7518).
//!
//! A key signs with one algorithm and has one fixed header per token type ([`TokenTyp`]). The key that verifies a token is found by
//! comparing the whole header: `alg` is never parsed, so algorithms cannot be confused.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, PublicKey as RsaPublicKey};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaEncoding};
use base64::Engine;
use oauth2_store::model::{KeyAlgorithm, SigningAlg, TokenTyp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{BASE64URL, SignError};

/// A JWT key: signs and verifies, or only verifies ([`Self::Public`]).
#[derive(Debug)]
pub enum Signer {
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// ECDSA on P-256 with SHA-256, and the public key.
    Es256(Box<(EcdsaKeyPair, ParsedPublicKey)>),
    /// RSA with either padding, and the public key.
    Rsa(Box<(rsa::KeyPair, ParsedPublicKey)>, &'static dyn RsaEncoding),
    /// HMAC with SHA-256: every verifier can also sign.
    Hs256(Box<hmac::Key>),
    /// A public key whose private key this node cannot unwrap: verifies only.
    Public(Box<ParsedPublicKey>),
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match self {
            Self::Ed25519(key) => key.try_sign(message).map(|s| s.as_ref().to_vec()),
            Self::Es256(key) => key.0.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec()),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.0.public_modulus_len()];
                key.0
                    .sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map(|()| signature)
            }
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Public(_) => return Err(SignError::Crypto),
        };
        signature.map_err(|_| SignError::Crypto)
    }

    /// Whether the token's signature was made with this key. Ed25519 signs again and compares, see
    /// [`SignedBody::is_signed_by`](super::paseto::SignedBody::is_signed_by).
    pub fn verify(&self, token: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else {
            return false;
        };
        let Ok(signature) = BASE64URL.decode(signature) else {
            return false;
        };
        match self {
            Self::Ed25519(key) => key
                .try_sign(signed.as_bytes())
                .is_ok_and(|expected| verify_slices_are_equal(expected.as_ref(), &signature).is_ok()),
            Self::Es256(key) => key.1.verify_sig(signed.as_bytes(), &signature).is_ok(),
            Self::Rsa(key, _) => key.1.verify_sig(signed.as_bytes(), &signature).is_ok(),
            Self::Hs256(key) => hmac::verify(key, signed.as_bytes(), &signature).is_ok(),
            Self::Public(key) => key.verify_sig(signed.as_bytes(), &signature).is_ok(),
        }
    }
}

/// Signs a token. `header_base64`: the header, already in base64url; `claims`: JSON.
pub fn sign(signer: &Signer, header_base64: &str, claims: &[u8]) -> Result<String, SignError> {
    let mut token = String::with_capacity(header_base64.len() + claims.len().div_ceil(3) * 4 + 88);
    token.push_str(header_base64);
    token.push('.');
    BASE64URL.encode_string(claims, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    Ok(token)
}

/// The header of a token, still in base64url. `None` unless the token has three parts.
pub fn header(token: &str) -> Option<&str> {
    let (header, rest) = token.split_once('.')?;
    let (_, signature) = rest.split_once('.')?;
    (!signature.contains('.')).then_some(header)
}

/// The claims of a token as JSON; the signature is not verified.
pub fn payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    BASE64URL.decode(parts.nth(1)?).ok()
}

/// The header of all tokens of one type that a key signs, in base64url.
pub fn header_base64(algorithm: SigningAlg, typ: TokenTyp, kid: &str) -> String {
    // An imported key id may need escapes.
    let kid = serde_json::Value::from(kid);
    BASE64URL.encode(format!(r#"{{"alg":"{algorithm}","typ":"{typ}","kid":{kid}}}"#))
}

/// A public key as published in the JWK set (RFC 7517, RFC 7518 section 6, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Jwk {
    /// Key id.
    pub kid: String,
    /// Algorithm that the key signs with.
    pub alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub key_use: &'static str,
    /// Key type and parameters.
    #[serde(flatten)]
    pub parameters: JwkParameters,
}

/// The key type and its required parameters. The members are in alphabetical order, as RFC 7638 hashes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum JwkParameters {
    /// P-256.
    Ec {
        /// Always `P-256`.
        crv: &'static str,
        /// Always `EC`.
        #[schema(pattern = "^EC$")]
        kty: &'static str,
        /// X coordinate, base64url.
        x: String,
        /// Y coordinate, base64url.
        y: String,
    },
    /// Ed25519.
    Okp {
        /// Always `Ed25519`.
        crv: &'static str,
        /// Always `OKP`.
        #[schema(pattern = "^OKP$")]
        kty: &'static str,
        /// The point, base64url.
        x: String,
    },
    /// RSA.
    Rsa {
        /// Exponent, base64url.
        e: String,
        /// Always `RSA`.
        #[schema(pattern = "^RSA$")]
        kty: &'static str,
        /// Modulus, base64url.
        n: String,
    },
}

impl JwkParameters {
    /// Converts a stored public key. `None` for a PASETO key, or if the bytes are not a key of the algorithm.
    fn from_public_key(algorithm: KeyAlgorithm, public_key: &[u8]) -> Option<Self> {
        let encode = |bytes: &[u8]| BASE64URL.encode(bytes);
        match algorithm {
            KeyAlgorithm::PasetoV4Public => None,
            KeyAlgorithm::EdDsa | KeyAlgorithm::Ed25519 => Some(Self::Okp {
                crv: "Ed25519",
                kty: "OKP",
                x: encode(public_key),
            }),
            KeyAlgorithm::Es256 => {
                let (x, y) = public_key.get(1..).filter(|point| point.len() == 64)?.split_at(32);
                Some(Self::Ec {
                    crv: "P-256",
                    kty: "EC",
                    x: encode(x),
                    y: encode(y),
                })
            }
            KeyAlgorithm::Rs256 | KeyAlgorithm::Ps256 => {
                let key = RsaPublicKey::from_der(public_key).ok()?;
                Some(Self::Rsa {
                    e: encode(key.exponent().big_endian_without_leading_zero()),
                    kty: "RSA",
                    n: encode(key.modulus().big_endian_without_leading_zero()),
                })
            }
        }
    }
}

/// The JWK of a stored public key. `None` for a PASETO key, or if the bytes are not a key of the algorithm.
pub fn jwk(algorithm: KeyAlgorithm, kid: &str, public_key: &[u8]) -> Option<Jwk> {
    Some(Jwk {
        kid: kid.to_owned(),
        alg: algorithm.as_str(),
        key_use: "sig",
        parameters: JwkParameters::from_public_key(algorithm, public_key)?,
    })
}

/// The JWK thumbprint (RFC 7638): SHA-256 of the required members in alphabetical order, base64url. `None` as for [`jwk`].
pub fn thumbprint(algorithm: KeyAlgorithm, public_key: &[u8]) -> Option<String> {
    let json = serde_json::to_vec(&JwkParameters::from_public_key(algorithm, public_key)?).ok()?;
    Some(BASE64URL.encode(digest(&SHA256, &json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_matches_rfc_8037() {
        let x = BASE64URL.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let kid = thumbprint(KeyAlgorithm::EdDsa, &x).unwrap();
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn header_requires_three_parts() {
        assert_eq!(header("a.b.c"), Some("a"));
        for bad in ["", "a", "a.b", "a.b.c.d", "....."] {
            assert_eq!(header(bad), None, "{bad}");
        }
    }
}
