//! Limits, quotas and static claims of a client, checked.
//!
//! Each of the three is an object that is laid over what is there member by member (RFC 7396): `null` takes one away, and
//! `null` in the object's place all of them.

use std::collections::BTreeMap;

use oauth2_actors::model::{Endpoint, Policy, Quotas, Rate, RateLimits, StaticClaims, Window};
use serde_json::{Map, Value};

use super::{ClientRequest, Field, Invalid, invalid, named, set};

/// A merge patch of named settings.
pub type Patch<T> = Field<BTreeMap<String, Option<T>>>;

/// Claims that a client may have.
const MOST_CLAIMS: usize = 32;

/// Bytes that its claims may have as JSON.
const MAX_CLAIMS: usize = 1024;

/// How deep a claim may be nested: verifiers have bounds of their own.
const MAX_DEPTH: usize = 4;

/// Bytes that a claim's name may have.
const MAX_CLAIM_NAME: usize = 64;

/// The most tokens that a quota may allow: what every store and every client of the API can count to.
const MAX_QUOTA: u64 = (1 << 53) - 1;

/// Names that say something of their own in a token (RFC 7519, 8693, 8705, 9068, `OpenID` Connect) or in the answer to an
/// introspection (RFC 7662).
const RESERVED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "azp",
    "cnf",
    "act",
    "may_act",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "sid",
    "events",
    "active",
    "token_type",
    "username",
    "kid",
    "typ",
    "alg",
];

const ENDPOINTS: [&str; 3] = [
    Endpoint::Token.as_str(),
    Endpoint::Introspection.as_str(),
    Endpoint::Revocation.as_str(),
];

pub(super) fn apply(request: &ClientRequest, policy: &mut Policy) -> Result<(), Invalid> {
    lay_over(
        "rate_limits",
        &request.rate_limits,
        &mut policy.rate_limits,
        &ENDPOINTS,
        RateLimits::named,
        |text| text.parse::<Rate>(),
    )?;
    set(&mut policy.rate_limit_mode, &request.rate_limit_mode, |name| {
        named("rate_limit_mode", name)
    })?;
    lay_over(
        "quotas",
        &request.quotas,
        &mut policy.quotas,
        &Quotas::NAMES,
        Quotas::named,
        |count| quota(*count),
    )?;
    set(&mut policy.quota_mode, &request.quota_mode, |name| {
        named("quota_mode", name)
    })?;
    set(&mut policy.reuse_percent, &request.reuse_percent, |percent| {
        reuse(*percent)
    })?;
    claims(&request.claims, &mut policy.claims)
}

/// Lays a patch over settings that have a closed set of names.
fn lay_over<S: Default, T, U>(
    field: &'static str,
    patch: &Patch<T>,
    settings: &mut S,
    names: &[&str],
    place: impl for<'a> Fn(&'a mut S, &str) -> Option<&'a mut Option<U>>,
    check: impl Fn(&T) -> Result<U, String>,
) -> Result<(), Invalid> {
    let members = match patch {
        Field::Absent => return Ok(()),
        Field::Null => {
            *settings = S::default();
            return Ok(());
        }
        Field::Value(members) => members,
    };
    for (name, value) in members {
        let place = place(settings, name)
            .ok_or_else(|| invalid(field, format!("has members named {} only", names.join(", "))))?;
        *place = value
            .as_ref()
            .map(&check)
            .transpose()
            .map_err(|reason| invalid(field, format!("member {name} {reason}")))?;
    }
    Ok(())
}

fn quota(count: i64) -> Result<u64, String> {
    u64::try_from(count)
        .ok()
        .filter(|count| (1..=MAX_QUOTA).contains(count))
        .ok_or_else(|| format!("must be 1 to {MAX_QUOTA} tokens"))
}

/// What is wrong with the quotas of a client that changes, given what is used of each window: one that is lower would stop the
/// client at once, which is what disabling it is for. `before` and `after` are those that are enforced; what was enforced
/// before may stay.
pub fn quota_below(
    before: Option<&Quotas>,
    after: &Quotas,
    used: impl IntoIterator<Item = (Window, u64)>,
) -> Option<String> {
    used.into_iter().find_map(|(window, used)| {
        let quota = window.of(after).filter(|quota| *quota < used)?;
        let stays = before.is_some_and(|before| window.of(before) == Some(quota));
        (!stays).then(|| {
            format!("quotas member {window} must be {used} at least: so many tokens are used of this {window} already; to stop the client, disable it")
        })
    })
}

fn reuse(percent: i64) -> Result<u8, Invalid> {
    u8::try_from(percent)
        .ok()
        .filter(|percent| (1..=90).contains(percent))
        .ok_or_else(|| invalid("reuse_percent", "must be 1 to 90 percent of a token's life"))
}

fn claims(patch: &Patch<Value>, claims: &mut StaticClaims) -> Result<(), Invalid> {
    let members = match patch {
        Field::Absent => return Ok(()),
        Field::Null => {
            *claims = StaticClaims::default();
            return Ok(());
        }
        Field::Value(members) => members,
    };
    let mut laid = claims.to_map();
    for (name, value) in members {
        check_name(name)?;
        match value {
            Some(value) => laid.insert(name.clone(), value.clone()),
            None => laid.remove(name),
        };
    }
    check_size(&laid)?;
    *claims = laid.into();
    Ok(())
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte));
    if !plain || !(1..=MAX_CLAIM_NAME).contains(&name.len()) {
        let reason = format!("must have names of 1 to {MAX_CLAIM_NAME} characters of A-Z a-z 0-9 _ - . : /");
        return Err(invalid("claims", reason));
    }
    if RESERVED.contains(&name) {
        return Err(invalid(
            "claims",
            format!("must not name {name}: the server says that itself"),
        ));
    }
    Ok(())
}

fn check_size(claims: &Map<String, Value>) -> Result<(), Invalid> {
    if let Some((name, _)) = claims.iter().find(|(_, value)| depth(value) > MAX_DEPTH) {
        return Err(invalid(
            "claims",
            format!("must not nest {name} more than {MAX_DEPTH} deep"),
        ));
    }
    let length = Value::Object(claims.clone()).to_string().len();
    if claims.len() > MOST_CLAIMS || (!claims.is_empty() && length > MAX_CLAIMS) {
        let reason = format!("must be at most {MOST_CLAIMS}, of {MAX_CLAIMS} bytes of JSON together");
        return Err(invalid("claims", reason));
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
