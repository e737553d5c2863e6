//! Signing keys that were made elsewhere: PKCS #8, SEC 1 and PKCS #1 in PEM (RFC 7468), JWK (RFC 7517), and PASERK `k4.secret`.

use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_actors::model::KeyAlgorithm;
use pasetors::keys::AsymmetricSecretKey;
use pasetors::version4::V4;
use serde::Deserialize;
use thiserror::Error;

use super::BASE64URL;
use super::generate::{self, Pair};

/// Why a key cannot be taken over, as the rest of a sentence that begins with where it came from. Nothing of the key is in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unusable(String);

fn unusable(why: impl Into<String>) -> Unusable {
    Unusable(why.into())
}

/// What the key is, whatever it will sign.
enum Material {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

/// Bits that an RSA key must have.
const LEAST_RSA: usize = 2048;
const MOST_RSA: usize = 8192;

/// Bytes of a key's name.
const LONGEST_KID: usize = 128;

/// Reads a private key in any of the forms. `algorithm` is what it is to sign, where the form leaves that open.
pub fn read(text: &str, algorithm: Option<KeyAlgorithm>) -> Result<Pair, Unusable> {
    let text = text.trim();
    if text.starts_with("-----BEGIN ") {
        return assign(&pem(text)?, algorithm);
    }
    if text.starts_with('{') {
        let (material, named, kid) = jwk(text)?;
        let pair = match (named, algorithm) {
            (Some(named), Some(asked)) if named != asked => Err(unusable(format!(
                "is a JWK for {named}, and is asked to be for {asked}"
            ))),
            (named, asked) => assign(&material, asked.or(named)),
        }?;
        return Ok(Pair { kid, ..pair });
    }
    if text.starts_with("k4.") {
        return assign(&paserk(text)?, Some(algorithm.unwrap_or(KeyAlgorithm::PasetoV4Public)));
    }
    Err(unusable(
        "is none of the forms that a key has: PEM (-----BEGIN PRIVATE KEY-----), a JWK ({\"kty\": …) or PASERK (k4.secret.…)",
    ))
}

fn assign(material: &Material, algorithm: Option<KeyAlgorithm>) -> Result<Pair, Unusable> {
    use KeyAlgorithm::{EdDsa, Es256, PasetoV4Public, Ps256, Rs256};
    let damaged = || unusable("holds a key that cannot be written down");
    match (material, algorithm) {
        (Material::Ed25519(pair), Some(algorithm @ (EdDsa | PasetoV4Public))) => {
            generate::ed25519(algorithm, pair).ok_or_else(damaged)
        }
        (Material::P256(pair), None | Some(Es256)) => generate::p256(pair).ok_or_else(damaged),
        (Material::Rsa(pair), Some(algorithm @ (Rs256 | Ps256))) => generate::rsa(algorithm, pair).ok_or_else(damaged),
        (Material::Ed25519(_), None) => Err(unusable("is an Ed25519 key: say what it signs, EdDSA or v4.public")),
        (Material::Rsa(_), None) => Err(unusable("is an RSA key: say what it signs, RS256 or PS256")),
        (Material::Ed25519(_), Some(other)) => Err(unusable(format!("is an Ed25519 key, which cannot sign {other}"))),
        (Material::P256(_), Some(other)) => Err(unusable(format!("is a P-256 key, which cannot sign {other}"))),
        (Material::Rsa(_), Some(other)) => Err(unusable(format!("is an RSA key, which cannot sign {other}"))),
    }
}

fn pem(text: &str) -> Result<Material, Unusable> {
    let broken = || unusable("is not well-formed PEM: one block, from its BEGIN to its END, with base64 in between");
    let (label, rest) = text
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"))
        .ok_or_else(broken)?;
    let (body, after) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(broken)?;
    if !after.trim().is_empty() {
        return Err(unusable("holds more than one block: give one private key"));
    }
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| broken())?;
    match label {
        "PRIVATE KEY" => pkcs8(&der),
        "EC PRIVATE KEY" => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map(Material::P256)
            .map_err(|_| unusable("is not a P-256 key, or its point is not on the curve")),
        "RSA PRIVATE KEY" => checked_rsa(rsa::KeyPair::from_der(&der)),
        "ENCRYPTED PRIVATE KEY" => Err(unusable("is encrypted: decrypt it first, as `openssl pkey` does")),
        "PUBLIC KEY" | "CERTIFICATE" => Err(unusable("holds the public half only: signing needs the private one")),
        _ => Err(unusable("holds something else than a private key")),
    }
}

/// Object identifiers as they stand in DER.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

fn pkcs8(der: &[u8]) -> Result<Material, Unusable> {
    // The algorithm stands near the beginning.
    let head = &der[..der.len().min(48)];
    let names = |id: &[u8]| head.windows(id.len()).any(|window| window == id);
    if names(ED25519) {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(Material::Ed25519)
            .map_err(|_| unusable("holds a damaged Ed25519 key: its halves do not belong together"));
    }
    if names(EC) {
        if !names(P256) {
            return Err(unusable("is a key on another curve than P-256"));
        }
        return EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Material::P256)
            .map_err(|_| {
                unusable("holds a damaged P-256 key: its point is not on the curve, or not that of its private half")
            });
    }
    if names(RSA) {
        return checked_rsa(rsa::KeyPair::from_pkcs8(der));
    }
    Err(unusable("is a key of another kind than Ed25519, P-256 and RSA"))
}

fn checked_rsa<E: std::fmt::Display>(read: Result<rsa::KeyPair, E>) -> Result<Material, Unusable> {
    let sizes = format!("an RSA key must have {LEAST_RSA} to {MOST_RSA} bits");
    let pair = read.map_err(|error| match error.to_string().as_str() {
        "TooSmall" => unusable(format!("holds an RSA key that is too small: {sizes}")),
        "TooLarge" => unusable(format!("holds an RSA key that is too large: {sizes}")),
        _ => unusable(format!("holds a damaged RSA key, or one of another size: {sizes}")),
    })?;
    if !(LEAST_RSA..=MOST_RSA).contains(&(pair.public_modulus_len() * 8)) {
        return Err(unusable(format!("holds an RSA key of another size: {sizes}")));
    }
    Ok(Material::Rsa(pair))
}

/// The members of a private JWK (RFC 7518 section 6, RFC 8037). Others are not looked at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    d: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

/// The key, what it signs, and what it is called, where it says so.
fn jwk(text: &str) -> Result<(Material, Option<KeyAlgorithm>, Option<String>), Unusable> {
    // The parser's words are left out: they may quote the key.
    let jwk: Jwk = serde_json::from_str(text)
        .map_err(|_| unusable("is not a JWK: a JSON object with kty and the key's members"))?;
    let named = match jwk.alg.as_deref() {
        Some("Ed25519") => Some(KeyAlgorithm::EdDsa),
        Some(name) => Some(
            name.parse()
                .map_err(|_| unusable("has an alg that is none of EdDSA, ES256, RS256, PS256"))?,
        ),
        None => None,
    };
    if jwk.kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
        return Err(unusable(format!(
            "has a kid that is not 1 to {LONGEST_KID} letters, digits, -, _ and ., with more than dots among them: change it or \
             leave it out"
        )));
    }
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let (seed, public) = (member("d", jwk.d.as_deref())?, member("x", jwk.x.as_deref())?);
            let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public);
            Material::Ed25519(pair.map_err(|_| unusable("has members d and x that do not belong together"))?)
        }
        ("EC", Some("P-256")) => {
            let [d, x, y] =
                [("d", &jwk.d), ("x", &jwk.x), ("y", &jwk.y)].map(|(name, value)| member(name, value.as_deref()));
            let point = [&[4][..], &x?, &y?].concat();
            if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_err() {
                return Err(unusable("has members x and y that are no point on the curve P-256"));
            }
            let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &d?, &point);
            Material::P256(pair.map_err(|_| unusable("has a member d that is not the private half of x and y"))?)
        }
        ("RSA", _) => {
            let read = |name, value: &Option<String>| member(name, value.as_deref());
            let components = KeyPairComponents {
                public_key: PublicKeyComponents {
                    n: read("n", &jwk.n)?,
                    e: read("e", &jwk.e)?,
                },
                d: read("d", &jwk.d)?,
                p: read("p", &jwk.p)?,
                q: read("q", &jwk.q)?,
                dP: read("dp", &jwk.dp)?,
                dQ: read("dq", &jwk.dq)?,
                qInv: read("qi", &jwk.qi)?,
            };
            if components.public_key.n.len() * 8 < LEAST_RSA {
                return Err(unusable(format!(
                    "holds an RSA key that is too small: it must have {LEAST_RSA} bits or more"
                )));
            }
            checked_rsa(rsa::KeyPair::from_components(&components))?
        }
        ("oct", _) => {
            return Err(unusable(
                "is a secret, not a key pair; HS256 takes its secret from OAUTH2_JWT_SECRET",
            ));
        }
        _ => {
            return Err(unusable(
                "has a kty and crv that are none of OKP with Ed25519, EC with P-256, and RSA",
            ));
        }
    };
    Ok((material, named, jwk.kid))
}

/// A name that can stand as it is in a header, a path and a table.
fn is_kid(kid: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST_KID).contains(&kid.len()) && kid.bytes().all(plain) && !kid.bytes().all(|byte| byte == b'.')
}

fn member(name: &str, value: Option<&str>) -> Result<Vec<u8>, Unusable> {
    let value = value.ok_or_else(|| unusable(format!("lacks the member {name}")))?;
    BASE64URL
        .decode(value)
        .map_err(|_| unusable(format!("has a member {name} that is not base64url")))
}

fn paserk(text: &str) -> Result<Material, Unusable> {
    if !text.starts_with("k4.secret.") {
        return Err(unusable("is a PASERK of another type than k4.secret"));
    }
    let key = AsymmetricSecretKey::<V4>::try_from(text)
        .map_err(|_| unusable("is a damaged k4.secret: its halves do not belong together, or it is not whole"))?;
    let (seed, public) = key.as_bytes().split_at(32);
    Ed25519KeyPair::from_seed_and_public_key(seed, public)
        .map(Material::Ed25519)
        .map_err(|_| unusable("is a damaged k4.secret: its halves do not belong together"))
}

#[cfg(test)]
mod tests;
