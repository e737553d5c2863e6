//! Signing keys as stored: the private part only ever sealed.

use super::names;

names! {
    /// What a key signs. A key signs one kind of token only.
    KeyAlgorithm {
        /// PASETO `v4.public`.
        PasetoV4Public = "v4.public",
        /// JWT, Ed25519.
        EdDsa = "EdDSA",
        /// JWT, ECDSA P-256 with SHA-256.
        Es256 = "ES256",
    }
}

/// One row of `signing_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Key id: a PASERK id (`k4.pid.…`) for PASETO, a JWK thumbprint (RFC 7638) for JWT.
    pub kid: String,
    /// What it signs.
    pub algorithm: KeyAlgorithm,
    /// Ed25519: the 32 bytes of the point. P-256: the uncompressed point, 65 bytes.
    pub public_key: Vec<u8>,
    /// The private key, encrypted under the key-encryption key. Opaque to the store.
    pub sealed_private_key: String,
    /// When it was made.
    pub created_at: i64,
}
