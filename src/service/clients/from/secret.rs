//! The secret of a client, as the product has it: in clear, or a hash with its scheme. A scheme is given by the product or written in
//! the text; it is never guessed.

use serde_json::{Value, json};

use time::OffsetDateTime;

use super::draft::Draft;
use crate::protocol::client_auth::{foreign_hash, masks};
use crate::service::clients::checks;
use crate::service::clients::import::RowError;
use crate::service::clients::secrets::DEFAULT_OVERLAP;

const SHORT: &str = "the client keeps its secret, although it is shorter than new secrets may be";

const WEAK: &str = "the client keeps its secret: it has less than 128 bits, so it is stored as a slow hash; client list --slow-secrets names \
                    the client";

/// Rejects a mask in the place of a secret or of its hash.
pub(super) fn reject_mask(field: &str, text: &str) -> Result<(), RowError> {
    if masks::is_mask(text) {
        return Err(format!("{field} {}", masks::PROBLEM));
    }
    Ok(())
}

/// A secret in clear. A secret that is too short for the fast hash of new secrets is imported with the scheme `plain`, and one that a fast hash
/// does not protect as a slow hash.
pub(super) fn plain(draft: &mut Draft, field: &str, secret: String) -> Result<(), RowError> {
    if checks::secret(&secret).is_ok() {
        draft.exactly(field, "client_secret", secret);
    } else if let Some(hash) = weak(draft, field, &secret)? {
        draft.approximately(field, "client_secret_hash", hash, WEAK);
    } else {
        draft.approximately(field, "client_secret_hash", secret, SHORT);
        draft.put("client_secret_hash_scheme", "plain");
    }
    Ok(())
}

/// A previous secret in clear.
pub(super) fn previous_plain(
    draft: &mut Draft,
    field: &str,
    secret: &str,
    expires_at: Option<i64>,
) -> Result<Value, RowError> {
    Ok(match weak(draft, field, secret)? {
        Some(hash) => {
            draft.approximately(field, "previous_secrets", Vec::<Value>::new(), WEAK);
            previous(&hash, None, expires_at)
        }
        None => previous(secret, Some("plain"), expires_at),
    })
}

/// The slow hash of a weak secret; `None`: it is none.
fn weak(draft: &Draft, field: &str, secret: &str) -> Result<Option<String>, RowError> {
    let hash = foreign_hash::of_weak_secret(secret, draft.client_id());
    let hash = hash.map_err(|problem| format!("{field} {problem}"))?;
    Ok(hash.map(|hash| hash.text()))
}

/// A hash of a scheme; without a scheme, the text has a tag that names it.
pub(super) fn hashed(draft: &mut Draft, field: &str, text: String, scheme: Option<&'static str>) {
    draft.exactly(field, "client_secret_hash", text);
    if let Some(scheme) = scheme {
        draft.put("client_secret_hash_scheme", scheme);
    }
}

/// A previous secret of the record.
pub(super) fn previous(text: &str, scheme: Option<&str>, expires_at: Option<i64>) -> Value {
    let mut entry = json!({ "hash": text });
    if let Some(scheme) = scheme {
        entry["scheme"] = scheme.into();
    }
    if let Some(at) = expires_at {
        entry["expires_at"] = at.into();
    }
    entry
}

/// Previous secrets, newest first. Without an end in the export they get one by the import.
pub(super) fn previous_secrets(draft: &mut Draft, field: &str, list: Vec<Value>, now: i64) {
    if list.is_empty() {
        return;
    }
    if list.iter().all(|entry| entry["expires_at"].is_i64()) {
        draft.exactly(field, "previous_secrets", list);
        return;
    }
    let end = OffsetDateTime::from_unix_timestamp(now + DEFAULT_OVERLAP).map(OffsetDateTime::date);
    let end = end.map_or_else(|_| String::new(), |date| format!(", on {date}"));
    let reason = format!("the export has no end for it: it expires 30 days after the import{end}");
    draft.approximately(field, "previous_secrets", list, &reason);
}

/// The scheme that the text of a modular-crypt hash names.
pub(super) fn crypt_scheme(text: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 7] = [
        ("$2a$", "bcrypt"),
        ("$2b$", "bcrypt"),
        ("$2y$", "bcrypt"),
        ("$pbkdf2-sha256$", "pbkdf2-sha256"),
        ("$pbkdf2-sha512$", "pbkdf2-sha512"),
        ("$argon2id$", "argon2id"),
        ("$scrypt$", "scrypt"),
    ];
    let found = PREFIXES.iter().find(|(prefix, _)| text.starts_with(prefix));
    found.map(|(_, scheme)| *scheme)
}

/// A secret as Spring Security's encoders write it: `{id}text`, or a modular-crypt hash.
pub(super) fn spring(draft: &mut Draft, field: &str, text: String) -> Result<(), RowError> {
    if let Some(secret) = text.strip_prefix("{noop}") {
        let secret = secret.to_owned();
        return plain(draft, field, secret);
    }
    let scheme = spring_scheme(field, &text)?;
    hashed(draft, field, text, scheme);
    Ok(())
}

/// The scheme of such a text; `None` if it is tagged.
pub(super) fn spring_scheme(field: &str, text: &str) -> Result<Option<&'static str>, RowError> {
    reject_mask(field, text)?;
    let is_tagged = text
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .is_some_and(|(id, hash)| !id.is_empty() && !hash.is_empty());
    if is_tagged {
        return Ok(None);
    }
    let scheme = crypt_scheme(text);
    if scheme.is_none() {
        return Err(format!(
            "{field} names no scheme: expected {{id}}text, such as {{bcrypt}}$2a$10$…, or a bcrypt hash"
        ));
    }
    Ok(scheme)
}
