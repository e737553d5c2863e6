//! Public keys, for verification only: JWK and JWK Set (RFC 7517), and in PEM (RFC 7468) a public key, an X.509 certificate, or a private
//! key, of which only the public key is taken.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use oauth2_store::model::KeyAlgorithm;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::spki::SubjectPublicKeyInfoRef;
use serde::Deserialize;
use serde_json::Value;

use super::jwk::{self, Jwk};
use super::material::{ImportError, MAX_RSA_BITS, MIN_RSA_BITS, Missing, import_error, missing, rsa_size_error};
use super::{ImportOptions, pem};
use crate::keys::public_keys::rsa_der;
use crate::keys::verify_only::ALGORITHMS;
use crate::tokens::jwt;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key that is being imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Key id: that of the JWK, or the thumbprint.
    pub kid: String,
    /// The algorithm of the tokens that it verifies.
    pub algorithm: KeyAlgorithm,
    /// In the store's encoding.
    pub public: Vec<u8>,
}

/// The keys of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    /// The keys for signatures, each once.
    pub keys: Vec<PublicKey>,
    /// The key ids of keys for encryption, which no token needs.
    pub skipped: Vec<String>,
}

/// The type of a public key; the algorithm is assigned later.
#[derive(Clone, Copy)]
enum Kind {
    Ed25519,
    P256,
    Rsa,
}

/// Reads public keys in any of the formats. `kids`: which keys of a JWK Set, all if empty; or the id of a key in PEM.
pub fn read_public(text: &str, options: ImportOptions<'_>, kids: &[String]) -> Result<PublicKeys, ImportError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return read_jwks(text, options.algorithm, kids);
    }
    if !text.contains(pem::BEGIN) {
        return Err(import_error(
            "has no supported format; supported: PEM (-----BEGIN PUBLIC KEY-----, -----BEGIN CERTIFICATE-----), JWK ({\"kty\": …}), \
             JWK Set ({\"keys\": […]})",
        ));
    }
    let [kid] = kids else {
        if kids.is_empty() {
            return Ok(PublicKeys {
                keys: vec![read_pem(text, options, None)?],
                skipped: Vec::new(),
            });
        }
        return Err(import_error("holds one key in PEM, which cannot have several kids"));
    };
    Ok(PublicKeys {
        keys: vec![read_pem(text, options, Some(kid))?],
        skipped: Vec::new(),
    })
}

fn read_jwks(text: &str, algorithm: Option<KeyAlgorithm>, kids: &[String]) -> Result<PublicKeys, ImportError> {
    let value = jwk::parse(text)?;
    let (values, is_set) = match value.get("keys") {
        Some(Value::Array(keys)) => (keys.as_slice(), true),
        Some(_) => return Err(import_error("is a JWK Set whose member keys is not a list")),
        None => (std::slice::from_ref(&value), false),
    };
    let kid_of = |value: &Value| value.get("kid").and_then(Value::as_str).map(str::to_owned);
    for kid in kids {
        if !values.iter().any(|value| kid_of(value).as_ref() == Some(kid)) {
            return Err(import_error(format!(
                "has no key with the kid {kid}; {}",
                jwk::kids(values)
            )));
        }
    }
    let mut found = PublicKeys::default();
    for (index, value) in values.iter().enumerate() {
        let kid = kid_of(value);
        if !kids.is_empty() && !kid.as_ref().is_some_and(|kid| kids.contains(kid)) {
            continue;
        }
        let which = match (&kid, is_set) {
            (Some(kid), true) => format!("keys[{index}] (kid {}) ", kid.escape_debug()),
            (None, true) => format!("keys[{index}] "),
            (_, false) => String::new(),
        };
        let in_key = |error: ImportError| error.within(&which);
        let jwk = Jwk::deserialize(value).map_err(|_| in_key(jwk::not_a_jwk()))?;
        if jwk.cannot_verify() {
            found.skipped.push(kid.unwrap_or_else(|| format!("keys[{index}]")));
            continue;
        }
        found.push(of_jwk(&jwk, algorithm).map_err(in_key)?).map_err(in_key)?;
    }
    if found.keys.is_empty() {
        return Err(import_error("holds no key for signatures"));
    }
    Ok(found)
}

impl PublicKeys {
    fn push(&mut self, key: PublicKey) -> Result<(), ImportError> {
        match self.keys.iter().find(|known| known.kid == key.kid) {
            Some(known) if *known == key => {}
            Some(_) => return Err(import_error("has the kid of another key of the file")),
            None => self.keys.push(key),
        }
        Ok(())
    }
}

fn of_jwk(jwk: &Jwk, default: Option<KeyAlgorithm>) -> Result<PublicKey, ImportError> {
    let (kind, public) = jwk_material(jwk)?;
    let named = match jwk.alg.as_deref() {
        None => None,
        Some(alg) => {
            let known = alg.parse().ok().filter(|alg| ALGORITHMS.contains(alg));
            Some(known.ok_or_else(|| {
                import_error(format!(
                    "has the unsupported alg {}; supported: {}. The old issuer introspects its tokens until they have expired",
                    alg.chars().take(20).collect::<String>().escape_debug(),
                    supported()
                ))
            })?)
        }
    };
    finished(kind, public, named.or(default), jwk.kid.as_deref())
}

fn jwk_material(jwk: &Jwk) -> Result<(Kind, Vec<u8>), ImportError> {
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => Ok((Kind::Ed25519, jwk::parameter("x", jwk.x.as_deref())?)),
        ("EC", Some("P-256")) => {
            let (x, y) = (
                jwk::coordinate("x", jwk.x.as_deref())?,
                jwk::coordinate("y", jwk.y.as_deref())?,
            );
            Ok((Kind::P256, [&[4][..], &x, &y].concat()))
        }
        ("RSA", _) => {
            let (n, e) = (
                jwk::integer("n", jwk.n.as_deref())?,
                jwk::integer("e", jwk.e.as_deref())?,
            );
            check_rsa_size(n.len() * 8)?;
            Ok((Kind::Rsa, rsa_der(&n, &e)))
        }
        ("oct", _) => Err(import_error(
            "is a symmetric key, which signs as well as it verifies; a public key is required",
        )),
        _ => Err(jwk::unsupported_type(jwk)),
    }
}

fn check_rsa_size(bits: usize) -> Result<(), ImportError> {
    if bits < MIN_RSA_BITS {
        return Err(rsa_size_error("that is too small"));
    }
    if bits > MAX_RSA_BITS {
        return Err(rsa_size_error("that is too large"));
    }
    Ok(())
}

fn read_pem(text: &str, options: ImportOptions<'_>, kid: Option<&str>) -> Result<PublicKey, ImportError> {
    let blocks = pem::blocks(text)?;
    if blocks.iter().any(pem::Block::is_private) {
        let private = pem::read(text, options.passphrase)?;
        let key = super::assign(&private, options.algorithm)?;
        return with_kid(key.algorithm, key.public, kid);
    }
    let is_public = |block: &&pem::Block<'_>| block.label.ends_with("PUBLIC KEY") || block.label == "CERTIFICATE";
    let public: Vec<_> = blocks.iter().filter(is_public).collect();
    let [block] = public.as_slice() else {
        return Err(import_error(match public.len() {
            0 => "holds neither a public key nor a certificate".to_owned(),
            several => format!(
                "holds {several} public keys or certificates; exactly one is allowed: that of the key that signs tokens, without its chain"
            ),
        }));
    };
    let (der, _) = pem::content(block, None)?;
    let damaged = || import_error(format!("holds a damaged block {}", block.label));
    let (key_type, public) = match block.label {
        "RSA PUBLIC KEY" => (Kind::Rsa, der),
        "CERTIFICATE" => of_spki(&certificate_key(&der).ok_or_else(damaged)?)?,
        "PUBLIC KEY" => of_spki(&SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| damaged())?)?,
        _ => return Err(damaged()),
    };
    finished(key_type, public, options.algorithm, kid)
}

/// The public key of a certificate (RFC 5280 section 4.1), of any version: some issuers make certificates of version 1.
fn certificate_key(der: &[u8]) -> Option<SubjectPublicKeyInfoRef<'_>> {
    let certificate = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut parts = SliceReader::new(certificate.value()).ok()?;
    let signed: AnyRef<'_> = parts.decode().ok()?;
    let mut fields = SliceReader::new(signed.value()).ok()?;
    let first: AnyRef<'_> = fields.decode().ok()?;
    // An explicit version comes before the serial number. Then: signature algorithm, issuer, validity, subject.
    let before_key = if first.tag().is_context_specific() { 5 } else { 4 };
    for _ in 0..before_key {
        fields.decode::<AnyRef<'_>>().ok()?;
    }
    fields.decode().ok()
}

fn of_spki(key: &SubjectPublicKeyInfoRef<'_>) -> Result<(Kind, Vec<u8>), ImportError> {
    let kind = match key.algorithm.oid {
        RSA => Kind::Rsa,
        ED25519_ID => Kind::Ed25519,
        EC if key.algorithm.parameters_oid().is_ok_and(|curve| curve == P256) => Kind::P256,
        EC => return Err(import_error("is a key on an unsupported curve; supported: P-256")),
        _ => {
            return Err(import_error(
                "is a key of an unsupported type; supported: Ed25519, P-256, RSA",
            ));
        }
    };
    let bytes = key.subject_public_key.as_bytes();
    let bytes = bytes.ok_or_else(|| import_error("holds a damaged public key"))?;
    Ok((kind, bytes.to_vec()))
}

/// Checks a key and assigns its algorithm and its id.
fn finished(
    key_type: Kind,
    public: Vec<u8>,
    algorithm: Option<KeyAlgorithm>,
    kid: Option<&str>,
) -> Result<PublicKey, ImportError> {
    use KeyAlgorithm::{Ed25519, EdDsa, Es256, Ps256, Rs256};
    let (verification, name, allowed): (&'static dyn VerificationAlgorithm, _, &[KeyAlgorithm]) = match key_type {
        Kind::Ed25519 => (&ED25519, "an Ed25519 key", &[EdDsa, Ed25519]),
        Kind::P256 => (&ECDSA_P256_SHA256_FIXED, "a P-256 key", &[Es256]),
        Kind::Rsa => (&RSA_PKCS1_2048_8192_SHA256, "an RSA key", &[Rs256, Ps256]),
    };
    let names = || allowed.iter().map(|alg| alg.as_str()).collect::<Vec<_>>();
    if ParsedPublicKey::new(verification, &public).is_err() || matches!(key_type, Kind::Ed25519 if public.len() != 32) {
        return Err(match key_type {
            Kind::Rsa => rsa_size_error("that is damaged or of an unsupported size"),
            _ => import_error(format!("is not {name}: its parameters are not a point on the curve")),
        });
    }
    let algorithm = match (algorithm, allowed) {
        (Some(algorithm), _) if allowed.contains(&algorithm) => algorithm,
        (Some(other), _) => {
            return Err(import_error(format!(
                "is {name}, which cannot verify {other}; allowed: {}",
                names().join(", ")
            )));
        }
        (None, [only]) => *only,
        (None, _) => {
            let reason = format!("is {name}, which can verify {}", names().join(" or "));
            return Err(missing(Missing::Algorithm, reason));
        }
    };
    with_kid(algorithm, public, kid)
}

fn with_kid(algorithm: KeyAlgorithm, public: Vec<u8>, kid: Option<&str>) -> Result<PublicKey, ImportError> {
    if !ALGORITHMS.contains(&algorithm) {
        return Err(import_error(format!(
            "cannot verify only {algorithm}; supported: {}",
            supported()
        )));
    }
    if kid.is_some_and(|kid| !jwk::is_kid(kid)) {
        return Err(jwk::invalid_kid());
    }
    let kid = kid.map(str::to_owned).or_else(|| jwt::thumbprint(algorithm, &public));
    Ok(PublicKey {
        kid: kid.ok_or_else(|| import_error("holds a damaged public key"))?,
        algorithm,
        public,
    })
}

fn supported() -> String {
    ALGORITHMS.map(KeyAlgorithm::as_str).join(", ")
}

impl Jwk {
    /// Whether it says that it is for something else than signatures.
    fn cannot_verify(&self) -> bool {
        let is_for_signatures = |operation: &String| operation == "verify" || operation == "sign";
        self.usage.as_deref().is_some_and(|usage| usage != "sig")
            || self
                .key_ops
                .as_ref()
                .is_some_and(|operations| !operations.iter().any(is_for_signatures))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use serde_json::json;

    use super::*;
    use crate::tokens::BASE64URL;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn read(value: &Value, kids: &[&str]) -> Result<PublicKeys, String> {
        let kids: Vec<String> = kids.iter().map(|kid| (*kid).to_owned()).collect();
        read_public(&value.to_string(), ImportOptions::default(), &kids).map_err(|error| error.to_string())
    }

    fn ed25519(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": X, "alg": "EdDSA", "kid": kid})
    }

    #[test]
    fn every_key_of_a_set_is_taken_and_keys_for_encryption_are_named() {
        let n = BASE64URL.encode([0xc1_u8; 256]);
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "use": "sig", "kid": "public:hydra.jwt"});
        let for_encryption = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RSA-OAEP", "use": "enc", "kid": "enc"});
        let mut private = ed25519("A1B2");
        private["d"] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into();
        let set = json!({"keys": [rsa, for_encryption, private, private]});
        let found = read(&set, &[]).unwrap();
        let named: Vec<_> = found.keys.iter().map(|key| (key.kid.as_str(), key.algorithm)).collect();
        assert_eq!(
            named,
            [("public:hydra.jwt", KeyAlgorithm::Rs256), ("A1B2", KeyAlgorithm::EdDsa)]
        );
        assert_eq!(found.skipped, ["enc"]);
        assert_eq!(read(&set, &["A1B2"]).unwrap().keys.len(), 1);
    }

    #[test]
    fn unusable_keys_are_rejected_with_their_place() {
        let with = |name: &str, value: Value| {
            let mut key = ed25519("k");
            key[name] = value;
            json!({"keys": [ed25519("first"), key]})
        };
        for (set, reason) in [
            (
                with("alg", "RS512".into()),
                r"keys[1] (kid k) has the unsupported alg RS512",
            ),
            (with("alg", "HS256".into()), "unsupported alg HS256"),
            (with("alg", "v4.public".into()), "unsupported alg v4.public"),
            (with("alg", "ES256".into()), "cannot verify ES256"),
            (with("alg", Value::Null), "can verify EdDSA or Ed25519"),
            (with("x", "AAAA".into()), "is not an Ed25519 key"),
            (with("kid", "a\nb".into()), "invalid kid"),
            (with("kty", "oct".into()), "symmetric"),
            (with("crv", "Ed448".into()), "Ed448"),
            (
                json!({"keys": [ed25519("k"), {"kty": "EC", "crv": "P-256", "x": X, "y": X, "kid": "k"}]}),
                "not a point",
            ),
            (json!({"keys": []}), "no key for signatures"),
            (json!({"keys": 5}), "not a list"),
        ] {
            let error = read(&set, &[]).unwrap_err();
            assert!(error.contains(reason), "{error:?} lacks {reason:?}");
        }
        let twice = r#"{"kty": "OKP", "kid": "a",
            "kid": "b"}"#;
        let error = read_public(twice, ImportOptions::default(), &[]).unwrap_err();
        assert_eq!(error.to_string(), "has the member kid twice in line 2");
        assert!(
            read(&json!({"keys": [ed25519("k")]}), &["other"])
                .unwrap_err()
                .contains("no key with the kid other")
        );
    }
}
