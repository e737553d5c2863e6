//! Opaque access tokens: a reference with 256 secret bits.
//!
//! `oas_at_` and 76 characters of base64url: 16 bytes of `jti`, 5 of expiry (Unix seconds, big-endian), 32 of secret, and the
//! CRC-32 (big-endian) of the 53 before it. Id and expiry lead to the row in one partition; the checksum lets leak scanners
//! tell a token from noise, and the server refuse noise without a query. 57 bytes fill 76 characters without a spare bit.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use oauth2_actors::model::TokenRecord;
use uuid::Uuid;

use super::{BASE64URL, secret};

/// What every such token begins with.
pub const PREFIX: &str = "oas_at_";

const BODY_BYTES: usize = 16 + 5 + 32;

/// An opaque token taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// Token id.
    pub jti: Uuid,
    /// Expiry, Unix seconds. Only a hint until the row agrees.
    pub expires_at: i64,
    /// SHA-256 of the secret bytes: what the ledger keeps.
    pub secret_hash: [u8; 32],
}

impl Reference {
    /// Whether a row of the ledger is this token's: whoever knows an id does not know the secret.
    pub fn is_of(&self, record: &TokenRecord) -> bool {
        let proven = record
            .secret_hash
            .is_some_and(|hash| verify_slices_are_equal(&hash, &self.secret_hash).is_ok());
        proven && record.jti == self.jti && record.expires_at == self.expires_at
    }
}

/// Writes a token around 32 fresh random bytes.
pub fn format(jti: Uuid, expires_at: i64, secret: &[u8; 32]) -> String {
    let mut bytes = [0; BODY_BYTES + 4];
    bytes[..16].copy_from_slice(jti.as_bytes());
    bytes[16..21].copy_from_slice(&expires_at.to_be_bytes()[3..]);
    bytes[21..BODY_BYTES].copy_from_slice(secret);
    let sum = crc32fast::hash(&bytes[..BODY_BYTES]);
    bytes[BODY_BYTES..].copy_from_slice(&sum.to_be_bytes());
    let mut token = String::with_capacity(PREFIX.len() + 76);
    token.push_str(PREFIX);
    BASE64URL.encode_string(bytes, &mut token);
    token
}

/// Takes a token apart; `None` when it has another shape or its checksum is wrong.
pub fn parse(token: &str) -> Option<Reference> {
    let mut bytes = [0; BODY_BYTES + 4];
    let encoded = token.strip_prefix(PREFIX).filter(|text| text.len() == 76)?;
    if BASE64URL.decode_slice(encoded, &mut bytes).ok()? != bytes.len() {
        return None;
    }
    let (body, sum) = bytes.split_at(BODY_BYTES);
    if crc32fast::hash(body).to_be_bytes() != sum {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(jti in any::<u128>(), expires_at in 0..(1_i64 << 40), secret in any::<[u8; 32]>()) {
            let token = format(Uuid::from_u128(jti), expires_at, &secret);
            let expected = Reference { jti: Uuid::from_u128(jti), expires_at, secret_hash: crate::tokens::secret::hash(secret) };
            prop_assert_eq!(parse(&token), Some(expected));
        }

        #[test]
        fn any_changed_character_is_seen(at in 7_usize..83, to in "[A-Za-z0-9_-]") {
            let token = format(Uuid::from_u128(7), 1_800_000_000, &[3; 32]);
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assert!(changed == token || parse(&changed).is_none());
        }
    }
}
