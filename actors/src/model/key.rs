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
        /// JWT, RSA with SHA-256 and the padding of PKCS #1 1.5.
        Rs256 = "RS256",
        /// JWT, RSA with SHA-256 and probabilistic padding.
        Ps256 = "PS256",
    }
}

impl KeyAlgorithm {
    /// Those that every store has a key of. Of the others a key is made when a client first wants one.
    pub const ALWAYS: [Self; 3] = [Self::PasetoV4Public, Self::EdDsa, Self::Es256];
}

/// One row of `signing_keys`. When it signs is a matter of its times alone: of the keys of an algorithm whose
/// `signs_from_ms` has come, the one with the latest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Key id: a PASERK id (`k4.pid.…`) for PASETO, a JWK thumbprint (RFC 7638) for JWT.
    pub kid: String,
    /// What it signs.
    pub algorithm: KeyAlgorithm,
    /// Ed25519: the 32 bytes of the point. P-256: the uncompressed point, 65 bytes. RSA: `RSAPublicKey` in DER (RFC 8017).
    pub public_key: Vec<u8>,
    /// The private key, encrypted under the key-encryption key. Opaque to the store.
    pub sealed_private_key: String,
    /// When it was made, and so published.
    pub created_at: i64,
    /// From when it signs, Unix milliseconds.
    pub signs_from_ms: i64,
    /// The longest life of the tokens that it signs, seconds: it is kept so long after it last signed.
    pub token_lifetime: i64,
}

/// A key that is taken away at once, and what signs in its place.
#[derive(Debug, Clone)]
pub struct KeyRevocation {
    /// The key.
    pub kid: String,
    /// Unix milliseconds: from now on it does not sign.
    pub now_ms: u64,
    /// Signs at once if no key is published already that could.
    pub replacement: StoredKey,
}
