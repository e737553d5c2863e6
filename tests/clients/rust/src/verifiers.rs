//! Verifiers of access tokens.

use std::str::FromStr;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{ClientId, IssuerUrl, JsonWebKeySetUrl, Nonce};
use serde_json::{Map, Value};

use crate::pages::verify_with_jsonwebtoken;
use crate::report::{Failure, Fixture, Report};

pub fn check(report: &mut Report, fixture: &Fixture) {
    for client in ["default-alg", "es256-jwt", "es256"] {
        report.verifies(fixture, "jsonwebtoken 10", client, |token| {
            verify_with_jsonwebtoken(&published(&fixture.issuer)?, &fixture.issuer, token).map(|_| ())
        });
    }
    for client in ["eddsa", "rs256", "ps256"] {
        let verify = |token: &str| jsonwebtoken(&fixture.issuer, &fixture.audience, token);
        report.verifies(fixture, "jsonwebtoken 10", client, verify);
    }
    for client in ["es256-jwt", "rs256-jwt"] {
        report.verifies(fixture, "openidconnect 4", client, |token| {
            openidconnect(fixture, token)
        });
    }
    for key in fixture.imported.iter().filter(|key| key.language == "rust") {
        let what = format!("verifies a token by the imported key {}", key.name);
        report.check("jsonwebtoken 10", &what, || {
            jsonwebtoken(&fixture.import_issuer, &fixture.audience, &key.token)
        });
    }
}

fn published(issuer: &str) -> Result<JwkSet, Failure> {
    Ok(ureq::get(&format!("{issuer}/.well-known/jwks.json"))
        .call()?
        .into_json()?)
}

/// With the algorithm of the token's key, instead of a configured one.
fn jsonwebtoken(issuer: &str, audience: &str, token: &str) -> Result<(), Failure> {
    let header = decode_header(token)?;
    let keys = published(issuer)?;
    let jwk = keys.find(&header.kid.ok_or("no kid")?).ok_or("unknown kid")?;
    let algorithm = jwk
        .common
        .key_algorithm
        .ok_or("the key has no alg")?
        .to_string()
        .parse()?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    decode::<Map<String, Value>>(token, &DecodingKey::from_jwk(jwk)?, &validation)?;
    Ok(())
}

/// As an ID token, the only kind of JWT that this library verifies. It requires the `typ` `JWT`.
fn openidconnect(fixture: &Fixture, token: &str) -> Result<(), Failure> {
    let keys = JsonWebKeySetUrl::new(format!("{}/.well-known/jwks.json", fixture.issuer))?;
    let keys = CoreJsonWebKeySet::fetch(&keys, &openidconnect::ureq::Agent::new())?;
    let audience = ClientId::new(fixture.audience.clone());
    let verifier = CoreIdTokenVerifier::new_public_client(audience, IssuerUrl::new(fixture.issuer.clone())?, keys)
        .set_allowed_algs([
            CoreJwsSigningAlgorithm::EcdsaP256Sha256,
            CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        ]);
    CoreIdToken::from_str(token)?.claims(&verifier, |_: Option<&Nonce>| Ok(()))?;
    Ok(())
}
