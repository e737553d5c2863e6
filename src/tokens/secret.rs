//! Generated secrets. Their prefix and checksum let leak scanners recognize them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use thiserror::Error;

use super::BASE64URL;

/// Prefix of every generated client secret.
pub const CLIENT_SECRET_PREFIX: &str = "oas_cs_";

/// The operating system provided no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("random bytes are not available from the operating system")]
pub struct NoRandomness;

/// 32 random bytes.
pub fn random_bytes() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// Generates a secret: `prefix`, then 48 characters of base64url for 32 random bytes and their CRC-32 (big-endian).
pub fn generate(prefix: &str) -> Result<String, NoRandomness> {
    Ok(format(prefix, &random_bytes()?))
}

/// Generates a client secret: `oas_cs_` and 48 characters.
pub fn generate_client_secret() -> Result<String, NoRandomness> {
    generate(CLIENT_SECRET_PREFIX)
}

/// SHA-256 of a secret or a token. Only this hash is stored.
pub fn hash(secret: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_ref()).as_ref());
    hash
}

/// Names a secret by its hash, in the audit log: 8 hexadecimal digits that tell the secrets of a client apart, and from which neither
/// the secret nor the hash follows.
pub fn fingerprint(hash: &[u8; 32]) -> String {
    hex::encode(&self::hash(hash)[..4])
}

fn format(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut body = [0; 36];
    body[..32].copy_from_slice(bytes);
    body[32..].copy_from_slice(&crc32fast::hash(bytes).to_be_bytes());
    format!("{prefix}{}", BASE64URL.encode(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_secret_has_prefix_and_checksum() {
        let secret = generate_client_secret().unwrap();
        let body = BASE64URL.decode(secret.strip_prefix("oas_cs_").unwrap()).unwrap();
        assert_eq!(secret.len(), 7 + 48);
        assert_eq!(crc32fast::hash(&body[..32]).to_be_bytes(), body[32..]);
        assert_ne!(secret, generate_client_secret().unwrap());
    }

    #[test]
    fn hash_is_sha_256() {
        assert_eq!(hash("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
