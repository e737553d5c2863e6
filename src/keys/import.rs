//! Import of keys: PKCS #8, SEC 1 and PKCS #1 in PEM (RFC 7468), PKCS #12, JWK and JWK Set (RFC 7517), and PASERK `k4.secret`.

use aws_lc_rs::signature::Ed25519KeyPair;
use oauth2_store::model::KeyAlgorithm;
use pasetors::keys::AsymmetricSecretKey;
use pasetors::version4::V4;

use super::generate::{self, NewKey};

mod encrypted;
mod jwk;
mod material;
mod pem;
mod pkcs12;
mod public;
mod rsa_factors;

pub use material::{ImportError, Missing};
use material::{Material, import_error, missing};
pub use public::{PublicKey, PublicKeys, read_public};

/// What the caller says of a key.
#[derive(Clone, Copy, Default)]
pub struct ImportOptions<'a> {
    /// The algorithm that it will sign with, if the format does not determine it.
    pub algorithm: Option<KeyAlgorithm>,
    /// Decrypts it, if it is encrypted.
    pub passphrase: Option<&'a [u8]>,
    /// Which key of a JWK Set; the id of a key in another format.
    pub kid: Option<&'a str>,
}

// It may hold a passphrase.
impl std::fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportOptions")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The text of a file: a PKCS #12 file as the private key in PEM, any other as it is.
pub fn text_of(bytes: Vec<u8>, passphrase: Option<&[u8]>) -> Result<String, ImportError> {
    if pkcs12::is_pkcs12(&bytes) {
        return pkcs12::to_pem(&bytes, passphrase);
    }
    String::from_utf8(bytes).map_err(|_| {
        import_error(
            "is neither text nor PKCS #12: it must be PEM, a JWK, PASERK or PKCS #12; convert DER with `openssl pkey -inform DER` or \
             `openssl x509 -inform DER`",
        )
    })
}

/// Reads a private key in any of the formats.
pub fn read(text: &str, options: ImportOptions<'_>) -> Result<NewKey, ImportError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let algorithm = options.algorithm;
    if text.starts_with('{') {
        let key = jwk::read(text, options.kid)?;
        let pair = match (key.algorithm, algorithm) {
            (Some(alg), Some(requested)) if alg != requested => Err(import_error(format!(
                "is a JWK for {alg}, but the requested algorithm is {requested}"
            ))),
            (alg, requested) => assign(&key.material, requested.or(alg)),
        }?;
        return Ok(NewKey { kid: key.kid, ..pair });
    }
    if text.contains(pem::BEGIN) {
        return named(assign(&pem::read(text, options.passphrase)?, algorithm)?, options.kid);
    }
    if text.starts_with("k4.") {
        let algorithm = algorithm.unwrap_or(KeyAlgorithm::PasetoV4Public);
        return named(assign(&paserk(text)?, Some(algorithm))?, options.kid);
    }
    Err(import_error(
        "has no supported format; supported: PEM (-----BEGIN PRIVATE KEY-----), JWK ({\"kty\": …}), JWK Set ({\"keys\": […]}), \
         PASERK (k4.secret.…)",
    ))
}

/// A key of a format without key ids, with the id by which verifiers know it.
fn named(key: NewKey, kid: Option<&str>) -> Result<NewKey, ImportError> {
    let Some(kid) = kid else { return Ok(key) };
    if key.algorithm == KeyAlgorithm::PasetoV4Public {
        return Err(import_error(
            "is a key for v4.public, whose key id is computed from the public key: no other can be given",
        ));
    }
    if !jwk::is_kid(kid) {
        return Err(jwk::invalid_kid());
    }
    Ok(NewKey {
        kid: Some(kid.to_owned()),
        ..key
    })
}

fn assign(material: &Material, algorithm: Option<KeyAlgorithm>) -> Result<NewKey, ImportError> {
    use KeyAlgorithm::{Ed25519, EdDsa, Es256, PasetoV4Public, Ps256, Rs256};
    let unencodable = || import_error("holds a key that cannot be encoded");
    let ambiguous = |reason| missing(Missing::Algorithm, reason);
    match (material, algorithm) {
        (Material::Ed25519(pair), Some(algorithm @ (EdDsa | Ed25519 | PasetoV4Public))) => {
            generate::ed25519(algorithm, pair).ok_or_else(unencodable)
        }
        (Material::P256(pair), None | Some(Es256)) => generate::p256(pair).ok_or_else(unencodable),
        (Material::Rsa(pair), Some(algorithm @ (Rs256 | Ps256))) => {
            generate::rsa(algorithm, pair).ok_or_else(unencodable)
        }
        (Material::Ed25519(_), None) => Err(ambiguous(
            "is an Ed25519 key, which can sign EdDSA, Ed25519 or v4.public",
        )),
        (Material::Rsa(_), None) => Err(ambiguous("is an RSA key, which can sign RS256 or PS256")),
        (Material::Ed25519(_), Some(other)) => Err(import_error(format!(
            "is an Ed25519 key, which cannot sign {other}; allowed: EdDSA, Ed25519, v4.public"
        ))),
        (Material::P256(_), Some(other)) => Err(import_error(format!(
            "is a P-256 key, which cannot sign {other}; allowed: ES256"
        ))),
        (Material::Rsa(_), Some(other)) => Err(import_error(format!(
            "is an RSA key, which cannot sign {other}; allowed: RS256, PS256"
        ))),
    }
}

fn paserk(text: &str) -> Result<Material, ImportError> {
    let damaged =
        || import_error("is a damaged k4.secret: it is malformed, or its private and public key do not match");
    if text.starts_with("k4.public.") {
        return Err(import_error("holds only a public key; its private key is required"));
    }
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
