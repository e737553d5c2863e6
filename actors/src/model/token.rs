//! Access tokens as the ledger knows them.

use std::sync::Arc;

use uuid::Uuid;

use super::names;

names! {
    /// How an access token is written down.
    TokenFormat {
        /// PASETO `v4.public`: self-contained, Ed25519.
        Paseto = "paseto",
        /// JWT after RFC 9068 (`at+jwt`): self-contained, EdDSA or ES256.
        Jwt = "jwt",
        /// A reference: only the server knows what it stands for.
        Opaque = "opaque",
    }
}

names! {
    /// The signature of a JWT access token.
    SigningAlg {
        /// Ed25519 (RFC 8037).
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256 (RFC 7518).
        Es256 = "ES256",
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
