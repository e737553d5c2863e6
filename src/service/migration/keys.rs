//! The keys that an issuer publishes, and whether they verify its tokens.

use base64::Engine;
use serde_json::{Map, Value};

use super::http::Response;
use super::token::Token;
use crate::keys::public_keys::{can_verify, verifies};
use crate::tokens::BASE64URL;

/// Public parameters of a JWK; parameters that are numbers may begin with zeros.
const PUBLIC: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// The JWK set of an issuer.
#[derive(Debug, Clone)]
pub enum Keys {
    /// No URL of a JWK set is known.
    Absent,
    /// The URL does not answer with a JWK set.
    Unreadable(String),
    /// The keys that verify signatures.
    Published(Vec<Value>),
}

/// The result of checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// A published key made it.
    Valid,
    /// The key that the token names did not make it, or, for a token without a key id, no key did.
    Invalid,
    /// No key has the id that the token names.
    UnknownKey,
    /// The algorithm is not supported, the token is no JWT, or the keys are not known.
    NotChecked,
}

impl Keys {
    /// Reads a JWK set.
    pub fn read(response: &Response) -> Self {
        let keys = response.body.as_ref().and_then(|body| body.get("keys")?.as_array());
        match keys {
            Some(keys) if response.status == 200 => {
                let verifies = |key: &&Value| key["use"].as_str() != Some("enc");
                Self::Published(keys.iter().filter(verifies).cloned().collect())
            }
            _ if response.status == 200 => Self::Unreadable("answers without a JWK set".to_owned()),
            _ => Self::Unreadable(format!("answers {}", response.status)),
        }
    }

    /// The keys; `None` if they are not known.
    pub fn published(&self) -> Option<&[Value]> {
        match self {
            Self::Published(keys) => Some(keys),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Checks the signature of a token.
    pub fn check(&self, text: &str, token: &Token) -> Checked {
        let (Some(keys), Token::Jwt { header, .. }) = (self.published(), token) else {
            return Checked::NotChecked;
        };
        if !token.is_signed_with_published_key() {
            return Checked::NotChecked;
        }
        let alg = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let kid = header.get("kid").and_then(Value::as_str);
        let named: Vec<&Value> = keys
            .iter()
            .filter(|key| kid.is_none() || key["kid"].as_str() == kid)
            .collect();
        if named.is_empty() {
            return Checked::UnknownKey;
        }
        if !named.iter().any(|key| can_verify(key, alg)) {
            return Checked::NotChecked;
        }
        let made = |key: &&Value| {
            let mut key = (*key).clone();
            if key["alg"].is_null() {
                key["alg"] = alg.into();
            }
            key["alg"] == alg && verifies(&key, text) == Some(true)
        };
        if named.iter().any(made) {
            Checked::Valid
        } else {
            Checked::Invalid
        }
    }
}

impl Checked {
    /// As a report shows it.
    pub fn described(self) -> &'static str {
        match self {
            Self::Valid => "verifies with the JWK set",
            Self::Invalid => "does not verify with the JWK set",
            Self::UnknownKey => "is of a key that is not in the JWK set",
            Self::NotChecked => "not checked",
        }
    }
}

/// Whether two JWKs are the same public key, for the same algorithm if both name one.
pub fn are_same(one: &Value, other: &Value) -> bool {
    let differs_in_alg = |one: &Value, other: &Value| !one.is_null() && !other.is_null() && one != other;
    !differs_in_alg(&one["alg"], &other["alg"]) && public(one) == public(other)
}

fn public(key: &Value) -> Map<String, Value> {
    let members = PUBLIC
        .iter()
        .filter_map(|name| Some((*name, key.get(*name)?.as_str()?)));
    let plain = members.map(|(name, text)| {
        let number = BASE64URL.decode(text.trim_end_matches('='));
        let number = number.ok().filter(|_| matches!(name, "n" | "e"));
        let text = number.map(|number| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            BASE64URL.encode(&number[zeros..])
        });
        (
            name.to_owned(),
            text.unwrap_or_else(|| key[name].as_str().unwrap_or_default().to_owned())
                .into(),
        )
    });
    plain.collect()
}

/// A description of a key, for a report.
pub fn described(key: &Value) -> String {
    let member = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
    let parameter = ["x", "n"].into_iter().find_map(|name| key[name].as_str());
    let beginning: String = parameter.unwrap_or("-").chars().take(12).collect();
    format!("{} {} {beginning}…", member("kty"), member("alg"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Signed by Node; `tests/signatures/make.mjs` made them.
    const VECTORS: &str = include_str!("../../../tests/signatures/vectors.jsonl");

    #[test]
    fn signatures_of_other_libraries_are_verified() {
        for line in VECTORS.lines() {
            let vector: Value = serde_json::from_str(line).unwrap();
            let (alg, text) = (vector["alg"].as_str().unwrap(), vector["token"].as_str().unwrap());
            let check = |jwk: &Value, text: &str| Keys::Published(vec![jwk.clone()]).check(text, &Token::decode(text));
            let with = |name: &str, value: Value| {
                let mut jwk = vector["jwk"].clone();
                jwk[name] = value;
                jwk
            };
            let is_verified = alg != "ES256K" && vector["jwk"]["crv"] != "Ed448";
            let (right, wrong) = if is_verified {
                (Checked::Valid, Checked::Invalid)
            } else {
                (Checked::NotChecked, Checked::NotChecked)
            };
            assert_eq!(check(&vector["jwk"], text), right, "{alg}");
            assert_eq!(check(&with("alg", alg.into()), text), right, "{alg} is that of the key");
            let (header, rest) = text.split_once('.').unwrap();
            let (_, signature) = rest.split_once('.').unwrap();
            let claims = BASE64URL.encode(json!({"sub": "another"}).to_string());
            assert_eq!(
                check(&vector["jwk"], &format!("{header}.{claims}.{signature}")),
                wrong,
                "{alg}"
            );
            if is_verified {
                assert_eq!(
                    check(&with("alg", "RS1".into()), text),
                    Checked::Invalid,
                    "{alg} is not RS1"
                );
            }
            assert_eq!(
                check(&with("kid", "another".into()), text),
                Checked::UnknownKey,
                "{alg}"
            );
        }
    }
}
