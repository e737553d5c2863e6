//! Texts that other systems store in place of a secret. As a secret such a text would authenticate, and the real one would not.
//!
//! A bare digest in hexadecimal or base64 is not among them: it cannot be told from a generated secret, such as the output of
//! `openssl rand -hex 32`. A digest is declared as `client_secret_sha256`, or as `client_secret_hash` with its scheme.
//!
//! Spaces and quotes around a text are left out first, and a hash is recognized behind a name (`user:$apr1$…`, `password=$2b$…`) and in
//! base64, too.

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD};
use base64::{Engine, alphabet};

/// Beginnings, in lower case, and the scheme that they belong to. More specific ones first.
const PREFIXES: &[(&str, &str)] = &[
    ("$2$", "bcrypt"),
    ("$2a$", "bcrypt"),
    ("$2b$", "bcrypt"),
    ("$2x$", "bcrypt"),
    ("$2y$", "bcrypt"),
    ("$bcrypt", "bcrypt"),
    ("bcrypt$", "bcrypt"),
    ("bcrypt_", "bcrypt"),
    ("$argon2", "Argon2"),
    ("argon2$", "Argon2"),
    ("argon2i", "Argon2"),
    ("argon2d", "Argon2"),
    ("$pbkdf2", "PBKDF2"),
    ("$p5k2$", "PBKDF2"),
    ("pbkdf2_", "PBKDF2"),
    ("pbkdf2:", "PBKDF2"),
    ("pbkdf2$", "PBKDF2"),
    ("pbkdf2-", "PBKDF2"),
    ("$scrypt", "scrypt"),
    ("$s0$", "scrypt"),
    ("$7$", "scrypt"),
    ("scrypt$", "scrypt"),
    ("scrypt:", "scrypt"),
    ("$y$", "yescrypt"),
    ("$gy$", "yescrypt"),
    ("$1$", "MD5-crypt"),
    ("$apr1$", "MD5-crypt"),
    ("$md5", "MD5-crypt"),
    ("md5$", "MD5"),
    ("md5:", "MD5"),
    ("$sha1$", "SHA-1"),
    ("sha1$", "SHA-1"),
    ("sha1:", "SHA-1"),
    ("sha256$", "SHA-256"),
    ("sha256:", "SHA-256"),
    ("sha-256:", "SHA-256"),
    ("sha512$", "SHA-512"),
    ("sha512:", "SHA-512"),
    ("sha-512:", "SHA-512"),
    ("$5$", "SHA-256-crypt"),
    ("$6$", "SHA-512-crypt"),
    ("$3$", "NT hash"),
    ("$nt$", "NT hash"),
    ("scram-sha-", "SCRAM"),
    ("$scram", "SCRAM"),
    ("$a$0", "MySQL"),
    ("$s$", "Drupal"),
    ("$h$", "phpass"),
    ("$p$", "phpass"),
    ("$plaintext$", "plain text"),
    ("$base64$", "plain text in base64"),
    ("grub.pbkdf2.", "PBKDF2"),
];

/// Tags in braces, in lower case and without separators: Spring Security, UAA and LDAP (RFC 2307).
const TAGS: &[(&str, &str)] = &[
    ("bcrypt", "{bcrypt}"),
    ("blfcrypt", "{BLF-CRYPT}"),
    ("noop", "{noop}"),
    ("pbkdf2", "{pbkdf2}"),
    ("scrypt", "{scrypt}"),
    ("argon2", "{argon2}"),
    ("sha256", "{sha256}"),
    ("sha512", "{sha512}"),
    ("sha1", "{sha-1}"),
    ("sha224", "{sha224}"),
    ("sha384", "{sha384}"),
    ("sha3", "{sha-3}"),
    ("sha", "{SHA}"),
    ("ssha256", "{SSHA256}"),
    ("ssha512", "{SSHA512}"),
    ("ssha224", "{SSHA224}"),
    ("ssha384", "{SSHA384}"),
    ("ssha", "{SSHA}"),
    ("smd5", "{SMD5}"),
    ("md5", "{MD5}"),
    ("md4", "{MD4}"),
    ("crypt", "{CRYPT}"),
    ("plain", "{PLAIN}"),
    ("clear", "{CLEARTEXT}"),
    ("fshp", "{FSHP}"),
];

/// Digests by their name, in lower case and without hyphens, and their length in bytes.
const DIGESTS: &[(&str, &str, usize)] = &[
    ("md5", "MD5", 16),
    ("sha1", "SHA-1", 20),
    ("sha224", "SHA-224", 28),
    ("sha256", "SHA-256", 32),
    ("sha384", "SHA-384", 48),
    ("sha512", "SHA-512", 64),
];

/// How many names may stand before a hash, as in a line of `user:realm:hash`.
const MAX_NAMES: usize = 4;

/// The longest such name.
const MAX_NAME: usize = 64;

/// The longest tag in braces.
const MAX_TAG: usize = 40;

/// The scheme of a text that other systems store in place of a secret.
pub fn of(text: &str) -> Option<&'static str> {
    behind_names(text, |rest| {
        in_clear(rest).or_else(|| behind_names(&in_base64(rest)?, in_clear))
    })
}

/// The scheme of a text, or of its rest behind names.
fn behind_names(text: &str, scheme: impl Fn(&str) -> Option<&'static str>) -> Option<&'static str> {
    let mut rest = bare(text);
    for _ in 0..=MAX_NAMES {
        if let Some(scheme) = scheme(rest) {
            return Some(scheme);
        }
        rest = behind_name(rest)?;
    }
    None
}

/// The text without the spaces and quotes around it.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
}

/// The rest behind a name and `:` or `=`.
fn behind_name(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once([':', '='])?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+/\\ \"'".contains(&byte);
    (name.len() <= MAX_NAME && name.bytes().all(is_name)).then(|| bare(rest))
}

/// The text that is in base64. The bytes of a generated secret are no text.
fn in_base64(text: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabets = [&alphabet::STANDARD, &alphabet::URL_SAFE];
    alphabets.into_iter().find_map(|alphabet| {
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let is_text = decoded.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r'));
        is_text.then_some(decoded)
    })
}

fn in_clear(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    if let Some(scheme) = tag(&lower) {
        return Some(scheme);
    }
    // Keycloak stores a password as a JSON document with its hash and the parameters.
    if lower.starts_with(['{', '[']) && serde_json::from_str::<serde_json::Value>(text).is_ok() {
        return Some("a JSON document");
    }
    let known = PREFIXES.iter().find(|(prefix, _)| lower.starts_with(prefix));
    if let Some((_, scheme)) = known {
        return Some(scheme);
    }
    if lower.strip_prefix("md5").is_some_and(|rest| is_hexadecimal(rest, 32)) {
        return Some("MD5 of Postgres");
    }
    if lower.strip_prefix('*').is_some_and(|rest| is_hexadecimal(rest, 40)) {
        return Some("SHA-1 of MySQL");
    }
    // Version 1, then the number of the hash as 32 bits, in base64.
    if text.starts_with("AQAAAA") && text.len() >= 60 {
        return Some("ASP.NET Core Identity");
    }
    if let Some(scheme) = named_digest(&lower, text).or_else(|| of_database(&lower)) {
        return Some(scheme);
    }
    is_modular_crypt(&lower).then_some("the modular crypt format")
}

/// A digest behind its name, such as `sha256=…` or `sha256-…` (Subresource Integrity), in hexadecimal or base64.
fn named_digest(lower: &str, text: &str) -> Option<&'static str> {
    DIGESTS.iter().find_map(|(name, scheme, bytes)| {
        let hyphenated = || lower.strip_prefix("sha-")?.strip_prefix(name.strip_prefix("sha")?);
        let rest = lower.strip_prefix(name).or_else(hyphenated)?.trim_start();
        let rest = rest.strip_prefix([':', '=', '-', '_'])?;
        // Base64 is case-sensitive.
        let digest = bare(&text[text.len() - rest.len()..]);
        let digits = digest.trim_end_matches('=');
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
        let is_digest = is_hexadecimal(digest, 2 * bytes)
            || (digits.len() == (bytes * 8).div_ceil(6) && digits.bytes().all(is_base64));
        is_digest.then_some(*scheme)
    })
}

/// Hashes as databases and content management systems store them.
fn of_database(lower: &str) -> Option<&'static str> {
    let begins_with = |rest: &str, digits: usize| rest.get(..digits).is_some_and(|first| is_hexadecimal(first, digits));
    if lower.strip_prefix("s:").is_some_and(|rest| begins_with(rest, 60))
        || lower.strip_prefix("t:").is_some_and(|rest| begins_with(rest, 160))
    {
        return Some("Oracle");
    }
    let of_sql_server = ["0x0100", "0x0200"]
        .iter()
        .find_map(|version| lower.strip_prefix(version));
    if of_sql_server.is_some_and(|rest| rest.len() >= 48 && is_hexadecimal(rest, rest.len())) {
        return Some("SQL Server");
    }
    // A digest and its salt, as Joomla stores them.
    let (digest, salt) = lower.split_once(':')?;
    let digests = DIGESTS.iter().find(|(_, _, bytes)| is_hexadecimal(digest, 2 * bytes));
    // Two of the same length are an id and a secret.
    let is_salt = !salt.is_empty() && !is_hexadecimal(salt, digest.len());
    digests.filter(|_| is_salt).map(|(_, scheme, _)| *scheme)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A tag in braces before the rest.
fn tag(lower: &str) -> Option<&'static str> {
    let (tag, _) = lower.strip_prefix('{')?.split_once('}')?;
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"-_@.|:=,/+".contains(&byte);
    if !(1..=MAX_TAG).contains(&tag.len()) || !tag.bytes().all(is_tag) {
        return None;
    }
    let name: String = tag.chars().filter(char::is_ascii_alphanumeric).collect();
    let known = TAGS.iter().find(|(known, _)| name.starts_with(known));
    // Tags with parameters are those of known schemes: other texts in braces may begin a random secret.
    let is_plain = tag
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_@.".contains(&byte));
    let unknown = is_plain.then_some("a scheme in braces");
    known.map(|(_, scheme)| *scheme).or(unknown)
}

/// `$id$…$…` or `$id$…`.
fn is_modular_crypt(lower: &str) -> bool {
    let Some((id, rest)) = lower.strip_prefix('$').and_then(|rest| rest.split_once('$')) else {
        return false;
    };
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=16).contains(&id.len()) && id.bytes().all(is_id) && {
        // A salt and a digest, or both in one.
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"./+=".contains(&byte);
        rest.contains('$') || (rest.len() >= 16 && rest.bytes().all(is_base64))
    }
}

#[cfg(test)]
mod tests;
