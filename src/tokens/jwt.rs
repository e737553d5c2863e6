//! JWT access tokens after RFC 9068: `typ` is `at+jwt`, signed with `EdDSA` (RFC 8037), `ES256`, `RS256` or `PS256`, or with the
//! code `HS256` (RFC 7518).
//!
//! A key signs with one algorithm and writes one header, byte for byte. A token is verified by the key whose header it
//! carries: its `alg` is never read, so it cannot be confused.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, PublicKey as RsaPublicKey};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaEncoding};
use base64::Engine;
use oauth2_actors::model::{KeyAlgorithm, SigningAlg};
use serde_json::json;

use super::{BASE64URL, MintError};

/// A JWT key, as it signs and verifies.
#[derive(Debug)]
pub enum Signer {
    /// Ed25519.
    EdDsa(Ed25519KeyPair),
    /// ECDSA, P-256 and SHA-256, with the public half.
    Es256(Box<(EcdsaKeyPair, ParsedPublicKey)>),
    /// RSA with either padding, with the public half.
    Rsa(Box<(rsa::KeyPair, ParsedPublicKey)>, &'static dyn RsaEncoding),
    /// HMAC: whoever verifies can sign, too.
    Hs256(Box<hmac::Key>),
    /// The public half of a key whose private one is not known: it verifies only.
    Public(Box<ParsedPublicKey>),
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        let signature = match self {
            Self::EdDsa(key) => key.try_sign(message).map(|s| s.as_ref().to_vec()),
            Self::Es256(key) => key.0.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec()),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.0.public_modulus_len()];
                key.0
                    .sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map(|()| signature)
            }
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Public(_) => return Err(MintError::Crypto),
        };
        signature.map_err(|_| MintError::Crypto)
    }

    /// Whether this key made the token's signature. Ed25519 makes the same again, as in [`super::paseto::Signed::is_by`];
    /// the others are checked with the public key.
    pub fn has_signed(&self, token: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else {
            return false;
        };
        let Ok(signature) = BASE64URL.decode(signature) else {
            return false;
        };
        match self {
            Self::EdDsa(key) => key
                .try_sign(signed.as_bytes())
                .is_ok_and(|ours| verify_slices_are_equal(ours.as_ref(), &signature).is_ok()),
            Self::Es256(key) => key.1.verify_sig(signed.as_bytes(), &signature).is_ok(),
            Self::Rsa(key, _) => key.1.verify_sig(signed.as_bytes(), &signature).is_ok(),
            Self::Hs256(key) => hmac::verify(key, signed.as_bytes(), &signature).is_ok(),
            Self::Public(key) => key.verify_sig(signed.as_bytes(), &signature).is_ok(),
        }
    }
}

/// Writes a token: the header (in base64url already), the claims, and the signature over both.
pub fn sign(signer: &Signer, header_base64: &str, claims: &[u8]) -> Result<String, MintError> {
    let mut token = String::with_capacity(header_base64.len() + claims.len().div_ceil(3) * 4 + 88);
    token.push_str(header_base64);
    token.push('.');
    BASE64URL.encode_string(claims, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    Ok(token)
}

/// The header of a token as it stands there, in base64url. `None` when the token has not three parts.
pub fn header(token: &str) -> Option<&str> {
    let (header, rest) = token.split_once('.')?;
    let (_, signature) = rest.split_once('.')?;
    (!signature.contains('.')).then_some(header)
}

/// The claims of a token as JSON, whoever signed it.
pub fn payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    BASE64URL.decode(parts.nth(1)?).ok()
}

/// The protected header of a key's tokens, in base64url.
pub fn header_base64(algorithm: SigningAlg, kid: &str) -> String {
    BASE64URL.encode(format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"{kid}"}}"#))
}

/// The public key as a JWK (RFC 7517, RFC 8037) without `kid`, `alg` and `use`; `None` for a key that is not for JWT.
fn bare_jwk(algorithm: KeyAlgorithm, public_key: &[u8]) -> Option<serde_json::Value> {
    match algorithm {
        KeyAlgorithm::EdDsa => Some(json!({"crv": "Ed25519", "kty": "OKP", "x": BASE64URL.encode(public_key)})),
        KeyAlgorithm::Es256 if public_key.len() == 65 => Some(json!({
            "crv": "P-256",
            "kty": "EC",
            "x": BASE64URL.encode(&public_key[1..33]),
            "y": BASE64URL.encode(&public_key[33..]),
        })),
        KeyAlgorithm::Rs256 | KeyAlgorithm::Ps256 => {
            let key = RsaPublicKey::from_der(public_key).ok()?;
            Some(json!({
                "e": BASE64URL.encode(key.exponent().big_endian_without_leading_zero()),
                "kty": "RSA",
                "n": BASE64URL.encode(key.modulus().big_endian_without_leading_zero()),
            }))
        }
        _ => None,
    }
}

/// The public key as it is published in the JWK set.
pub fn jwk(algorithm: KeyAlgorithm, kid: &str, public_key: &[u8]) -> Option<serde_json::Value> {
    let mut jwk = bare_jwk(algorithm, public_key)?;
    jwk["kid"] = kid.into();
    jwk["alg"] = algorithm.as_str().into();
    jwk["use"] = "sig".into();
    Some(jwk)
}

/// The JWK thumbprint (RFC 7638): SHA-256 of the required members in alphabetical order, which is how they are printed.
pub fn thumbprint(algorithm: KeyAlgorithm, public_key: &[u8]) -> Option<String> {
    let jwk = bare_jwk(algorithm, public_key)?;
    Some(BASE64URL.encode(digest(&SHA256, jwk.to_string().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        let x = BASE64URL.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let kid = thumbprint(KeyAlgorithm::EdDsa, &x).unwrap();
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_token_has_three_parts() {
        assert_eq!(header("a.b.c"), Some("a"));
        for bad in ["", "a", "a.b", "a.b.c.d", "....."] {
            assert_eq!(header(bad), None, "{bad}");
        }
    }
}
