//! Why a signing key cannot be used.

use super::wrapping::UnwrapError;

/// Why a stored key cannot be used, or a new one cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// None of the configured key encryption keys unwraps it.
    #[error(transparent)]
    Wrapped(#[from] UnwrapError),
    /// It unwraps, but is not a key of its algorithm, or its private and public key do not match. The key id.
    #[error("signing key {0} is damaged")]
    Damaged(String),
    /// The cryptographic library could not generate a key.
    #[error("cannot generate a signing key")]
    Generate,
}
