//! Two access tokens as verifiers see them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::service::migration::issuer::Issuer;
use crate::service::migration::report::{Difference, shown};
use crate::service::migration::token::Token;

/// Claims whose values differ from token to token.
const PER_TOKEN: [&str; 4] = ["iat", "exp", "nbf", "jti"];

/// Seconds by which lifetimes may differ.
const LIFETIME_TOLERANCE: i64 = 1;

/// Compares the tokens of both issuers. `again`: another token of each, which shows what differs from token to token.
pub(super) fn compare(
    old: (&Token, &Issuer),
    new: (&Token, &Issuer),
    again: (Option<Token>, Option<Token>),
) -> Vec<Difference> {
    if old.0.format() != new.0.format() {
        return vec![Difference::verifier("token.format", old.0.format(), new.0.format())];
    }
    let (
        Token::Jwt {
            header: old_header,
            claims: old_claims,
        },
        Token::Jwt {
            header: new_header,
            claims: new_claims,
        },
    ) = (old.0, new.0)
    else {
        return Vec::new();
    };
    let mut found = headers((old_header, old.1), (new_header, new.1));
    let volatile = varying(old_claims, again.0);
    found.extend(claims((old_claims, old.1), (new_claims, new.1), &volatile));
    found
}

/// Claims that differ between two tokens of an issuer.
fn varying(first: &Map<String, Value>, second: Option<Token>) -> BTreeSet<String> {
    let Some(Token::Jwt { claims, .. }) = second else {
        return BTreeSet::new();
    };
    let varies = |name: &&String| claims.get(*name) != first.get(*name);
    first.keys().filter(varies).cloned().collect()
}

fn headers(old: (&Map<String, Value>, &Issuer), new: (&Map<String, Value>, &Issuer)) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, value) in old.0 {
        match new.0.get(name) {
            None => found.push(Difference::verifier(
                format!("token.header.{name}.missing"),
                value,
                "absent",
            )),
            Some(other) if name == "kid" || other == value => {}
            Some(other) if name == "typ" && media_type(value) == media_type(other) => {
                found.push(Difference::nobody("token.header.typ.spelling", value, other));
            }
            Some(other) => found.push(Difference::verifier(format!("token.header.{name}"), value, other)),
        }
    }
    for (name, value) in new.0.iter().filter(|(name, _)| !old.0.contains_key(*name)) {
        let code = format!("token.header.{name}.added");
        // RFC 7515 section 4.1.11: a verifier must reject what it does not understand of it.
        found.push(if name == "crit" {
            Difference::verifier(code, "absent", value)
        } else {
            Difference::nobody(code, "absent", value)
        });
    }
    let is_published = |(header, issuer): (&Map<String, Value>, &Issuer)| {
        let kid = header.get("kid").and_then(Value::as_str)?;
        Some(issuer.kids.as_ref()?.contains(kid))
    };
    match (is_published(old), is_published(new)) {
        (before, Some(false)) if before != Some(false) => {
            let kid = shown(new.0.get("kid"));
            found.push(Difference::verifier("token.kid_not_in_jwks", "in the JWK set", kid));
        }
        _ => {}
    }
    found
}

/// RFC 7515 section 4.1.9: `application/` may be left out, and case does not matter.
fn media_type(value: &Value) -> Option<String> {
    let text = value.as_str()?.to_ascii_lowercase();
    Some(text.strip_prefix("application/").unwrap_or(&text).to_owned())
}

fn claims(
    old: (&Map<String, Value>, &Issuer),
    new: (&Map<String, Value>, &Issuer),
    volatile: &BTreeSet<String>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, value) in old.0 {
        let code = |what: &str| format!("token.claim.{name}.{what}");
        let Some(other) = new.0.get(name) else {
            found.push(Difference::verifier(code("missing"), value, "absent"));
            continue;
        };
        if name == "aud" {
            found.extend(audiences((value, old.1), (other, new.1)));
        } else if kind(value) != kind(other) {
            found.push(Difference::verifier(code("type"), kind(value), kind(other)));
        } else if name == "iss" {
            found.extend(issuer(value, old.1, other, new.1));
        } else if name == "scope" && words(value).is_some() && words(value) == words(other) {
            if value != other {
                found.push(Difference::nobody(code("order"), value, other));
            }
        } else if value != other && !PER_TOKEN.contains(&&**name) && !volatile.contains(name) {
            found.push(Difference::verifier(code("value"), value, other));
        }
    }
    for (name, value) in new.0.iter().filter(|(name, _)| !old.0.contains_key(*name)) {
        let code = format!("token.claim.{name}.added");
        found.push(Difference::nobody(code, "absent", value));
    }
    if let (Some(before), Some(after)) = (lifetime(old.0), lifetime(new.0))
        && (before - after).abs() > LIFETIME_TOLERANCE
    {
        found.push(Difference::verifier(
            "token.lifetime",
            format!("{before} s"),
            format!("{after} s"),
        ));
    }
    found
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn words(value: &Value) -> Option<BTreeSet<&str>> {
    Some(value.as_str()?.split_whitespace().collect())
}

/// RFC 7519 section 4.1.3: one audience may be a string or a list. An issuer that names itself is reported once, by the metadata.
fn audiences((old, old_issuer): (&Value, &Issuer), (new, new_issuer): (&Value, &Issuer)) -> Option<Difference> {
    let list = |value: &Value, issuer: &Issuer| {
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let is_itself = |item: &Value| item.is_string() && item.as_str() == issuer.identifier();
        let named = items
            .into_iter()
            .map(|item| if is_itself(&item) { Value::Null } else { item });
        named.collect::<Vec<_>>()
    };
    let (before, after) = (list(old, old_issuer), list(new, new_issuer));
    if before.iter().any(|audience| !after.contains(audience)) {
        return Some(Difference::verifier("token.claim.aud.missing", old, new));
    }
    if kind(old) != kind(new) {
        return Some(Difference::nobody("token.claim.aud.form", old, new));
    }
    (before.len() != after.len()).then(|| Difference::nobody("token.claim.aud.added", old, new))
}

/// An issuer claim that is each issuer's own is reported once, by the metadata.
fn issuer(old: &Value, old_issuer: &Issuer, new: &Value, new_issuer: &Issuer) -> Option<Difference> {
    let is_own = |value: &Value, issuer: &Issuer| value.as_str().is_some() && value.as_str() == issuer.identifier();
    if old == new || (is_own(old, old_issuer) && is_own(new, new_issuer)) {
        return None;
    }
    Some(Difference::verifier("token.claim.iss.value", old, new))
}

fn lifetime(claims: &Map<String, Value>) -> Option<i64> {
    Some(claims.get("exp")?.as_i64()? - claims.get("iat")?.as_i64()?)
}
