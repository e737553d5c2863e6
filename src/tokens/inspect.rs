//! A token looked at by whoever holds it: decoded, and verified by published keys alone, without a store and without secrets.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine;
use oauth2_actors::model::{KeyAlgorithm, StoredKey};
use pasetors::Public;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde_json::{Value, json};

use super::{BASE64URL, MAX_TOKEN_BYTES, jwt, keyring, opaque, paseto};

/// What a token says, whoever made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// `paseto`, `jwt` or `opaque`.
    pub format: &'static str,
    /// A JWT's header, a PASETO's footer; of an opaque token nothing.
    pub header: Value,
    /// The claims; of an opaque token its id and expiry.
    pub claims: Value,
}

/// What is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A key at hand made it.
    Valid,
    /// The key that the token names did not make it.
    Bad,
    /// The token names a key that is not at hand.
    UnknownKey,
    /// No keys are at hand.
    NotChecked,
    /// An opaque token has none: only the server knows.
    None,
}

/// Reads a token; `None` when it is none.
pub fn decode(token: &str) -> Option<Decoded> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    if let Some(reference) = opaque::parse(token) {
        return Some(Decoded {
            format: "opaque",
            header: Value::Null,
            claims: json!({"jti": reference.jti, "exp": reference.expires_at}),
        });
    }
    let object = |bytes: &[u8]| serde_json::from_slice(bytes).ok().filter(Value::is_object);
    if let Some(rest) = token.strip_prefix(paseto::HEADER) {
        let (body, footer) = rest.split_once('.').unwrap_or((rest, ""));
        let body = BASE64URL.decode(body).ok()?;
        let footer = BASE64URL.decode(footer).ok()?;
        return Some(Decoded {
            format: "paseto",
            header: serde_json::from_slice(&footer).unwrap_or(Value::Null),
            claims: object(body.get(..body.len().checked_sub(64)?)?)?,
        });
    }
    let header = BASE64URL.decode(jwt::header(token)?).ok()?;
    Some(Decoded {
        format: "jwt",
        header: object(&header)?,
        claims: object(&jwt::payload(token)?)?,
    })
}

/// Keys to verify with.
#[derive(Default)]
pub struct PublicKeys {
    jwks: Vec<Value>,
    paseto: Vec<(String, String)>,
    shared: Option<Vec<u8>>,
}

impl PublicKeys {
    /// Adds the keys of a document as the server publishes it: a JWK set or the PASETO keys. Answers how many.
    pub fn add(&mut self, document: &str) -> Result<usize, &'static str> {
        const NEITHER: &str = "holds neither a JWK set nor PASETO keys: {\"keys\": [ … ]}";
        let document: Value = serde_json::from_str(document).map_err(|_| NEITHER)?;
        let keys = document["keys"].as_array().ok_or(NEITHER)?;
        for key in keys {
            match (key["kid"].as_str(), key["paserk"].as_str()) {
                (Some(kid), Some(paserk)) => self.paseto.push((kid.to_owned(), paserk.to_owned())),
                _ => self.jwks.push(key.clone()),
            }
        }
        Ok(keys.len())
    }

    /// Adds the public halves of stored keys.
    pub fn add_stored(&mut self, keys: &[StoredKey]) {
        for key in keys {
            if key.algorithm == KeyAlgorithm::PasetoV4Public {
                let paserk = keyring::paserk(&key.public_key);
                self.paseto.extend(paserk.map(|paserk| (key.kid.clone(), paserk)));
            } else {
                self.jwks.extend(jwt::jwk(key.algorithm, &key.kid, &key.public_key));
            }
        }
    }

    /// Adds the secret of HS256.
    pub fn share(&mut self, secret: &[u8]) {
        self.shared = Some(secret.to_vec());
    }

    /// Whether there is nothing to verify with.
    pub fn is_empty(&self) -> bool {
        self.jwks.is_empty() && self.paseto.is_empty() && self.shared.is_none()
    }

    /// Looks at the signature of a token that was decoded.
    pub fn verify(&self, token: &str, decoded: &Decoded) -> Verdict {
        if decoded.format == "opaque" {
            return Verdict::None;
        }
        if self.is_empty() {
            return Verdict::NotChecked;
        }
        let kid = decoded.header["kid"].as_str();
        if decoded.format == "paseto" {
            let named = self.paseto.iter().find(|(known, _)| Some(known.as_str()) == kid);
            return named.map_or(Verdict::UnknownKey, |(_, paserk)| is_by(token, paserk));
        }
        let Some((signed, signature)) = token.rsplit_once('.') else {
            return Verdict::Bad;
        };
        let Ok(signature) = BASE64URL.decode(signature) else {
            return Verdict::Bad;
        };
        if decoded.header["alg"] == "HS256" {
            let Some(secret) = &self.shared else {
                return Verdict::UnknownKey;
            };
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            return verdict(hmac::verify(&key, signed.as_bytes(), &signature).is_ok());
        }
        let Some(jwk) = self.jwks.iter().find(|jwk| jwk["kid"].as_str() == kid && kid.is_some()) else {
            return Verdict::UnknownKey;
        };
        // The algorithm is the key's, never the token's.
        let Some((algorithm, key)) = key_of(jwk) else {
            return Verdict::UnknownKey;
        };
        let same = decoded.header["alg"] == jwk["alg"] || jwk["alg"].is_null();
        verdict(
            same && UnparsedPublicKey::new(algorithm, key)
                .verify(signed.as_bytes(), &signature)
                .is_ok(),
        )
    }
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Valid } else { Verdict::Bad }
}

fn is_by(token: &str, paserk: &str) -> Verdict {
    let Ok(key) = AsymmetricPublicKey::<V4>::try_from(paserk) else {
        return Verdict::UnknownKey;
    };
    let parsed = UntrustedToken::<Public, V4>::try_from(token);
    verdict(parsed.is_ok_and(|parsed| PublicToken::verify(&key, &parsed, None, None).is_ok()))
}

fn key_of(jwk: &Value) -> Option<(&'static dyn VerificationAlgorithm, Vec<u8>)> {
    let member = |name: &str| BASE64URL.decode(jwk[name].as_str()?).ok();
    Some(match (jwk["kty"].as_str()?, jwk["alg"].as_str()) {
        ("OKP", _) => (&ED25519, member("x")?),
        ("EC", _) => (&ECDSA_P256_SHA256_FIXED, [vec![4], member("x")?, member("y")?].concat()),
        ("RSA", Some("PS256")) => (&RSA_PSS_2048_8192_SHA256, rsa_der(&member("n")?, &member("e")?)),
        ("RSA", _) => (&RSA_PKCS1_2048_8192_SHA256, rsa_der(&member("n")?, &member("e")?)),
        _ => return None,
    })
}

/// `RSAPublicKey` in DER (RFC 8017 appendix A.1.1).
fn rsa_der(n: &[u8], e: &[u8]) -> Vec<u8> {
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
    let both = [integer(n), integer(e)].concat();
    [&[0x30][..], &length(both.len()), &both].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oauth2_actors::model::SigningAlg;

    use super::*;
    use crate::tokens::claims::tests::sample;
    use crate::tokens::generate::{Times, generate};
    use crate::tokens::keyring::Keyring;
    use crate::tokens::sealing::Seals;

    #[test]
    fn published_keys_verify_every_kind_and_no_altered_token() {
        let seals = Seals {
            current: [1; 32],
            previous: None,
        };
        let times = Times {
            now_ms: 1,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        let stored: Vec<_> = KeyAlgorithm::ALL
            .iter()
            .map(|a| generate(*a, &seals, times).unwrap())
            .collect();
        let secret = b"a secret that is shared with verifiers";
        let ring = Keyring::open(&sample().iss, &seals, &stored, Some(secret)).unwrap();
        let (mut by_documents, mut by_store) = (PublicKeys::default(), PublicKeys::default());
        assert_eq!(by_documents.add(&ring.jwks().to_string()), Ok(4));
        assert_eq!(by_documents.add(&ring.paseto_keys().to_string()), Ok(1));
        by_store.add_stored(&stored);
        let mut tokens: Vec<_> = SigningAlg::ALL
            .iter()
            .map(|alg| ring.sign_jwt(&sample(), *alg).unwrap())
            .collect();
        tokens.push(ring.sign_paseto(&sample()).unwrap());
        for keys in [&mut by_documents, &mut by_store] {
            keys.share(secret);
            for token in &tokens {
                let decoded = decode(token).unwrap();
                assert_eq!(decoded.claims["client_id"], *sample().client_id);
                assert_eq!(keys.verify(token, &decoded), Verdict::Valid, "{}", decoded.header);
                assert_eq!(PublicKeys::default().verify(token, &decoded), Verdict::NotChecked);
                let at = if decoded.format == "jwt" { token.len() - 9 } else { 40 };
                let mut altered = token.clone().into_bytes();
                altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
                let altered = String::from_utf8(altered).unwrap();
                if let Some(decoded) = decode(&altered) {
                    assert_eq!(keys.verify(&altered, &decoded), Verdict::Bad, "{}", decoded.header);
                }
            }
        }
        // The shared secret is a key like the others, also where it is the only one.
        let mut shared = PublicKeys::default();
        shared.share(b"another secret, of somebody who guesses");
        for token in &tokens {
            let decoded = decode(token).unwrap();
            let expected = if decoded.header["alg"] == "HS256" {
                Verdict::Bad
            } else {
                Verdict::UnknownKey
            };
            assert_eq!(shared.verify(token, &decoded), expected, "{}", decoded.header);
        }
        let mut foreign = PublicKeys::default();
        foreign.add_stored(&[generate(KeyAlgorithm::EdDsa, &seals, times).unwrap()]);
        for token in &tokens {
            assert_eq!(foreign.verify(token, &decode(token).unwrap()), Verdict::UnknownKey);
        }
        assert!(by_store.add("[]").is_err() && decode("garbage").is_none());
    }
}
