//! Hashes of client secrets that other products stored: read from their spellings, written in one, and verified.
//!
//! A text says by its tag what it is, or the caller names the scheme; a digest without a tag is never guessed. What a text becomes:
//! an unsalted SHA-256 is what this server stores itself, and so is the SHA-256 of a strong secret in clear. Everything else stays the hash
//! that it is until its secret is presented.

use std::time::Duration;

use super::{hash_schemes, masks};
use crate::tokens::secret;

mod argon2;
mod bcrypt;
mod cost;
mod digests;
mod fields;
mod pbkdf2;
mod scheme;
mod scrypt;
mod sha_crypt;
mod weak_secret;

use argon2::Argon2;
use bcrypt::Bcrypt;
use cost::Cost;
use digests::Digest;
use fields::Problem;
use pbkdf2::Pbkdf2;
pub use scheme::Scheme;
use scrypt::Scrypt;
use sha_crypt::ShaCrypt;
pub use weak_secret::of_weak_secret;

/// The longest text, bytes.
const MAX_LENGTH: usize = 1024;

/// The longest secret in clear, characters.
const MAX_PLAIN: usize = 256;

/// The result of reading the text of another product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// SHA-256 of the secret.
    Fast([u8; 32]),
    /// A hash that is verified as the product did.
    Foreign(ForeignHash),
}

/// A hash of another product.
#[derive(Clone, PartialEq, Eq)]
pub enum ForeignHash {
    /// bcrypt.
    Bcrypt(Bcrypt),
    /// PBKDF2.
    Pbkdf2(Pbkdf2),
    /// scrypt.
    Scrypt(Scrypt),
    /// Argon2.
    Argon2(Argon2),
    /// SHA-crypt.
    ShaCrypt(ShaCrypt),
    /// SHA-256 or SHA-512.
    Digest(Digest),
}

// A weak secret could be guessed from it.
impl std::fmt::Debug for ForeignHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ForeignHash").field(&self.scheme()).finish()
    }
}

/// Reads the text of another product. `scheme`: as its owner named it; it must agree with a tag.
pub fn import(text: &str, scheme: Option<Scheme>) -> Result<Imported, Problem> {
    if matches!(scheme, None | Some(Scheme::Plain)) && masks::is_mask(text) {
        return Err(masks::PROBLEM.to_owned());
    }
    check_text(text)?;
    let imported = match (tagged(text)?, scheme) {
        (Some(tagged), Some(scheme)) if tagged.scheme() != scheme => {
            let tag = tagged.scheme().as_str();
            return Err(format!(
                "is tagged as {tag}, but client_secret_hash_scheme says {scheme}"
            ));
        }
        (Some(tagged), _) => tagged.imported()?,
        (None, Some(scheme)) => untagged(text, scheme)?,
        (None, None) if hash_schemes::of(text).is_some() => return Err(unsupported(text)),
        (None, None) => {
            let names = Scheme::names();
            return Err(format!(
                "has no tag of its scheme, so client_secret_hash_scheme must name it: {names}"
            ));
        }
    };
    if let Imported::Foreign(hash) = &imported {
        hash.cost().check()?;
    }
    Ok(imported)
}

fn check_text(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("must have at most {MAX_LENGTH} characters"));
    }
    if !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err("must be printable ASCII without spaces and line ends".to_owned());
    }
    Ok(())
}

/// The meaning of a tag.
enum Tagged {
    Hash(ForeignHash),
    /// An unsalted SHA-256 after a tag.
    Sha256([u8; 32]),
    /// A secret in clear after a tag.
    Plain(String),
}

impl Tagged {
    fn scheme(&self) -> Scheme {
        match self {
            Self::Hash(hash) => hash.scheme(),
            Self::Sha256(_) => Scheme::Sha256Base64,
            Self::Plain(_) => Scheme::Plain,
        }
    }

    fn imported(self) -> Result<Imported, Problem> {
        match self {
            Self::Hash(hash) => Ok(Imported::Foreign(hash)),
            Self::Sha256(hash) => Ok(Imported::Fast(hash)),
            Self::Plain(text) => plain(&text),
        }
    }
}

/// Reads a text with a tag; `None` if it has none.
fn tagged(text: &str) -> Result<Option<Tagged>, Problem> {
    if let Some((tag, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return in_braces(text, tag, rest).map(Some);
    }
    // Authelia.
    if let Some(secret) = text.strip_prefix("$plaintext$") {
        return Ok(Some(Tagged::Plain(secret.to_owned())));
    }
    if let Some(encoded) = text.strip_prefix("$base64$") {
        let secret = String::from_utf8(fields::base64(encoded)?);
        return secret
            .map(|secret| Some(Tagged::Plain(secret)))
            .map_err(|_| "is base64 of something that is no text".to_owned());
    }
    Ok(modular(text)?.map(Tagged::Hash))
}

/// A text whose scheme is known, or not, and not supported: why, and the way out.
fn unsupported(text: &str) -> Problem {
    let name = hash_schemes::of(text).unwrap_or("unknown");
    let weak = ["MD4", "MD5", "{SHA}", "{SSHA}", "SHA-1", "sha-1", "NT hash"];
    let reason = if weak.iter().any(|weak| name.contains(weak)) {
        ": MD4, MD5 and SHA-1 do not protect a secret"
    } else {
        ""
    };
    format!(
        "is of a scheme or in a spelling that is not supported ({name}{reason}); leave it out and give the client a new secret"
    )
}

/// The tags that [`in_braces`] reads.
const TAGS: [&str; 19] = [
    "noop",
    "bcrypt",
    "pbkdf2",
    "pbkdf2@SpringSecurity_v5_8",
    "scrypt",
    "scrypt@SpringSecurity_v5_8",
    "argon2",
    "argon2@SpringSecurity_v5_8",
    "sha256",
    "SHA-256",
    "SHA-512",
    "SHA256",
    "SSHA256",
    "SHA512",
    "SSHA512",
    "PBKDF2",
    "PBKDF2-SHA256",
    "PBKDF2-SHA512",
    "CRYPT",
];

/// A text with another tag, perhaps with a supported one in the wrong case.
fn unsupported_tag(text: &str, tag: &str) -> Problem {
    let supported = TAGS.iter().filter(|supported| supported.eq_ignore_ascii_case(tag));
    let spellings: Vec<String> = supported.map(|supported| format!("{{{supported}}}")).collect();
    if spellings.is_empty() {
        return unsupported(text);
    }
    format!(
        "has the tag {{{tag}}}, which is not supported: tags are case-sensitive, and {} is supported",
        spellings.join(" or ")
    )
}

/// Tags in braces: Spring Security's, and LDAP's (RFC 2307) with those of passlib, which differ in case.
fn in_braces(text: &str, tag: &str, rest: &str) -> Result<Tagged, Problem> {
    let hash = match tag {
        "noop" => return Ok(Tagged::Plain(rest.to_owned())),
        "bcrypt" => ForeignHash::Bcrypt(Bcrypt::parse(rest)?),
        "pbkdf2" => ForeignHash::Pbkdf2(Pbkdf2::parse_spring_5_5(rest)?),
        "pbkdf2@SpringSecurity_v5_8" => ForeignHash::Pbkdf2(Pbkdf2::parse_spring_5_8(rest)?),
        "scrypt" | "scrypt@SpringSecurity_v5_8" => ForeignHash::Scrypt(Scrypt::parse_spring(rest)?),
        "argon2" | "argon2@SpringSecurity_v5_8" => ForeignHash::Argon2(Argon2::parse(rest)?),
        "sha256" => ForeignHash::Digest(Digest::parse_spring_standard(rest)?),
        "SHA-256" => match Digest::parse_spring_message_digest(rest)? {
            Ok(salted) => ForeignHash::Digest(salted),
            Err(unsalted) => return Ok(Tagged::Sha256(unsalted)),
        },
        "SHA-512" => ForeignHash::Digest(Digest::parse_spring_message_digest_512(rest)?),
        "SHA256" => return Ok(Tagged::Sha256(fields::array(&fields::base64(rest)?)?)),
        "SSHA256" | "SHA512" | "SSHA512" => ForeignHash::Digest(Digest::parse_ldap(tag, rest)?),
        "PBKDF2" | "PBKDF2-SHA256" | "PBKDF2-SHA512" => {
            ForeignHash::Pbkdf2(Pbkdf2::parse(&format!("${}${rest}", tag.to_ascii_lowercase()))?)
        }
        "CRYPT" => modular(rest)?.ok_or_else(|| unsupported(text))?,
        _ => return Err(unsupported_tag(text, tag)),
    };
    Ok(Tagged::Hash(hash))
}

/// `$id$…`, and Django's spellings, `id$…`. `None`: no such tag.
fn modular(text: &str) -> Result<Option<ForeignHash>, Problem> {
    let starts = |tags: &[&str]| tags.iter().any(|tag| text.starts_with(tag));
    let hash = if starts(&["$2a$", "$2b$", "$2y$"]) {
        ForeignHash::Bcrypt(Bcrypt::parse(text)?)
    } else if let Some(rest) = text.strip_prefix("bcrypt_sha256$") {
        ForeignHash::Bcrypt(Bcrypt::parse_django_sha256(rest)?)
    } else if starts(&["$bcrypt-sha256$"]) {
        ForeignHash::Bcrypt(Bcrypt::parse_passlib_sha256(text)?)
    } else if let Some(rest) = text.strip_prefix("bcrypt$") {
        ForeignHash::Bcrypt(Bcrypt::parse(rest)?)
    } else if starts(&["$pbkdf2-", "$pbkdf2$"]) {
        ForeignHash::Pbkdf2(Pbkdf2::parse(text)?)
    } else if starts(&["pbkdf2_sha1$", "pbkdf2_sha256$"]) {
        ForeignHash::Pbkdf2(Pbkdf2::parse_django(text)?)
    } else if starts(&["$argon2"]) {
        ForeignHash::Argon2(Argon2::parse(text)?)
    } else if let Some(rest) = text.strip_prefix("argon2$") {
        // Django's tag, and then the usual text without its first character.
        ForeignHash::Argon2(Argon2::parse(&format!("${rest}"))?)
    } else if starts(&["$scrypt$"]) {
        ForeignHash::Scrypt(Scrypt::parse(text)?)
    } else if starts(&["scrypt$"]) {
        ForeignHash::Scrypt(Scrypt::parse_django(text)?)
    } else if starts(&["$5$", "$6$"]) {
        ForeignHash::ShaCrypt(ShaCrypt::parse(text)?)
    } else if text.starts_with("$2x$") {
        return Err("was made by a faulty implementation of bcrypt ($2x$)".to_owned());
    } else if text.starts_with('$') {
        return Err(unsupported(text));
    } else {
        return Ok(None);
    };
    Ok(Some(hash))
}

/// Reads a text without a tag as the scheme that was named.
fn untagged(text: &str, scheme: Scheme) -> Result<Imported, Problem> {
    let sha256 = |hash: Vec<u8>| Ok(Imported::Fast(fields::digest(&hash)?));
    let sha512 = |hash: Vec<u8>| Ok(Imported::Foreign(ForeignHash::Digest(Digest::sha512(&hash)?)));
    match scheme {
        Scheme::Sha256Hex => sha256(fields::hexadecimal(text)?),
        Scheme::Sha256Base64 => sha256(fields::base64(text)?),
        Scheme::Sha512Hex => sha512(fields::hexadecimal(text)?),
        Scheme::Sha512Base64 => sha512(fields::base64(text)?),
        Scheme::Plain => plain(text),
        _ => Err(format!("is no {scheme} hash in a spelling that is supported")),
    }
}

/// A secret in clear becomes its SHA-256, which does not protect a weak one.
fn plain(text: &str) -> Result<Imported, Problem> {
    check_clear(text)?;
    if text.len() > MAX_PLAIN || !secret::is_strong(text) {
        return Err(format!(
            "is a secret in clear of less than {} bits by its length and characters, or of more than {MAX_PLAIN} characters: give \
             the client a new secret",
            secret::STRONG_BITS
        ));
    }
    Ok(Imported::Fast(secret::hash(text)))
}

/// A hash or a mask is no secret: its text would authenticate.
fn check_clear(text: &str) -> Result<(), Problem> {
    if masks::is_mask(text) {
        return Err(masks::PROBLEM.to_owned());
    }
    match hash_schemes::of(text) {
        None => Ok(()),
        Some(found) => Err(format!(
            "looks like a hash or a tagged password ({found}) and is no secret in clear"
        )),
    }
}

impl ForeignHash {
    /// Reads what [`Self::text`] wrote. Its cost is not checked again.
    pub fn from_stored(text: &str) -> Option<Self> {
        match tagged(text) {
            Ok(Some(Tagged::Hash(hash))) => Some(hash),
            _ => None,
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Bcrypt(hash) => hash.scheme(),
            Self::Pbkdf2(hash) => hash.scheme(),
            Self::Scrypt(_) => Scheme::Scrypt,
            Self::Argon2(hash) => hash.scheme(),
            Self::ShaCrypt(hash) => hash.scheme(),
            Self::Digest(hash) => hash.scheme(),
        }
    }

    /// The hash with its tag and parameters, in one spelling.
    pub fn text(&self) -> String {
        match self {
            Self::Bcrypt(hash) => hash.text(),
            Self::Pbkdf2(hash) => hash.text(),
            Self::Scrypt(hash) => hash.text(),
            Self::Argon2(hash) => hash.text(),
            Self::ShaCrypt(hash) => hash.text(),
            Self::Digest(hash) => hash.text(),
        }
    }

    /// Identifies the hash. No text has this SHA-256: it is that of bytes which are not UTF-8.
    pub fn id(&self) -> [u8; 32] {
        secret::hash([&[0xff], self.text().as_bytes()].concat())
    }

    /// Whether this is the hash of a presented secret. Slow. A secret with a NUL byte never matches: HMAC, and with it PBKDF2 and scrypt, ignores
    /// NULs at the end, and bcrypt ends or repeats a secret at one.
    pub fn matches(&self, presented: &str) -> bool {
        let presented = presented.as_bytes();
        // An empty secret authenticates nowhere.
        !presented.is_empty()
            && !presented.contains(&0)
            && match self {
                Self::Bcrypt(hash) => hash.matches(presented),
                Self::Pbkdf2(hash) => hash.matches(presented),
                Self::Scrypt(hash) => hash.matches(presented),
                Self::Argon2(hash) => hash.matches(presented),
                Self::ShaCrypt(hash) => hash.matches(presented),
                Self::Digest(hash) => hash.matches(presented),
            }
    }

    /// Whether a secret that matches may be stored as its SHA-256 from now on: it is strong, and every byte of it was verified.
    pub fn may_be_replaced_by(&self, presented: &str) -> bool {
        let is_whole = match self {
            Self::Bcrypt(hash) => hash.verifies_all_of(presented.as_bytes()),
            _ => true,
        };
        is_whole && secret::is_strong(presented)
    }

    /// Whether a long secret verifies by its beginning.
    pub fn ignores_the_end_of_long_secrets(&self) -> bool {
        matches!(self, Self::Bcrypt(hash) if hash.is_truncating())
    }

    /// About how long a verification takes with a core of its own.
    pub fn usual_time(&self) -> Duration {
        Duration::from_nanos(self.cost().nanos as u64)
    }

    fn cost(&self) -> Cost {
        match self {
            Self::Bcrypt(hash) => hash.cost(),
            Self::Pbkdf2(hash) => hash.cost(),
            Self::Scrypt(hash) => hash.cost(),
            Self::Argon2(hash) => hash.cost(),
            Self::ShaCrypt(hash) => hash.cost(),
            Self::Digest(_) => Cost::NONE,
        }
    }
}

#[cfg(test)]
mod tests;
