//! Opaque access tokens: a reference to a ledger row, with a 256-bit secret.
//!
//! `oas_at_`, then 76 characters of base64url for 57 bytes: `jti` (16), expiry (5, Unix seconds, big-endian), secret (32), and
//! the CRC-32 of these 53 bytes (4, big-endian). Id and expiry locate the row in a single partition. The checksum lets leak
//! scanners recognize a token, and the server reject a mistyped one without a query.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use oauth2_store::model::TokenRecord;
use uuid::Uuid;

use super::{BASE64URL, secret};

/// Prefix of every opaque access token.
pub const PREFIX: &str = "oas_at_";

const BODY_BYTES: usize = 16 + 5 + 32;

/// The decoded content of an opaque token.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// Token id.
    pub jti: Uuid,
    /// Expiry, Unix seconds. Unverified until compared with the row.
    pub expires_at: i64,
    /// SHA-256 of the secret, as stored in the ledger.
    pub secret_hash: [u8; 32],
}

impl Reference {
    /// Whether a ledger row is the row of this token: the id, the expiry and the hash of the secret are equal. An id without its
    /// secret proves nothing.
    pub fn matches(&self, record: &TokenRecord) -> bool {
        let secret_matches = record
            .secret_hash
            .is_some_and(|hash| verify_slices_are_equal(&hash, &self.secret_hash).is_ok());
        secret_matches && record.jti == self.jti && record.expires_at == self.expires_at
    }
}

/// Encodes a token. `secret`: random bytes, different for each token.
pub fn format(jti: Uuid, expires_at: i64, secret: &[u8; 32]) -> String {
    let mut bytes = [0; BODY_BYTES + 4];
    bytes[..16].copy_from_slice(jti.as_bytes());
    bytes[16..21].copy_from_slice(&expires_at.to_be_bytes()[3..]);
    bytes[21..BODY_BYTES].copy_from_slice(secret);
    let checksum = crc32fast::hash(&bytes[..BODY_BYTES]);
    bytes[BODY_BYTES..].copy_from_slice(&checksum.to_be_bytes());
    let mut token = String::with_capacity(PREFIX.len() + 76);
    token.push_str(PREFIX);
    BASE64URL.encode_string(bytes, &mut token);
    token
}

/// Decodes a token. `None` if its prefix, length, encoding or checksum is wrong.
pub fn parse(token: &str) -> Option<Reference> {
    let mut bytes = [0; BODY_BYTES + 4];
    let encoded = token.strip_prefix(PREFIX).filter(|text| text.len() == 76)?;
    if BASE64URL.decode_slice(encoded, &mut bytes).ok()? != bytes.len() {
        return None;
    }
    let (body, checksum) = bytes.split_at(BODY_BYTES);
    if crc32fast::hash(body).to_be_bytes() != checksum {
        return None;
    }
    let mut expires_at = [0; 8];
    expires_at[3..].copy_from_slice(&body[16..21]);
    Some(Reference {
        jti: Uuid::from_slice(&body[..16]).ok()?,
        expires_at: i64::from_be_bytes(expires_at),
        secret_hash: secret::hash(&body[21..]),
    })
}

/// Whether a text has the encoded part of a token at its beginning or end, up to a few characters: a token without its prefix, or with a
/// part of it.
pub fn may_contain(text: &str) -> bool {
    const LENGTH: usize = 76;
    const SLACK: usize = 4;
    let is_at = |start: usize| {
        let encoded = text.get(start..start + LENGTH);
        encoded.is_some_and(|encoded| parse(&format!("{PREFIX}{encoded}")).is_some())
    };
    let last = text.len().saturating_sub(LENGTH);
    (0..=last.min(SLACK))
        .chain(last.saturating_sub(SLACK)..=last)
        .any(is_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parse_inverts_format(jti in any::<u128>(), expires_at in 0..(1_i64 << 40), secret in any::<[u8; 32]>()) {
            let token = format(Uuid::from_u128(jti), expires_at, &secret);
            let expected = Reference { jti: Uuid::from_u128(jti), expires_at, secret_hash: crate::tokens::secret::hash(secret) };
            prop_assert_eq!(parse(&token), Some(expected));
        }

        #[test]
        fn changed_character_is_rejected(at in 7_usize..83, to in "[A-Za-z0-9_-]") {
            let token = format(Uuid::from_u128(7), 1_800_000_000, &[3; 32]);
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assert!(changed == token || parse(&changed).is_none());
        }
    }
}
