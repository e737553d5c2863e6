//! Offline verification: checks the signature of a decoded token with public keys, without a store and without private keys.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use oauth2_store::model::{KeyAlgorithm, StoredKey};
use pasetors::Public;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde_json::{Value, json};

use crate::tokens::decode::Decoded;
use crate::tokens::{BASE64URL, jwt, paseto};

/// Algorithms of JWTs that can be verified here: those of this server, and others of the issuers that it is compared with.
const VERIFIED: [(&str, &'static dyn VerificationAlgorithm); 11] = [
    ("EdDSA", &ED25519),
    ("Ed25519", &ED25519),
    ("ES256", &ECDSA_P256_SHA256_FIXED),
    ("ES384", &ECDSA_P384_SHA384_FIXED),
    ("ES512", &ECDSA_P521_SHA512_FIXED),
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &RSA_PKCS1_2048_8192_SHA512),
    ("PS256", &RSA_PSS_2048_8192_SHA256),
    ("PS384", &RSA_PSS_2048_8192_SHA384),
    ("PS512", &RSA_PSS_2048_8192_SHA512),
];

/// The result of a signature check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The signature was made with a known key.
    Valid,
    /// The signature was not made with the key that the token names.
    Invalid,
    /// The token names an unknown key.
    UnknownKey,
    /// Not checked: there are no keys.
    NotChecked,
    /// An opaque token has no signature; only the store can confirm it.
    NoSignature,
}

impl Verdict {
    fn from_valid(is_valid: bool) -> Self {
        if is_valid { Self::Valid } else { Self::Invalid }
    }
}

/// Public keys, and the shared secret of HS256, to verify tokens with.
#[derive(Default)]
pub struct PublicKeys {
    jwks: Vec<Value>,
    /// Key id and PASERK.
    paseto: Vec<(String, String)>,
    shared_secrets: Vec<Vec<u8>>,
}

impl PublicKeys {
    /// Adds the keys of a document that the server publishes, a JWK set or a PASETO key set, and returns their number. The error
    /// completes a sentence that begins with the source of the document.
    pub fn add_document(&mut self, document: &str) -> Result<usize, &'static str> {
        const INVALID: &str = "is not a key set; allowed: a JWK set or PASETO keys, {\"keys\": [ … ]}";
        let document: Value = serde_json::from_str(document).map_err(|_| INVALID)?;
        let keys = document["keys"].as_array().ok_or(INVALID)?;
        for key in keys {
            match (key["kid"].as_str(), key["paserk"].as_str()) {
                (Some(kid), Some(paserk)) => self.paseto.push((kid.to_owned(), paserk.to_owned())),
                _ => self.jwks.push(key.clone()),
            }
        }
        Ok(keys.len())
    }

    /// Adds the public keys of stored keys.
    pub fn add_stored(&mut self, keys: &[StoredKey]) {
        for key in keys {
            if key.algorithm == KeyAlgorithm::PasetoV4Public {
                let paserk = paseto::paserk(&key.public_key);
                self.paseto.extend(paserk.map(|paserk| (key.kid.clone(), paserk)));
            } else {
                let jwk = jwt::jwk(key.algorithm, &key.kid, &key.public_key);
                self.jwks.extend(jwk.map(|jwk| json!(jwk)));
            }
        }
    }

    /// Sets the shared secret of HS256.
    pub fn add_shared_secret(&mut self, secret: &[u8]) {
        self.shared_secrets.push(secret.to_vec());
    }

    /// Whether there is neither a key nor a shared secret.
    pub fn is_empty(&self) -> bool {
        self.jwks.is_empty() && self.paseto.is_empty() && self.shared_secrets.is_empty()
    }

    /// Checks the signature of a token. `decoded`: the same token, decoded.
    pub fn verify(&self, token: &str, decoded: &Decoded) -> Verdict {
        if decoded.format == "opaque" {
            return Verdict::NoSignature;
        }
        if self.is_empty() {
            return Verdict::NotChecked;
        }
        let kid = decoded.header["kid"].as_str();
        if decoded.format == "paseto" {
            let key = self.paseto.iter().find(|(known, _)| Some(known.as_str()) == kid);
            return key.map_or(Verdict::UnknownKey, |(_, paserk)| verify_paseto(token, paserk));
        }
        if decoded.header["alg"] == "HS256" {
            return self.verify_hmac(token);
        }
        let Some(jwk) = self.jwks.iter().find(|jwk| jwk["kid"].as_str() == kid && kid.is_some()) else {
            return Verdict::UnknownKey;
        };
        let alg_matches = decoded.header["alg"] == jwk["alg"] || jwk["alg"].is_null();
        verifies(jwk, token).map_or(Verdict::UnknownKey, |valid| Verdict::from_valid(alg_matches && valid))
    }

    fn verify_hmac(&self, token: &str) -> Verdict {
        let Some((signed, signature)) = signature_of(token) else {
            return Verdict::Invalid;
        };
        if self.shared_secrets.is_empty() {
            return Verdict::UnknownKey;
        }
        let verifies = |secret: &Vec<u8>| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
        };
        Verdict::from_valid(self.shared_secrets.iter().any(verifies))
    }
}

/// Whether signatures of an algorithm can be verified with the key of a JWK, by its type and curve.
pub fn can_verify(jwk: &Value, alg: &str) -> bool {
    // The only algorithm that has keys of several curves.
    let is_other_curve = alg == "EdDSA" && jwk["crv"].as_str().is_some_and(|curve| curve != "Ed25519");
    !is_other_curve && VERIFIED.iter().any(|(known, _)| *known == alg)
}

/// Whether the key of a JWK made the signature of a JWT. The algorithm is taken from the key, never from the token. `None` if the type of
/// the key is not supported, or a parameter is missing or malformed.
pub fn verifies(jwk: &Value, token: &str) -> Option<bool> {
    let (algorithm, key) = verification_key(jwk)?;
    let is_valid = |(signed, signature): (&str, Vec<u8>)| {
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(signed.as_bytes(), &signature).is_ok()
    };
    Some(signature_of(token).is_some_and(is_valid))
}

/// The signed part of a JWT, and its signature.
fn signature_of(token: &str) -> Option<(&str, Vec<u8>)> {
    let (signed, signature) = token.rsplit_once('.')?;
    Some((signed, BASE64URL.decode(signature).ok()?))
}

fn verify_paseto(token: &str, paserk: &str) -> Verdict {
    let Ok(key) = AsymmetricPublicKey::<V4>::try_from(paserk) else {
        return Verdict::UnknownKey;
    };
    let parsed = UntrustedToken::<Public, V4>::try_from(token);
    Verdict::from_valid(parsed.is_ok_and(|parsed| PublicToken::verify(&key, &parsed, None, None).is_ok()))
}

/// The algorithm and the encoded public key of a JWK. `None` if its type is not supported, or a parameter is missing or malformed.
fn verification_key(jwk: &Value) -> Option<(&'static dyn VerificationAlgorithm, Vec<u8>)> {
    let parameter = |name: &str| BASE64URL.decode(jwk[name].as_str()?).ok();
    let (kty, curve, alg) = (jwk["kty"].as_str()?, jwk["crv"].as_str(), jwk["alg"].as_str());
    let (usual, encoded) = match kty {
        "OKP" => ("Ed25519", parameter("x")?),
        "EC" => {
            let usual = match curve {
                Some("P-384") => "ES384",
                Some("P-521") => "ES512",
                _ => "ES256",
            };
            (usual, [vec![4], parameter("x")?, parameter("y")?].concat())
        }
        "RSA" => ("RS256", rsa_der(&parameter("n")?, &parameter("e")?)),
        _ => return None,
    };
    let alg = alg.unwrap_or(usual);
    let is_of_type = match kty {
        "RSA" => alg.starts_with("RS") || alg.starts_with("PS"),
        "EC" => alg == usual,
        _ => alg.starts_with("Ed"),
    };
    let named = |(known, algorithm): &(&str, &'static dyn VerificationAlgorithm)| {
        (*known == alg && is_of_type).then_some(*algorithm)
    };
    Some((VERIFIED.iter().find_map(named)?, encoded))
}

/// Encodes an `RSAPublicKey` in DER (RFC 8017 appendix A.1.1).
pub(super) fn rsa_der(n: &[u8], e: &[u8]) -> Vec<u8> {
    let length = |length: usize| match length {
        0..0x80 => vec![length as u8],
        0x80..0x100 => vec![0x81, length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    };
    let integer = |number: &[u8]| {
        let zero: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) {
            &[0]
        } else {
            &[]
        };
        [&[2][..], &length(number.len() + zero.len()), zero, number].concat()
    };
    let content = [integer(n), integer(e)].concat();
    [&[0x30][..], &length(content.len()), &content].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oauth2_store::model::{SigningAlg, TokenTyp};

    use super::*;
    use crate::keys::generate::{KeyTimes, generate};
    use crate::keys::keyring::Keyring;
    use crate::keys::wrapping::KeyWrapper;
    use crate::tokens::claims::tests::sample;
    use crate::tokens::decode::decode;

    const SECRET: &[u8] = b"a secret that is shared with verifiers";

    const WRAPPER: KeyWrapper = KeyWrapper {
        current: [1; 32],
        previous: None,
    };

    fn new_key(algorithm: KeyAlgorithm) -> StoredKey {
        let times = KeyTimes {
            now_ms: 1,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        generate(algorithm, &WRAPPER, times).unwrap()
    }

    /// A key per algorithm, and a keyring with these keys and [`SECRET`].
    fn keyring() -> (Vec<StoredKey>, Keyring) {
        let stored: Vec<_> = KeyAlgorithm::ALL.iter().copied().map(new_key).collect();
        let ring = Keyring::open(&sample().iss, &WRAPPER, &stored, Some(SECRET)).unwrap();
        (stored, ring)
    }

    /// A token per algorithm.
    fn tokens(ring: &Keyring) -> Vec<String> {
        let jwts = SigningAlg::ALL
            .iter()
            .map(|alg| ring.sign_jwt(&sample(), *alg, TokenTyp::AtJwt).unwrap());
        jwts.chain([ring.sign_paseto(&sample()).unwrap()]).collect()
    }

    /// The token with one changed character, in the signature of a JWT or in the body of a PASETO.
    fn tampered(token: &str, format: &str) -> String {
        let index = if format == "jwt" { token.len() - 9 } else { 40 };
        let other = if &token[index..=index] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..index], &token[index + 1..])
    }

    #[test]
    fn published_and_stored_keys_verify_every_algorithm_and_no_tampered_token() {
        let (stored, ring) = keyring();
        let (mut published, mut from_store) = (PublicKeys::default(), PublicKeys::default());
        assert_eq!(published.add_document(&json!(ring.jwks()).to_string()), Ok(5));
        assert_eq!(published.add_document(&json!(ring.paseto_keys()).to_string()), Ok(1));
        from_store.add_stored(&stored);
        for keys in [&mut published, &mut from_store] {
            keys.add_shared_secret(SECRET);
            for token in tokens(&ring) {
                let decoded = decode(&token).unwrap();
                assert_eq!(decoded.claims["client_id"], *sample().client_id);
                assert_eq!(keys.verify(&token, &decoded), Verdict::Valid, "{}", decoded.header);
                let tampered = tampered(&token, decoded.format);
                if let Some(decoded) = decode(&tampered) {
                    assert_eq!(keys.verify(&tampered, &decoded), Verdict::Invalid, "{}", decoded.header);
                }
            }
        }
    }

    #[test]
    fn tokens_of_other_keys_are_not_valid() {
        let (_, ring) = keyring();
        let mut other_key = PublicKeys::default();
        other_key.add_stored(&[new_key(KeyAlgorithm::EdDsa)]);
        let mut other_secret = PublicKeys::default();
        other_secret.add_shared_secret(b"another secret that an attacker guesses");
        for token in tokens(&ring) {
            let decoded = decode(&token).unwrap();
            assert_eq!(PublicKeys::default().verify(&token, &decoded), Verdict::NotChecked);
            assert_eq!(other_key.verify(&token, &decoded), Verdict::UnknownKey);
            let expected = if decoded.header["alg"] == "HS256" {
                Verdict::Invalid
            } else {
                Verdict::UnknownKey
            };
            assert_eq!(other_secret.verify(&token, &decoded), expected, "{}", decoded.header);
        }
    }

    #[test]
    fn malformed_key_set_is_rejected() {
        for document in ["", "[]", "{}", r#"{"keys": 1}"#] {
            assert!(PublicKeys::default().add_document(document).is_err(), "{document}");
        }
    }
}
