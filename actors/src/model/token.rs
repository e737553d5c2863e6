//! Access tokens as the ledger knows them.

use std::sync::Arc;

use uuid::Uuid;

use super::{KeyAlgorithm, names};

names! {
    /// How an access token is written down.
    TokenFormat {
        /// PASETO `v4.public`: self-contained, Ed25519.
        Paseto = "paseto",
        /// JWT after RFC 9068 (`at+jwt`): self-contained.
        Jwt = "jwt",
        /// A reference: only the server knows what it stands for.
        Opaque = "opaque",
    }
}

names! {
    /// The signature, or the code, of a JWT access token.
    SigningAlg {
        /// Ed25519 (RFC 8037).
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256 (RFC 7518).
        Es256 = "ES256",
        /// RSA with SHA-256, PKCS #1 1.5 (RFC 7518).
        Rs256 = "RS256",
        /// RSA with SHA-256, PSS (RFC 7518).
        Ps256 = "PS256",
        /// HMAC with SHA-256 (RFC 7518) under a secret that is shared with whoever verifies.
        Hs256 = "HS256",
    }
}

impl SigningAlg {
    /// Whether a signature takes so long that a worker must not make it.
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::Rs256 | Self::Ps256)
    }

    /// The key that makes it, of those in the store; `None` for what a shared secret makes.
    pub const fn key(self) -> Option<KeyAlgorithm> {
        match self {
            Self::EdDsa => Some(KeyAlgorithm::EdDsa),
            Self::Es256 => Some(KeyAlgorithm::Es256),
            Self::Rs256 => Some(KeyAlgorithm::Rs256),
            Self::Ps256 => Some(KeyAlgorithm::Ps256),
            Self::Hs256 => None,
        }
    }
}

names! {
    /// Whether an issued token is recorded before it is answered.
    Ledger {
        /// One row a token, committed before the answer.
        Durable = "durable",
        /// No row: for self-contained tokens only.
        Stateless = "stateless",
    }
}

/// One row of the ledger on its way in. `iat` is not here: it is the millisecond stamp of the `jti`, rounded down.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Token id, a UUIDv7.
    pub jti: Uuid,
    /// When the token stops being valid.
    pub expires_at: i64,
    /// The client it was issued to.
    pub client_id: Arc<str>,
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
    /// The one audience.
    pub audience: Arc<str>,
    /// How it is written down.
    pub format: TokenFormat,
    /// SHA-256 of an opaque token's secret part; `None` for self-contained tokens.
    pub secret_hash: Option<[u8; 32]>,
}

/// One row of the ledger as read back.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// What was recorded.
    pub record: TokenRecord,
    /// The user it was issued for; `None` where the client acts for itself.
    pub user_id: Option<String>,
}

/// The latest moment, in Unix seconds, at which a token that has this id and no record may expire. An id from the future
/// counts as made now: the revocation log would else remember it for as long as it pleased.
pub fn latest_expiry(jti: &Uuid, now: i64) -> i64 {
    ((uuid_v7_ms(jti) / 1000) as i64).min(now) + super::MAX_TOKEN_LIFETIME
}

/// Unix milliseconds that a UUIDv7 carries in its first 48 bits (RFC 9562 section 5.7).
pub fn uuid_v7_ms(id: &Uuid) -> u64 {
    (id.as_u128() >> 80) as u64
}

/// The least UUIDv7 of a millisecond: every id of an earlier one is less.
pub fn uuid_of_ms(ms: u64) -> Uuid {
    Uuid::from_u128((u128::from(ms) << 80) | (7 << 76))
}
