//! The function of docs/frameworks/rust.md.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::report::Failure;

pub fn verify_with_jsonwebtoken(keys: &JwkSet, issuer: &str, token: &str) -> Result<Map<String, Value>, Failure> {
    let kid = decode_header(token)?.kid.ok_or("the token has no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown kid: fetch the keys again")?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&["https://api.example"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    Ok(decode(token, &key, &validation)?.claims)
}
