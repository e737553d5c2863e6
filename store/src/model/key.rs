//! Signing keys as stored; private keys only wrapped.

use super::names::names;

names! {
    /// Algorithm of a key. Each key signs one kind of token only.
    KeyAlgorithm {
        /// PASETO `v4.public`.
        PasetoV4Public = "v4.public",
        /// JWT, Ed25519, by the name of RFC 8037.
        EdDsa = "EdDSA",
        /// JWT, Ed25519, by its fully-specified name (RFC 9864). A JWK names one algorithm, so it is a key of its own.
        Ed25519 = "Ed25519",
        /// JWT, ECDSA P-256 with SHA-256.
        Es256 = "ES256",
        /// JWT, RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// JWT, RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
    }
}

impl KeyAlgorithm {
    /// Algorithms that every store has a key for. A key of another algorithm is created when a client first uses it.
    pub const REQUIRED: [Self; 3] = [Self::PasetoV4Public, Self::EdDsa, Self::Es256];
}

/// One row of `signing_keys`. The active key of an algorithm follows from times alone: it is the key with the latest
/// `signs_from_ms` that is not in the future.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Key id: a PASERK id (`k4.pid.…`) for PASETO, a JWK thumbprint (RFC 7638) for JWT.
    pub kid: String,
    /// Algorithm.
    pub algorithm: KeyAlgorithm,
    /// Ed25519: the 32 bytes of the point. P-256: the uncompressed point, 65 bytes. RSA: `RSAPublicKey` in DER (RFC 8017).
    pub public_key: Vec<u8>,
    /// The private key, encrypted under the key encryption key. Opaque to the store.
    pub wrapped_private_key: String,
    /// When the key was created and published.
    pub created_at: i64,
    /// When the key becomes active, Unix milliseconds.
    pub signs_from_ms: i64,
    /// The longest lifetime, in seconds, of the tokens that it signs: a retired key is kept this long.
    pub token_lifetime: i64,
    /// Whether it may become active earlier: as soon as every recent caller of its key set has fetched it.
    pub when_seen: bool,
}

/// Revocation of a key, and the key that replaces it.
#[derive(Debug, Clone)]
pub struct KeyRevocation {
    /// Id of the revoked key.
    pub kid: String,
    /// Time of the revocation, Unix milliseconds.
    pub now_ms: u64,
    /// Keys for the algorithms that the revoked key signs for: added and activated at once, unless a published key can be activated
    /// instead. None for a key that only verifies.
    pub replacements: Vec<StoredKey>,
}
