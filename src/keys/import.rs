//! Import of signing keys: PKCS #8, SEC 1 and PKCS #1 in PEM (RFC 7468), JWK (RFC 7517), and PASERK `k4.secret`.

use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_store::model::KeyAlgorithm;
use pasetors::keys::AsymmetricSecretKey;
use pasetors::version4::V4;
use serde::Deserialize;
use thiserror::Error;

use super::generate::{self, NewKey};
use crate::tokens::BASE64URL;

/// Why a key cannot be imported. The text completes a sentence that begins with the source of the key, such as
/// `key.pem is encrypted; …`, and contains nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ImportError {
    reason: String,
    is_ambiguous: bool,
}

impl ImportError {
    /// Whether the key fits several algorithms, so that the caller must choose one.
    pub fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }
}

fn import_error(reason: impl Into<String>) -> ImportError {
    ImportError {
        reason: reason.into(),
        is_ambiguous: false,
    }
}

fn ambiguous(reason: &str) -> ImportError {
    ImportError {
        reason: reason.to_owned(),
        is_ambiguous: true,
    }
}

/// A key pair by its type. The algorithm that it signs with is assigned later.
enum Material {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

/// Allowed sizes of an RSA key, bits.
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// Maximum length of a key id, bytes.
const MAX_KID_BYTES: usize = 128;

/// PEM labels of unencrypted private keys.
const PKCS8: &str = "PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";

/// Reads a private key in any of the formats. `algorithm`: the algorithm that it will sign with, if the format does not determine
/// it.
pub fn read(text: &str, algorithm: Option<KeyAlgorithm>) -> Result<NewKey, ImportError> {
    let text = text.trim();
    if text.starts_with("-----BEGIN ") {
        return assign(&pem(text)?, algorithm);
    }
    if text.starts_with('{') {
        let (material, alg, kid) = jwk(text)?;
        let pair = match (alg, algorithm) {
            (Some(alg), Some(requested)) if alg != requested => Err(import_error(format!(
                "is a JWK for {alg}, but the requested algorithm is {requested}"
            ))),
            (alg, requested) => assign(&material, requested.or(alg)),
        }?;
        return Ok(NewKey { kid, ..pair });
    }
    if text.starts_with("k4.") {
        return assign(&paserk(text)?, Some(algorithm.unwrap_or(KeyAlgorithm::PasetoV4Public)));
    }
    Err(import_error(
        "has no supported format; supported: PEM (-----BEGIN PRIVATE KEY-----), JWK ({\"kty\": …}), PASERK (k4.secret.…)",
    ))
}

fn assign(material: &Material, algorithm: Option<KeyAlgorithm>) -> Result<NewKey, ImportError> {
    use KeyAlgorithm::{EdDsa, Es256, PasetoV4Public, Ps256, Rs256};
    let unencodable = || import_error("holds a key that cannot be encoded");
    match (material, algorithm) {
        (Material::Ed25519(pair), Some(algorithm @ (EdDsa | PasetoV4Public))) => {
            generate::ed25519(algorithm, pair).ok_or_else(unencodable)
        }
        (Material::P256(pair), None | Some(Es256)) => generate::p256(pair).ok_or_else(unencodable),
        (Material::Rsa(pair), Some(algorithm @ (Rs256 | Ps256))) => {
            generate::rsa(algorithm, pair).ok_or_else(unencodable)
        }
        (Material::Ed25519(_), None) => Err(ambiguous("is an Ed25519 key, which can sign EdDSA or v4.public")),
        (Material::Rsa(_), None) => Err(ambiguous("is an RSA key, which can sign RS256 or PS256")),
        (Material::Ed25519(_), Some(other)) => Err(import_error(format!(
            "is an Ed25519 key, which cannot sign {other}; allowed: EdDSA, v4.public"
        ))),
        (Material::P256(_), Some(other)) => Err(import_error(format!(
            "is a P-256 key, which cannot sign {other}; allowed: ES256"
        ))),
        (Material::Rsa(_), Some(other)) => Err(import_error(format!(
            "is an RSA key, which cannot sign {other}; allowed: RS256, PS256"
        ))),
    }
}

fn pem(text: &str) -> Result<Material, ImportError> {
    let malformed =
        || import_error("is malformed PEM: exactly one block from BEGIN to END with base64 content is allowed");
    let (label, rest) = text
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"))
        .ok_or_else(malformed)?;
    let (body, after) = rest
        .split_once(&format!("-----END {label}-----"))
        .ok_or_else(malformed)?;
    if !after.trim().is_empty() {
        return Err(import_error("holds more than one PEM block; exactly one is allowed"));
    }
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| malformed())?;
    match label {
        PKCS8 => pkcs8(&der),
        SEC1 => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map(Material::P256)
            .map_err(|_| import_error("holds an invalid EC key; supported: P-256, with a point on the curve")),
        PKCS1 => checked_rsa(rsa::KeyPair::from_der(&der)),
        "ENCRYPTED PRIVATE KEY" => Err(import_error(
            "is encrypted; decrypt it first, for example with `openssl pkey`",
        )),
        "PUBLIC KEY" | "CERTIFICATE" => Err(import_error("holds only a public key; a private key is required")),
        _ => Err(import_error(format!(
            "holds an unsupported PEM block; supported: {PKCS8}, {SEC1}, {PKCS1}"
        ))),
    }
}

/// Object identifiers, encoded in DER.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

fn pkcs8(der: &[u8]) -> Result<Material, ImportError> {
    // The algorithm identifier is near the beginning.
    let head = &der[..der.len().min(48)];
    let contains = |id: &[u8]| head.windows(id.len()).any(|window| window == id);
    if contains(ED25519) {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(Material::Ed25519)
            .map_err(|_| import_error("holds a damaged Ed25519 key, or a private and a public key that do not match"));
    }
    if contains(EC) {
        if !contains(P256) {
            return Err(import_error("is a key on an unsupported curve; supported: P-256"));
        }
        return EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Material::P256)
            .map_err(|_| {
                import_error(
                    "holds a damaged P-256 key: its point is not on the curve or does not match the private key",
                )
            });
    }
    if contains(RSA) {
        return checked_rsa(rsa::KeyPair::from_pkcs8(der));
    }
    Err(import_error(
        "is a key of an unsupported type; supported: Ed25519, P-256, RSA",
    ))
}

fn checked_rsa<E: std::fmt::Display>(read: Result<rsa::KeyPair, E>) -> Result<Material, ImportError> {
    let pair = read.map_err(|error| match error.to_string().as_str() {
        "TooSmall" => rsa_size_error("that is too small"),
        "TooLarge" => rsa_size_error("that is too large"),
        _ => rsa_size_error("that is damaged or of an unsupported size"),
    })?;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&(pair.public_modulus_len() * 8)) {
        return Err(rsa_size_error("of an unsupported size"));
    }
    Ok(Material::Rsa(pair))
}

fn rsa_size_error(problem: &str) -> ImportError {
    import_error(format!(
        "holds an RSA key {problem}; allowed: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
    ))
}

/// The parameters of a private JWK (RFC 7518 section 6, RFC 8037). Others are ignored.
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

/// The key, its `alg` and its `kid`.
fn jwk(text: &str) -> Result<(Material, Option<KeyAlgorithm>, Option<String>), ImportError> {
    // The message of the parser is dropped: it may quote the key.
    let jwk: Jwk = serde_json::from_str(text)
        .map_err(|_| import_error("is not a JWK: a JSON object with kty and the parameters of the key is required"))?;
    let alg = match jwk.alg.as_deref() {
        Some("Ed25519") => Some(KeyAlgorithm::EdDsa),
        Some(name) => Some(
            name.parse()
                .map_err(|_| import_error("has an unsupported alg; supported: EdDSA, Ed25519, ES256, RS256, PS256"))?,
        ),
        None => None,
    };
    if jwk.kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
        return Err(import_error(format!(
            "has an invalid kid; allowed: 1 to {MAX_KID_BYTES} letters, digits, '-', '_' and '.', not only dots"
        )));
    }
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let (seed, public) = (parameter("d", jwk.d.as_deref())?, parameter("x", jwk.x.as_deref())?);
            let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public);
            Material::Ed25519(pair.map_err(|_| import_error("has parameters d and x that do not match"))?)
        }
        ("EC", Some("P-256")) => {
            let [d, x, y] =
                [("d", &jwk.d), ("x", &jwk.x), ("y", &jwk.y)].map(|(name, value)| parameter(name, value.as_deref()));
            let point = [&[4][..], &x?, &y?].concat();
            if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_err() {
                return Err(import_error(
                    "has parameters x and y that are not a point on the curve P-256",
                ));
            }
            let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &d?, &point);
            Material::P256(pair.map_err(|_| import_error("has a parameter d that does not match x and y"))?)
        }
        ("RSA", _) => {
            let read = |name, value: &Option<String>| parameter(name, value.as_deref());
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
            if components.public_key.n.len() * 8 < MIN_RSA_BITS {
                return Err(rsa_size_error("that is too small"));
            }
            checked_rsa(rsa::KeyPair::from_components(&components))?
        }
        ("oct", _) => {
            return Err(import_error(
                "is a symmetric key; a key pair is required. Set the HS256 secret with OAUTH2_JWT_SECRET",
            ));
        }
        _ => {
            return Err(import_error(
                "has an unsupported kty or crv; supported: OKP with Ed25519, EC with P-256, RSA",
            ));
        }
    };
    Ok((material, alg, jwk.kid))
}

/// Whether a key id needs no escaping in a JWT header, a URL path and a terminal.
fn is_kid(kid: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_KID_BYTES).contains(&kid.len()) && kid.bytes().all(is_plain) && !kid.bytes().all(|byte| byte == b'.')
}

fn parameter(name: &str, value: Option<&str>) -> Result<Vec<u8>, ImportError> {
    let value = value.ok_or_else(|| import_error(format!("lacks the parameter {name}")))?;
    BASE64URL
        .decode(value)
        .map_err(|_| import_error(format!("has a parameter {name} that is not base64url")))
}

fn paserk(text: &str) -> Result<Material, ImportError> {
    let damaged =
        || import_error("is a damaged k4.secret: it is malformed, or its private and public key do not match");
    if !text.starts_with("k4.secret.") {
        return Err(import_error("is a PASERK of an unsupported type; supported: k4.secret"));
    }
    let key = AsymmetricSecretKey::<V4>::try_from(text).map_err(|_| damaged())?;
    let (seed, public) = key.as_bytes().split_at(32);
    Ed25519KeyPair::from_seed_and_public_key(seed, public)
        .map(Material::Ed25519)
        .map_err(|_| damaged())
}

#[cfg(test)]
mod tests;
