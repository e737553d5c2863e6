//! Checks of single fields of a client.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use oauth2_store::model::{GrantType, MAX_TOKEN_LIFETIME};

use crate::protocol::client_auth::{hash_schemes, masks};
use crate::protocol::scope::is_scope_token;
use crate::service::error::{InvalidMetadata, ServiceError};

const MAX_ID: usize = 256;
const MAX_NAME: usize = 256;
const MAX_GROUP: usize = 128;
const MAX_OWNER: usize = 128;
const MAX_SCOPE_TOKEN: usize = 128;
const MAX_SCOPE: usize = 2048;
const MAX_AUDIENCES: usize = 64;
const MAX_AUDIENCE: usize = 512;

/// Unix seconds that every store can represent, up to the year 9999.
pub(super) const TIMES: RangeInclusive<i64> = 0..=253_402_300_799;

/// Characters of a client secret that somebody chose.
pub const SECRET_LENGTH: RangeInclusive<usize> = 32..=256;

/// Checks a secret that somebody chose.
pub fn secret(secret: &str) -> Result<(), InvalidMetadata> {
    if secret.trim().is_empty() {
        return Err(InvalidMetadata::new(
            "client_secret",
            "must not be empty or only spaces",
        ));
    }
    if masks::is_mask(secret) {
        return Err(InvalidMetadata::new("client_secret", masks::PROBLEM));
    }
    if !SECRET_LENGTH.contains(&secret.len()) || !secret.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        let reason = "must be 32 to 256 printable ASCII characters: a fast hash of it is stored, which does not protect a \
                      short secret";
        return Err(InvalidMetadata::new("client_secret", reason));
    }
    if let Some(scheme) = hash_schemes::of(secret) {
        let reason = format!(
            "must be the secret itself; this looks like a hash or a tagged password ({scheme}): give it as client_secret_hash"
        );
        return Err(InvalidMetadata::new("client_secret", reason));
    }
    Ok(())
}

/// Whether a client may have this id: printable ASCII (RFC 6749 appendix A.1). It is escaped where it is written.
pub fn is_client_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// Checks the prefix of a list: empty, or the beginning of an id.
pub fn prefix(prefix: &str) -> Result<(), ServiceError> {
    if prefix.is_empty() || is_client_id(prefix) {
        return Ok(());
    }
    let reason = format!("must be the beginning of a client_id: at most {MAX_ID} printable ASCII characters");
    Err(ServiceError::parameter("prefix", reason))
}

pub(super) fn id(id: &str) -> Result<(), InvalidMetadata> {
    if is_client_id(id) {
        return Ok(());
    }
    let reason = format!("must be 1 to {MAX_ID} printable ASCII characters");
    Err(InvalidMetadata::new("client_id", reason))
}

pub(super) fn name(name: &str) -> Result<Box<str>, InvalidMetadata> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let reason = format!("must be 1 to {MAX_NAME} bytes without control characters");
        return Err(InvalidMetadata::new("client_name", reason));
    }
    Ok(name.into())
}

/// Checks who manages a client.
pub(super) fn owner(owner: &str) -> Result<Box<str>, InvalidMetadata> {
    if owner.is_empty() || owner.len() > MAX_OWNER || owner.chars().any(char::is_control) {
        let reason = format!("must be 1 to {MAX_OWNER} bytes without control characters");
        return Err(InvalidMetadata::new("managed_by", reason));
    }
    Ok(owner.into())
}

pub(in crate::service) fn named<T: FromStr<Err = String>>(
    field: &'static str,
    name: &str,
) -> Result<T, InvalidMetadata> {
    name.parse()
        .map_err(|reason: String| InvalidMetadata::new(field, reason))
}

pub(super) fn grants(names: &[String]) -> Result<Vec<GrantType>, InvalidMetadata> {
    let mut grants = Vec::new();
    for name in names {
        let grant = named("grant_types", name)?;
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    Ok(grants)
}

/// The name of a group. It cannot begin what a spreadsheet takes for a formula.
pub(in crate::service) fn group(name: &str) -> Result<Arc<str>, InvalidMetadata> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !begins || name.len() > MAX_GROUP || !name.bytes().all(is_plain) {
        let reason = format!("must be 1 to {MAX_GROUP} characters of A-Z a-z 0-9 _ - . :, a letter or digit first");
        return Err(InvalidMetadata::new("group", reason));
    }
    Ok(name.into())
}

/// Scopes, each once, in the order given (RFC 6749 section 3.3).
pub(super) fn scope(text: &str) -> Result<Arc<str>, InvalidMetadata> {
    if text.len() > MAX_SCOPE {
        let reason = format!("must be at most {MAX_SCOPE} characters");
        return Err(InvalidMetadata::new("scope", reason));
    }
    let mut scopes: Vec<&str> = Vec::new();
    for token in text.split(' ').filter(|token| !token.is_empty()) {
        if !is_scope_token(token) || token.len() > MAX_SCOPE_TOKEN {
            let reason = format!(
                "must be names separated by spaces, each at most {MAX_SCOPE_TOKEN} visible ASCII characters without \" and \\"
            );
            return Err(InvalidMetadata::new("scope", reason));
        }
        if !scopes.contains(&token) {
            scopes.push(token);
        }
    }
    Ok(scopes.join(" ").into())
}

/// Audiences, each once, in the order given: any `StringOrURI` (RFC 7519 section 2). That is what a token's `aud` may be; the absolute
/// URIs without fragment of RFC 8707 section 2 are some of them.
pub(super) fn audiences(field: &'static str, list: &[String]) -> Result<Vec<Arc<str>>, InvalidMetadata> {
    if list.len() > MAX_AUDIENCES {
        let reason = format!("must have at most {MAX_AUDIENCES} entries");
        return Err(InvalidMetadata::new(field, reason));
    }
    let mut audiences: Vec<Arc<str>> = Vec::with_capacity(list.len());
    for audience in list {
        if !(1..=MAX_AUDIENCE).contains(&audience.len()) || audience.chars().any(char::is_control) {
            let reason = format!("must have entries of 1 to {MAX_AUDIENCE} bytes without control characters");
            return Err(InvalidMetadata::new(field, reason));
        }
        if audience.contains(':') && !is_uri(audience) {
            let reason = "must have entries that are URIs (RFC 3986) if they contain a colon, such as https://api.example, \
                          api://default or urn:x";
            return Err(InvalidMetadata::new(field, reason));
        }
        if audiences.iter().any(|known| **known == **audience) {
            return Err(InvalidMetadata::new(field, format!("must not name {audience} twice")));
        }
        audiences.push(audience.as_str().into());
    }
    Ok(audiences)
}

/// Whether a text has a scheme and only characters of a URI. What follows the scheme is for the scheme to define.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let mut bytes = rest.bytes();
    let mut is_plain = !rest.is_empty();
    while let Some(byte) = bytes.next() {
        is_plain &= match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
    }
    is_scheme && is_plain
}

pub(super) fn lifetime(seconds: i64) -> Result<u32, InvalidMetadata> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=MAX_TOKEN_LIFETIME).contains(&i64::from(*seconds)))
        .ok_or_else(|| {
            let reason = format!("must be 1 to {MAX_TOKEN_LIFETIME} seconds");
            InvalidMetadata::new("access_token_lifetime", reason)
        })
}
