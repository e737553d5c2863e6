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

/// The strength from which a fast hash protects a secret, bits.
pub const STRONG_BITS: u32 = 128;

/// Whether a fast hash protects a secret that somebody else chose: by its length and characters it has [`STRONG_BITS`].
pub fn is_strong(secret: &str) -> bool {
    strength_bits(secret) >= STRONG_BITS
}

/// The characters of a run of the same character that count. Random secrets have longer runs less often than once in 10⁶.
const MAX_RUN: usize = 6;

/// The strength of a secret whose characters were drawn from the smallest of these alphabets that has them all: digits; hexadecimal digits of
/// one case; letters of one case; these with digits; letters; letters and digits; base64; printable ASCII. Hyphens between hexadecimal
/// digits, as in a UUID, add nothing; neither does the rest of a long run of one character, nor a part that repeats the beginning. A
/// secret with other characters than ASCII has none: their alphabet is not known, and they are several bytes each. Whether it was drawn at
/// random is not known.
fn strength_bits(secret: &str) -> u32 {
    if !secret.is_ascii() {
        return 0;
    }
    let secret = once(secret);
    let has = |class: fn(&u8) -> bool| secret.bytes().any(|byte| class(&byte));
    let all = |class: fn(&u8) -> bool| secret.bytes().all(|byte| class(&byte));
    let (digits, lower, upper) = (
        has(u8::is_ascii_digit),
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
    );
    let is_hexadecimal = digits && !(lower && upper) && all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let hyphens = secret.bytes().filter(|byte| *byte == b'-').count();
    let (length, alphabet) = if all(u8::is_ascii_digit) {
        (secret.len(), 10)
    } else if is_hexadecimal {
        (secret.len() - hyphens, 16)
    } else if all(u8::is_ascii_alphanumeric) {
        let letters = 26 * (u32::from(lower) + u32::from(upper));
        (secret.len(), letters + 10 * u32::from(digits))
    } else if all(|byte| byte.is_ascii_alphanumeric() || b"-_+/=".contains(byte)) {
        (secret.len(), 64)
    } else {
        (secret.len(), 95)
    };
    let length = length.saturating_sub(beyond_runs(secret));
    (length as f64 * f64::from(alphabet).log2()) as u32
}

/// The part that a text repeats at least twice; the text, if it repeats none.
fn once(text: &str) -> &str {
    let bytes = text.as_bytes();
    let period = (1..=bytes.len() / 2).find(|period| bytes.iter().skip(*period).eq(&bytes[..bytes.len() - period]));
    period.and_then(|period| text.get(..period)).unwrap_or(text)
}

/// The characters of runs after their first [`MAX_RUN`].
fn beyond_runs(text: &str) -> usize {
    let runs = text.as_bytes().chunk_by(|one, next| one == next);
    runs.map(|run| run.len().saturating_sub(MAX_RUN)).sum()
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
    fn strength_follows_from_length_and_alphabet() {
        for (secret, bits) in [
            ("", 0),
            ("0123456789", 33),
            ("0123456789abcdef0123456789abcdef", 64),
            ("0123456789abcdeffedcba9876543210", 128),
            ("****************************************", 6),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 32),
            ("secretsecretsecretsecretsecretsecretsecret", 28),
            ("Xy7Xy7Xy7Xy7Xy7Xy7Xy7X", 17),
            ("550e8400-e29b-41d4-a716-446655440000", 128),
            ("550E8400-e29b-41d4-a716-446655440000", 216),
            ("abcdefghijklmnopqrstuvwxyz", 122),
            ("k3yk3yk3yk3yk3yk3yk4y", 108),
            ("Xy7Xy8Xy9Xy7Xy7Xy7Xy7X", 130),
            ("Xy7-Xy7_Xy8-Xy7_Xy9-Xy", 132),
            ("a secret of 19 char", 124),
            ("a secret of 20 chars", 131),
            ("парольпарол", 0),
            ("Xy7-Xy7_Xy7-Xy7_Xy7-Xy€", 0),
        ] {
            assert_eq!(strength_bits(secret), bits, "{secret}");
            assert_eq!(is_strong(secret), bits >= 128, "{secret}");
        }
    }

    #[test]
    fn hash_is_sha_256() {
        assert_eq!(hash("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
