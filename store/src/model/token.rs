//! Access tokens and their rows in the ledger.

use std::sync::Arc;

use uuid::Uuid;

use super::key::KeyAlgorithm;
use super::names::names;

/// Maximum lifetime of an access token: 30 days, in seconds. It bounds the number of partitions and how long revocations
/// are kept.
pub const MAX_TOKEN_LIFETIME: i64 = 30 * 24 * 3600;

names! {
    /// Format of an access token.
    TokenFormat {
        /// PASETO `v4.public`: self-contained, Ed25519.
        Paseto = "paseto",
        /// JWT profile of RFC 9068 (`at+jwt`): self-contained.
        Jwt = "jwt",
        /// Random reference to a row of the ledger.
        Opaque = "opaque",
    }
}

names! {
    /// Signature or MAC algorithm of a JWT access token.
    SigningAlg {
        /// Ed25519, by the name of RFC 8037.
        EdDsa = "EdDSA",
        /// Ed25519, by its fully-specified name (RFC 9864).
        Ed25519 = "Ed25519",
        /// ECDSA on P-256 with SHA-256 (RFC 7518).
        Es256 = "ES256",
        /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518).
        Rs256 = "RS256",
        /// RSASSA-PSS with SHA-256 (RFC 7518).
        Ps256 = "PS256",
        /// HMAC with SHA-256 (RFC 7518), with a secret shared with the verifiers.
        Hs256 = "HS256",
    }
}

impl SigningAlg {
    /// Whether signing takes too long for a worker thread.
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::Rs256 | Self::Ps256)
    }

    /// Algorithm of the stored key that signs; `None` for a shared secret.
    pub const fn key_algorithm(self) -> Option<KeyAlgorithm> {
        match self {
            Self::EdDsa => Some(KeyAlgorithm::EdDsa),
            Self::Ed25519 => Some(KeyAlgorithm::Ed25519),
            Self::Es256 => Some(KeyAlgorithm::Es256),
            Self::Rs256 => Some(KeyAlgorithm::Rs256),
            Self::Ps256 => Some(KeyAlgorithm::Ps256),
            Self::Hs256 => None,
        }
    }
}

names! {
    /// The `typ` header parameter of a JWT access token. One key signs both; each has its own header.
    TokenTyp {
        /// RFC 9068 section 2.1.
        AtJwt = "at+jwt",
        /// For verifiers that reject any other.
        Jwt = "JWT",
    }
}

names! {
    /// Whether issued tokens are recorded.
    Ledger {
        /// One row per token, committed before the response.
        Durable = "durable",
        /// No row; only for self-contained tokens.
        Stateless = "stateless",
    }
}

/// One row of the ledger to be written. There is no `iat` column: it is the time in the `jti`, rounded down to seconds, unless the clock
/// was set back.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Token id, a UUIDv7.
    pub jti: Uuid,
    /// When the token expires.
    pub expires_at: i64,
    /// The client it was issued to.
    pub client_id: Arc<str>,
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
    /// The audience.
    pub audience: Arc<str>,
    /// Format of the token.
    pub format: TokenFormat,
    /// SHA-256 of an opaque token's secret part; `None` for self-contained tokens.
    pub secret_hash: Option<[u8; 32]>,
}

/// An entry that a ledger writer commits.
///
/// A grant that redeems an authorization code or a refresh token gets a variant of its own: the statement that writes the
/// token also marks what is redeemed as used, so that the store decides about single use.
#[derive(Debug, Clone)]
pub enum LedgerEntry {
    /// Records a token.
    Issue(TokenRecord),
}

/// One row of the ledger as read.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// The recorded token.
    pub record: TokenRecord,
    /// The user it was issued for; `None` if the client acts on its own behalf.
    pub user_id: Option<String>,
}

/// The latest time, in Unix seconds, at which an unrecorded token with this id can expire. An id from the future counts as
/// created at `now`; otherwise the caller could choose how long the revocation log keeps its row.
pub fn latest_expiry(jti: &Uuid, now: i64) -> i64 {
    ((uuid_v7_ms(jti) / 1000) as i64).min(now) + MAX_TOKEN_LIFETIME
}

/// Unix milliseconds in the first 48 bits of a UUIDv7 (RFC 9562 section 5.7).
pub fn uuid_v7_ms(id: &Uuid) -> u64 {
    (id.as_u128() >> 80) as u64
}

/// The smallest UUIDv7 of a millisecond: every id of an earlier millisecond is smaller.
pub fn uuid_of_ms(ms: u64) -> Uuid {
    Uuid::from_u128((u128::from(ms) << 80) | (7 << 76))
}

/// Bits of a token id that hold the version of the client.
const CLIENT_VERSION_BITS: u32 = 20;

/// The greatest version of a client that a token id can hold; later versions count as this one.
const MAX_CLIENT_VERSION: u32 = (1 << CLIENT_VERSION_BITS) - 1;

/// A token id with the version of the client that its token was decided by, in the first 20 of its 74 free bits. The other 54
/// remain random.
pub fn with_client_version(id: Uuid, version: i64) -> Uuid {
    let version = u128::from(saturated(version));
    // 12 bits follow the version of the UUID, 8 its variant.
    let bits = ((version >> 8) << 64) | ((version & 0xff) << 54);
    Uuid::from_u128((id.as_u128() & !((0xfff << 64) | (0xff << 54))) | bits)
}

/// Whether a token was decided by an earlier version of its client.
pub fn is_before_client_version(jti: &Uuid, version: i64) -> bool {
    let bits = jti.as_u128();
    let decided_by = ((bits >> 64) as u32 & 0xfff) << 8 | ((bits >> 54) as u32 & 0xff);
    decided_by < saturated(version)
}

fn saturated(version: i64) -> u32 {
    u32::try_from(version.max(0)).map_or(MAX_CLIENT_VERSION, |version| version.min(MAX_CLIENT_VERSION))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_id_holds_the_version_of_its_client_and_stays_a_uuid_v7() {
        let random =
            Uuid::from_u128((1_700_000_000_000 << 80) | (7 << 76) | (0xabc << 64) | (2 << 62) | 0x3fff_ffff_ffff_ffff);
        for version in [0, 1, 255, 256, 4096, 0xf_fffe] {
            let id = with_client_version(random, version);
            assert_eq!((id.get_version_num(), uuid_v7_ms(&id)), (7, 1_700_000_000_000));
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert!(!is_before_client_version(&id, version) && is_before_client_version(&id, version + 1));
        }
        let last = with_client_version(random, i64::MAX);
        assert!(
            !is_before_client_version(&last, i64::MAX)
                && is_before_client_version(&with_client_version(random, 7), i64::MAX)
        );
        let free = with_client_version(random, 0).as_u128() & ((1 << 54) - 1);
        assert_eq!(free, random.as_u128() & ((1 << 54) - 1));
    }

    #[test]
    fn names_are_spelled_alike_in_text_and_json() {
        for format in TokenFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(*format));
            assert_eq!(format!("{format:>7}"), format!("{:>7}", format.as_str()));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        let error = "PASETO".parse::<TokenFormat>();
        assert_eq!(error, Err("must be one of paseto, jwt, opaque".to_owned()));
    }
}
