//! Converts stored keys into key material of the cryptographic library: key pairs, or public keys alone.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaEncoding, VerificationAlgorithm,
};
use oauth2_store::model::{KeyAlgorithm, SigningAlg, StoredKey};

use crate::tokens::{jwt, paseto};

/// A PASETO key. `private`: its seed, if this node unwrapped it. `None` if the key is damaged, or private and public key do not
/// match.
pub(super) fn paseto_key(key: &StoredKey, private: Option<&[u8]>) -> Option<paseto::KeyMaterial> {
    match private {
        Some(private) => ed25519(key, private).map(paseto::KeyMaterial::KeyPair),
        None => parsed(&ED25519, key).map(paseto::KeyMaterial::PublicKey),
    }
}

/// A JWT key and the algorithm that it signs with. `private`: the seed (Ed25519) or PKCS #8, if this node unwrapped it. `None` as
/// for [`paseto_key`].
pub(super) fn jwt_signer(key: &StoredKey, private: Option<&[u8]>) -> Option<(jwt::Signer, SigningAlg)> {
    let (algorithm, verification) = jwt_algorithm(key.algorithm);
    let Some(private) = private else {
        return Some((jwt::Signer::Public(Box::new(parsed(verification, key)?)), algorithm));
    };
    let signer = match key.algorithm {
        KeyAlgorithm::EdDsa | KeyAlgorithm::Ed25519 | KeyAlgorithm::PasetoV4Public => {
            jwt::Signer::Ed25519(ed25519(key, private)?)
        }
        KeyAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
            let public = matching(verification, pair.public_key(), key)?;
            jwt::Signer::Es256(Box::new((pair, public)))
        }
        KeyAlgorithm::Rs256 => rsa_signer(&RSA_PKCS1_SHA256, verification, private, key)?,
        KeyAlgorithm::Ps256 => rsa_signer(&RSA_PSS_SHA256, verification, private, key)?,
    };
    Some((signer, algorithm))
}

fn ed25519(key: &StoredKey, private: &[u8]) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_and_public_key(private, &key.public_key).ok()
}

fn rsa_signer(
    encoding: &'static dyn RsaEncoding,
    verification: &'static dyn VerificationAlgorithm,
    private: &[u8],
    key: &StoredKey,
) -> Option<jwt::Signer> {
    let pair = rsa::KeyPair::from_pkcs8(private).ok()?;
    let public = matching(verification, pair.public_key(), key)?;
    Some(jwt::Signer::Rsa(Box::new((pair, public)), encoding))
}

/// The public key; `None` if it is not the public key of the private key.
fn matching(
    algorithm: &'static dyn VerificationAlgorithm,
    public: impl AsRef<[u8]>,
    key: &StoredKey,
) -> Option<ParsedPublicKey> {
    if public.as_ref() != key.public_key {
        return None;
    }
    parsed(algorithm, key)
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, key: &StoredKey) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(algorithm, &key.public_key).ok()
}

/// The verifier of JWTs for a public key in the store's encoding. `None` if it is not a key of the algorithm.
pub(in crate::keys) fn verifier(algorithm: KeyAlgorithm, public_key: &[u8]) -> Option<jwt::Signer> {
    let (_, verification) = jwt_algorithm(algorithm);
    let parsed = ParsedPublicKey::new(verification, public_key).ok()?;
    Some(jwt::Signer::Public(Box::new(parsed)))
}

fn jwt_algorithm(algorithm: KeyAlgorithm) -> (SigningAlg, &'static dyn VerificationAlgorithm) {
    match algorithm {
        KeyAlgorithm::EdDsa | KeyAlgorithm::PasetoV4Public => (SigningAlg::EdDsa, &ED25519),
        KeyAlgorithm::Ed25519 => (SigningAlg::Ed25519, &ED25519),
        KeyAlgorithm::Es256 => (SigningAlg::Es256, &ECDSA_P256_SHA256_FIXED),
        KeyAlgorithm::Rs256 => (SigningAlg::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        KeyAlgorithm::Ps256 => (SigningAlg::Ps256, &RSA_PSS_2048_8192_SHA256),
    }
}
