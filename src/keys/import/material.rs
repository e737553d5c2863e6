//! A key pair that is being imported, and why one cannot be.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use thiserror::Error;

/// Why a key cannot be imported. The text completes a sentence that begins with the source of the key, such as
/// `key.pem is encrypted; …`, and contains nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct ImportError {
    reason: String,
    missing: Option<Missing>,
}

/// What a caller could add so that the key can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The algorithm: the key fits several.
    Algorithm,
    /// The passphrase: the key is encrypted.
    Passphrase,
    /// The key id: the text holds several keys.
    KeyId,
}

impl ImportError {
    /// The same error, of a part of the source. `part`: such as `keys[1] `.
    pub(super) fn within(self, part: &str) -> Self {
        Self {
            reason: format!("{part}{}", self.reason),
            missing: self.missing,
        }
    }

    /// What a caller could add so that the key can be imported.
    pub fn missing(&self) -> Option<Missing> {
        self.missing
    }
}

pub(super) fn import_error(reason: impl Into<String>) -> ImportError {
    ImportError {
        reason: reason.into(),
        missing: None,
    }
}

pub(super) fn missing(what: Missing, reason: impl Into<String>) -> ImportError {
    ImportError {
        reason: reason.into(),
        missing: Some(what),
    }
}

/// A key pair by its type. The algorithm that it signs with is assigned later.
pub(super) enum Material {
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// ECDSA on P-256.
    P256(EcdsaKeyPair),
    /// RSA.
    Rsa(rsa::KeyPair),
}

/// Allowed sizes of an RSA key, bits.
pub(super) const MIN_RSA_BITS: usize = 2048;
pub(super) const MAX_RSA_BITS: usize = 8192;

/// An RSA key that was read, if its size is allowed.
pub(super) fn checked_rsa<E: std::fmt::Display>(read: Result<rsa::KeyPair, E>) -> Result<Material, ImportError> {
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

/// `problem`: a clause that follows `an RSA key`.
pub(super) fn rsa_size_error(problem: &str) -> ImportError {
    import_error(format!(
        "holds an RSA key {problem}; allowed: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
    ))
}
