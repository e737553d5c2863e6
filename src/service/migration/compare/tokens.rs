//! Two access tokens as verifiers see them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::side::{Naming, Side};
use super::times;
use crate::service::migration::issuer::Issuer;
use crate::service::migration::keys::{Checked, Keys};
use crate::service::migration::report::{Difference, shown};
use crate::service::migration::token::Token;

/// Claims whose values differ from token to token.
const PER_TOKEN: [&str; 4] = ["iat", "exp", "nbf", "jti"];

const INTEGER: &str = "integer";
const DECIMAL: &str = "decimal number";

/// A token, its issuer, and when it arrived.
pub(super) type Issued<'a> = (&'a str, &'a Issuer, i64);

const OF_TOKENS: Naming = Naming {
    prefix: "token.claim",
    lifetime: "token.lifetime",
    noticed: |code, old, new| Difference::verifier(code, old, new),
};

/// Compares the tokens of both issuers. `again`: another token of the old one, which shows what differs from token to token.
pub(super) fn compare(old: Issued<'_>, new: Issued<'_>, again: Option<&Token>) -> Vec<Difference> {
    let (old_token, new_token) = (Token::decode(old.0), Token::decode(new.0));
    if old_token.format() != new_token.format() {
        return vec![Difference::verifier(
            "token.format",
            old_token.format(),
            new_token.format(),
        )];
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
    ) = (&old_token, &new_token)
    else {
        return Vec::new();
    };
    let mut found = headers(old_header, new_header);
    found.extend(signatures((old.0, &old_token, old.1), (new.0, &new_token, new.1)));
    let volatile = match again {
        Some(Token::Jwt { claims, .. }) => varying(old_claims, claims),
        _ => BTreeSet::new(),
    };
    let side = |claims, (_, issuer, received_at)| Side {
        claims,
        issuer,
        received_at,
    };
    let (old, new) = (side(old_claims, old), side(new_claims, new));
    found.extend(claims(&OF_TOKENS, &old, &new, &volatile));
    found
}

/// Claims that differ between two tokens of an issuer.
pub(super) fn varying(first: &Map<String, Value>, second: &Map<String, Value>) -> BTreeSet<String> {
    let varies = |name: &&String| second.get(*name) != first.get(*name);
    first.keys().filter(varies).cloned().collect()
}

fn headers(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, value) in old {
        match new.get(name) {
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
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let code = format!("token.header.{name}.added");
        // RFC 7515 section 4.1.11: a verifier must reject extensions of `crit` that it does not know. Spring's verifiers reject a `typ` other
        // than JWT.
        let is_rejected = name == "crit" || name == "typ" && media_type(value).as_deref() != Some("jwt");
        found.push(if is_rejected {
            Difference::verifier(code, "absent", value)
        } else {
            Difference::nobody(code, "absent", value)
        });
    }
    found
}

/// Each token must verify with the keys of its issuer.
fn signatures(old: (&str, &Token, &Issuer), new: (&str, &Token, &Issuer)) -> Option<Difference> {
    let check = |(text, token, issuer): (&str, &Token, &Issuer)| issuer.keys.check(text, token);
    let (before, after) = (check(old), check(new));
    let described = (before.described(), after.described());
    match (before, after) {
        (_, Checked::Invalid) => Some(Difference::verifier("token.signature", described.0, described.1)),
        // Verifiers of the old issuer have the key from elsewhere.
        (Checked::UnknownKey, Checked::UnknownKey) => None,
        (_, Checked::UnknownKey) => Some(Difference::verifier("token.kid_not_in_jwks", described.0, described.1)),
        (Checked::Invalid | Checked::UnknownKey, _) => {
            Some(Difference::nobody("token.signature.old", described.0, described.1))
        }
        (_, Checked::NotChecked) if new.1.is_signed_with_published_key() => {
            // A set that could not be read is reported once, by the metadata.
            let is_absent = |keys: &Keys| matches!(keys, Keys::Absent);
            is_absent(&new.2.keys)
                .then(|| Difference::verifier("not_compared.jwks", described.0, "no URL of a JWK set is known"))
        }
        _ => None,
    }
}

/// RFC 7515 section 4.1.9: `application/` may be left out, and case does not matter.
fn media_type(value: &Value) -> Option<String> {
    let text = value.as_str()?.to_ascii_lowercase();
    Some(text.strip_prefix("application/").unwrap_or(&text).to_owned())
}

/// Compares what two tokens, or two introspections, say.
pub(super) fn claims(naming: &Naming, old: &Side<'_>, new: &Side<'_>, volatile: &BTreeSet<String>) -> Vec<Difference> {
    let Naming { prefix, noticed, .. } = naming;
    let mut found = Vec::new();
    for (name, value) in old.claims {
        let code = |what: &str| format!("{prefix}.{name}.{what}");
        let Some(other) = new.claims.get(name) else {
            found.push(noticed(code("missing"), shown(Some(value)), "absent".to_owned()));
            continue;
        };
        let differs = |what: &str| noticed(code(what), shown(Some(value)), shown(Some(other)));
        let is_compared = !PER_TOKEN.contains(&&**name) && !volatile.contains(name);
        if name == "aud" {
            found.extend(audiences(naming, (value, old.issuer), (other, new.issuer)));
        } else if is_integer_instead(value, other) && (!is_compared || value.as_f64() == other.as_f64()) {
            found.push(Difference::nobody(code("type"), kind(value), kind(other)));
        } else if kind(value) != kind(other) {
            found.push(noticed(code("type"), kind(value).to_owned(), kind(other).to_owned()));
        } else if name == "iss" {
            // An issuer claim that is each issuer's own is reported once, by the metadata.
            if value != other && !(is_own(value, old.issuer) && is_own(other, new.issuer)) {
                found.push(differs("value"));
            }
        } else if name == "scope" && words(value).is_some() && words(value) == words(other) {
            if value != other {
                found.push(Difference::nobody(code("order"), value, other));
            }
        } else if value != other && is_compared {
            found.push(differs("value"));
        }
    }
    for (name, value) in new.claims.iter().filter(|(name, _)| !old.claims.contains_key(*name)) {
        let code = format!("{prefix}.{name}.added");
        found.push(Difference::nobody(code, "absent", value));
    }
    found.extend(times::compare(naming, old, new));
    found
}

/// Whether the new value is an integer where the old one was a decimal number, which is read alike.
pub(super) fn is_integer_instead(old: &Value, new: &Value) -> bool {
    (kind(old), kind(new)) == (DECIMAL, INTEGER)
}

/// The type of a value. Many readers of integers reject a decimal point.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => DECIMAL,
        Value::Number(_) => INTEGER,
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn words(value: &Value) -> Option<BTreeSet<&str>> {
    Some(value.as_str()?.split_whitespace().collect())
}

/// RFC 7519 section 4.1.3: one audience may be a string or a list. An issuer that names itself is reported once, by the metadata.
fn audiences(
    naming: &Naming,
    (old, old_issuer): (&Value, &Issuer),
    (new, new_issuer): (&Value, &Issuer),
) -> Option<Difference> {
    let list = |value: &Value, issuer: &Issuer| {
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let named = items
            .into_iter()
            .map(|item| if is_own(&item, issuer) { Value::Null } else { item });
        named.collect::<Vec<_>>()
    };
    let code = |what: &str| format!("{}.aud.{what}", naming.prefix);
    let (before, after) = (list(old, old_issuer), list(new, new_issuer));
    if before.iter().any(|audience| !after.contains(audience)) {
        return Some((naming.noticed)(code("missing"), shown(Some(old)), shown(Some(new))));
    }
    if kind(old) != kind(new) {
        return Some(Difference::nobody(code("form"), old, new));
    }
    (before.len() != after.len()).then(|| Difference::nobody(code("added"), old, new))
}

/// Whether a value is the identifier of the issuer.
fn is_own(value: &Value, issuer: &Issuer) -> bool {
    value.is_string() && value.as_str() == issuer.identifier()
}
