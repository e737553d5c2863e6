//! Private keys as JWK and JWK Set (RFC 7517).

use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey,
};
use base64::Engine;
use oauth2_store::model::KeyAlgorithm;
use serde::Deserialize;
use serde_json::Value;

use super::material::{
    ImportError, MAX_RSA_BITS, MIN_RSA_BITS, Material, Missing, checked_rsa, import_error, missing, rsa_size_error,
};
use super::rsa_factors;
use crate::tokens::BASE64URL;
use crate::tokens::unique_json::{self, Unique};

/// Maximum length of a key id, bytes.
const MAX_KID_BYTES: usize = 256;

/// Length of a coordinate and of a private key on P-256, bytes.
const P256_BYTES: usize = 32;

/// Key ids that an error lists.
const LISTED: usize = 20;

/// The parameters of a private JWK (RFC 7518 section 6, RFC 8037). Others are ignored.
#[derive(Deserialize)]
pub(super) struct Jwk {
    pub(super) kty: String,
    pub(super) crv: Option<String>,
    pub(super) alg: Option<String>,
    pub(super) kid: Option<String>,
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
    pub(super) key_ops: Option<Vec<String>>,
    pub(super) d: Option<String>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    pub(super) n: Option<String>,
    pub(super) e: Option<String>,
    pub(super) p: Option<String>,
    pub(super) q: Option<String>,
    pub(super) dp: Option<String>,
    pub(super) dq: Option<String>,
    pub(super) qi: Option<String>,
}

/// A key as a JWK describes it.
pub(super) struct JwkKey {
    pub(super) material: Material,
    pub(super) algorithm: Option<KeyAlgorithm>,
    pub(super) kid: Option<String>,
}

/// The key of a JWK, or one key of a JWK Set. `kid`: which one.
pub(super) fn read(text: &str, kid: Option<&str>) -> Result<JwkKey, ImportError> {
    let value = parse(text)?;
    let keys = match value.get("keys") {
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(import_error("is a JWK Set whose member keys is not a list")),
        None => {
            if kid.is_some_and(|kid| value.get("kid").and_then(Value::as_str) != Some(kid)) {
                return Err(import_error("is a JWK with another kid than the requested one"));
            }
            return key(&value);
        }
    };
    if let Some(kid) = kid {
        let mut found = keys
            .iter()
            .filter(|key| key.get("kid").and_then(Value::as_str) == Some(kid));
        return match (found.next(), found.next()) {
            (Some(value), None) => key(value),
            (None, _) => Err(import_error(format!("is a JWK Set without this kid; {}", kids(keys)))),
            (Some(_), Some(_)) => Err(import_error("is a JWK Set in which several keys have this kid")),
        };
    }
    // Sets that also hold public keys, keys for encryption and secrets are usual: the one that can sign is meant.
    let mut private = keys.iter().filter(|key| is_private_signing_key(key));
    match (private.next(), private.next(), keys.as_slice()) {
        (Some(only), None, _) | (None, _, [only]) => key(only),
        (None, _, []) => Err(import_error("is a JWK Set without keys")),
        (None, _, _) => Err(import_error("is a JWK Set without a private key that signs")),
        (Some(_), Some(_), _) => Err(missing(
            Missing::KeyId,
            format!("is a JWK Set of several private keys; {}", kids(keys)),
        )),
    }
}

/// Reads a JWK or a JWK Set.
pub(super) fn parse(text: &str) -> Result<Value, ImportError> {
    // The message of the parser is dropped: it may quote the key.
    let parsed: Result<Unique, _> = serde_json::from_str(text);
    parsed
        .map(|Unique(value)| value)
        .map_err(|error| match unique_json::duplicate(&error) {
            Some(name) => import_error(format!("has the member {name} twice in line {}", error.line())),
            None => not_a_jwk(),
        })
}

pub(super) fn not_a_jwk() -> ImportError {
    import_error("is not a JWK: a JSON object with kty and the parameters of the key is required")
}

fn is_private_signing_key(value: &Value) -> bool {
    let Ok(jwk) = Jwk::deserialize(value) else {
        return false;
    };
    jwk.kty != "oct" && jwk.d.is_some() && jwk.cannot_sign().is_none()
}

/// The key ids of a set, as a clause.
pub(super) fn kids(keys: &[Value]) -> String {
    let kids = keys.iter().filter_map(|key| key.get("kid")?.as_str());
    let named: Vec<String> = kids.take(LISTED).map(|kid| kid.escape_debug().to_string()).collect();
    if named.is_empty() {
        "none of its keys has a kid: give a file with one key".to_owned()
    } else {
        format!("its keys have the kids {}", named.join(", "))
    }
}

impl Jwk {
    /// The member that says that the key is not for signatures.
    fn cannot_sign(&self) -> Option<&'static str> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Some("use");
        }
        let signs = |operations: &Vec<String>| operations.iter().any(|operation| operation == "sign");
        let other = self.key_ops.as_ref().is_some_and(|operations| !signs(operations));
        other.then_some("key_ops")
    }
}

fn key(value: &Value) -> Result<JwkKey, ImportError> {
    let jwk = Jwk::deserialize(value).map_err(|_| not_a_jwk())?;
    if jwk.kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
        return Err(invalid_kid());
    }
    let material = material(&jwk)?;
    if let Some(member) = jwk.cannot_sign() {
        return Err(import_error(format!(
            "is a key that is not for signatures, by its {member}"
        )));
    }
    let unsupported = |_| import_error("has an unsupported alg; supported: EdDSA, Ed25519, ES256, RS256, PS256");
    let algorithm = jwk.alg.as_deref().map(str::parse).transpose().map_err(unsupported)?;
    Ok(JwkKey {
        material,
        algorithm,
        kid: jwk.kid,
    })
}

fn material(jwk: &Jwk) -> Result<Material, ImportError> {
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let (seed, public) = (parameter("d", jwk.d.as_deref())?, parameter("x", jwk.x.as_deref())?);
            let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public);
            pair.map(Material::Ed25519)
                .map_err(|_| import_error("has parameters d and x that do not match"))
        }
        ("EC", Some("P-256")) => p256(jwk),
        ("RSA", _) => rsa_key(jwk),
        ("oct", _) => Err(import_error(
            "is a symmetric key; a key pair is required. Set the HS256 secret with OAUTH2_JWT_SECRET",
        )),
        _ => Err(unsupported_type(jwk)),
    }
}

/// The error of a key that is neither Ed25519 nor P-256 nor RSA.
pub(super) fn unsupported_type(jwk: &Jwk) -> ImportError {
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC" | "OKP", Some(crv)) => import_error(format!(
            "is a key on the unsupported curve {}; supported: OKP with Ed25519, EC with P-256",
            crv.chars().take(20).collect::<String>().escape_debug()
        )),
        _ => import_error("has an unsupported kty or crv; supported: OKP with Ed25519, EC with P-256, RSA"),
    }
}

/// A coordinate on P-256. Some tools drop leading zeros.
pub(super) fn coordinate(name: &str, value: Option<&str>) -> Result<Vec<u8>, ImportError> {
    let value = parameter(name, value)?;
    let padding = vec![0; P256_BYTES.saturating_sub(value.len())];
    Ok([padding, value].concat())
}

/// A parameter of an RSA key, without leading zeros.
pub(super) fn integer(name: &str, value: Option<&str>) -> Result<Vec<u8>, ImportError> {
    let value = parameter(name, value)?;
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    Ok(value[zeros..].to_vec())
}

fn p256(jwk: &Jwk) -> Result<Material, ImportError> {
    let (d, x, y) = (
        coordinate("d", jwk.d.as_deref())?,
        coordinate("x", jwk.x.as_deref())?,
        coordinate("y", jwk.y.as_deref())?,
    );
    let point = [&[4][..], &x, &y].concat();
    if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_err() {
        return Err(import_error(
            "has parameters x and y that are not a point on the curve P-256",
        ));
    }
    let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &d, &point);
    pair.map(Material::P256)
        .map_err(|_| import_error("has a parameter d that does not match x and y"))
}

fn rsa_key(jwk: &Jwk) -> Result<Material, ImportError> {
    let read = |name: &str, value: &Option<String>| integer(name, value.as_deref());
    let (n, e, d) = (read("n", &jwk.n)?, read("e", &jwk.e)?, read("d", &jwk.d)?);
    if n.len() * 8 < MIN_RSA_BITS {
        return Err(rsa_size_error("that is too small"));
    }
    if n.len() * 8 > MAX_RSA_BITS {
        return Err(rsa_size_error("that is too large"));
    }
    let [first, second, dp, dq, qi] =
        if let (Some(_), Some(_), Some(_), Some(_), Some(_)) = (&jwk.p, &jwk.q, &jwk.dp, &jwk.dq, &jwk.qi) {
            [
                read("p", &jwk.p)?,
                read("q", &jwk.q)?,
                read("dp", &jwk.dp)?,
                read("dq", &jwk.dq)?,
                read("qi", &jwk.qi)?,
            ]
        } else {
            let found = rsa_factors::recover(&n, &e, &d);
            let found = found.ok_or_else(|| import_error("has parameters n, e and d that do not match"))?;
            [found.p, found.q, found.dp, found.dq, found.qi]
        };
    checked_rsa(rsa::KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p: first,
        q: second,
        dP: dp,
        dQ: dq,
        qInv: qi,
    }))
}

pub(super) fn invalid_kid() -> ImportError {
    import_error(format!(
        "has an invalid kid; allowed: 1 to {MAX_KID_BYTES} printable ASCII characters"
    ))
}

/// Whether a key id is kept as it is. It is escaped where it is written: in JSON, in the path of a URL.
pub(super) fn is_kid(kid: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&kid.len()) && kid.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

pub(super) fn parameter(name: &str, value: Option<&str>) -> Result<Vec<u8>, ImportError> {
    let value = value.ok_or_else(|| match name {
        "d" => import_error("lacks the parameter d: it is a public key; its private key is required"),
        _ => import_error(format!("lacks the parameter {name}")),
    })?;
    BASE64URL
        .decode(value)
        .map_err(|_| import_error(format!("has a parameter {name} that is not base64url")))
}
