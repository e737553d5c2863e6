//! The names of schemes.

use std::fmt;
use std::str::FromStr;

/// A scheme of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// bcrypt.
    Bcrypt,
    /// bcrypt of a digest: of SHA-256 in hexadecimal by Django, of HMAC-SHA-256 in base64 by passlib and Authelia.
    BcryptSha256,
    /// PBKDF2 with HMAC-SHA-1: the default of Spring Security before version 5.8.
    Pbkdf2Sha1,
    /// PBKDF2 with HMAC-SHA-256.
    Pbkdf2Sha256,
    /// PBKDF2 with HMAC-SHA-512.
    Pbkdf2Sha512,
    /// Argon2id.
    Argon2id,
    /// Argon2i.
    Argon2i,
    /// scrypt.
    Scrypt,
    /// SHA-crypt with SHA-256.
    Sha256Crypt,
    /// SHA-crypt with SHA-512.
    Sha512Crypt,
    /// SHA-256 of salt and secret, in Spring Security's two ways.
    SpringSha256,
    /// SHA-512 of secret and salt, in Spring Security's way.
    SpringSha512,
    /// Salted SHA-256 of LDAP.
    SaltedSha256,
    /// Salted SHA-512 of LDAP.
    SaltedSha512,
    /// SHA-256 in hexadecimal.
    Sha256Hex,
    /// SHA-256 in base64.
    Sha256Base64,
    /// SHA-512 in hexadecimal.
    Sha512Hex,
    /// SHA-512 in base64.
    Sha512Base64,
    /// The secret itself.
    Plain,
}

/// Every scheme with its name.
const NAMES: &[(Scheme, &str)] = &[
    (Scheme::Bcrypt, "bcrypt"),
    (Scheme::BcryptSha256, "bcrypt-sha256"),
    (Scheme::Pbkdf2Sha1, "pbkdf2-sha1"),
    (Scheme::Pbkdf2Sha256, "pbkdf2-sha256"),
    (Scheme::Pbkdf2Sha512, "pbkdf2-sha512"),
    (Scheme::Argon2id, "argon2id"),
    (Scheme::Argon2i, "argon2i"),
    (Scheme::Scrypt, "scrypt"),
    (Scheme::Sha256Crypt, "sha256-crypt"),
    (Scheme::Sha512Crypt, "sha512-crypt"),
    (Scheme::SpringSha256, "spring-sha256"),
    (Scheme::SpringSha512, "spring-sha512"),
    (Scheme::SaltedSha256, "ssha256"),
    (Scheme::SaltedSha512, "ssha512"),
    (Scheme::Sha256Hex, "sha256-hex"),
    (Scheme::Sha256Base64, "sha256-base64"),
    (Scheme::Sha512Hex, "sha512-hex"),
    (Scheme::Sha512Base64, "sha512-base64"),
    (Scheme::Plain, "plain"),
];

impl Scheme {
    /// The name.
    pub fn as_str(self) -> &'static str {
        let known = NAMES.iter().find(|(scheme, _)| *scheme == self);
        known.map_or("", |(_, name)| name)
    }

    /// Every scheme.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(scheme, _)| *scheme)
    }

    /// All names, for errors.
    pub(super) fn names() -> String {
        let names: Vec<_> = Self::all().map(Self::as_str).collect();
        names.join(", ")
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(_, name)| *name == text);
        known
            .map(|(scheme, _)| *scheme)
            .ok_or_else(|| format!("must be one of {}", Self::names()))
    }
}
